// A warp's matrix product, and numbers of 16 bits, for the #else of inline PTX: included by cuda_host.h.
#pragma once

namespace symcell_emulator {
enum Type { F16, BF16, TF32 };
struct Operands {
    int type;
    float *d;
    const unsigned *a, *b;
};

// D += A B: mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 (BF16: bf16), or m16n8k8 with tf32. See products.h.
inline void mma(Type type, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], int line = __builtin_LINE()) {
    Operands own = {type, d, a, b};
    warp_exchange(PRODUCT, 0xffffffffu, (unsigned long long)&own, 0, line);
}

// cvt.rn.f16.f32, cvt.rn.bf16.f32 and cvt.rna.tf32.f32: bits of the nearest number, of two the even one (tf32: the one
// that is farther from 0).
inline unsigned to_f16(float x) {
    unsigned bits = symcell_bits<unsigned>(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return 0x7fffu;
    if (size >= 0x477ff000u) return sign | 0x7c00u;
    if (size < 0x38800000u) return sign | (unsigned)(int)rintf(fabsf(x) * 16777216.0f);  // in units of 2^-24
    return sign | ((size + 0xfffu + (size >> 13 & 1)) >> 13) - (112u << 10);
}
inline unsigned to_bf16(float x) {
    unsigned bits = symcell_bits<unsigned>(x);
    return (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}
inline unsigned to_tf32(float x) {
    unsigned bits = symcell_bits<unsigned>(x);
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}
inline float from_f16(unsigned bits) {
    unsigned sign = (bits & 0x8000u) << 16, size = bits & 0x7fffu;
    float x = size >= 0x7c00u ? symcell_bits<float>(0x7f800000u | (size & 1023u) << 13)
            : size >= 0x400u ? symcell_bits<float>((size << 13) + (112u << 23))
            : (float)size / 16777216.0f;
    return sign ? -x : x;
}
}  // namespace symcell_emulator
