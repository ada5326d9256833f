// A warp's matrix product, D = A B + D with A 16 by k, B k by 8 and D 16 by 8. Included by runtime.cpp.
//
// The operands are in the lanes' registers as mma.sync has them: the PTX ISA on warp-level matrix instructions,
// m16n8k16 and m16n8k8. With g = lane / 4 and t = lane % 4, rows of A and D are g and g + 8, columns of B are g, those
// of D are 2t and 2t + 1.
#pragma once
#include "state.h"

namespace symcell_emulator {
namespace {
struct Operands {  // as in cuda_host_mma.h
    int type;
    float *d;
    const unsigned *a, *b;
};
enum Type { F16, BF16, TF32 };

float from_bits(unsigned bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

float half_to_float(unsigned bits) {
    unsigned sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31) return from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent) return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float small = float(fraction) / (1 << 24);
    return sign ? -small : small;
}

float element(int type, const unsigned *registers, unsigned i) {
    if (type == TF32) return from_bits(registers[i] & 0xffffe000u);  // the last 13 bits are not looked at
    unsigned bits = registers[i / 2] >> 16 * (i % 2) & 0xffffu;
    return type == F16 ? half_to_float(bits) : from_bits(bits << 16);
}

// Where element i of a lane's part of A lies in its row of k: two neighbours of 16 bits, or one of 32.
unsigned column_of_a(int type, unsigned t, unsigned i) {
    return type == TF32 ? t + 4 * (i / 2) : 2 * t + i % 2 + 8 * (i / 4);
}
unsigned row_of_a(int type, unsigned g, unsigned i) { return g + 8 * (type == TF32 ? i % 2 : i / 2 % 2); }
unsigned row_of_b(int type, unsigned t, unsigned i) { return type == TF32 ? t + 4 * i : 2 * t + i % 2 + 8 * (i / 2); }

void multiply(const unsigned long long *sent) {
    float A[16][16], B[16][8];
    int type = reinterpret_cast<const Operands *>(sent[0])->type;
    unsigned width = type == TF32 ? 8 : 16;
    for (unsigned lane = 0; lane < 32; lane++) {
        const Operands *own = reinterpret_cast<const Operands *>(sent[lane]);
        unsigned g = lane / 4, t = lane % 4;
        for (unsigned i = 0; i < width / 2; i++)
            A[row_of_a(type, g, i)][column_of_a(type, t, i)] = element(type, own->a, i);
        for (unsigned i = 0; i < width / 4; i++) B[row_of_b(type, t, i)][g] = element(type, own->b, i);
    }
    for (unsigned lane = 0; lane < 32; lane++) {
        float *d = reinterpret_cast<const Operands *>(sent[lane])->d;
        for (unsigned i = 0; i < 4; i++) {
            double sum = d[i];
            unsigned row = lane / 4 + 8 * (i / 2), column = lane % 4 * 2 + i % 2;
            for (unsigned k = 0; k < width; k++) sum += double(A[row][k]) * B[k][column];
            d[i] = float(sum);
        }
    }
}
}  // namespace
}  // namespace symcell_emulator
