// Warp shuffles and votes, and their barrier: included by cuda_host.h.
#pragma once

namespace symcell_emulator {
inline int lane() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}
template <class T> inline T shuffle(unsigned mask, T value, int source, int line) {
    static_assert(sizeof(T) <= 8, "shuffles move at most 8 bytes");
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    bits = warp_exchange(SHUFFLE, mask, bits, source, line);
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}
// The source lane of each shuffle, from the CUDA programming guide; out of the segment of `width` lanes: one's own.
inline int source_at(int from, int width) { int me = lane(); return (me & ~(width - 1)) | (from & (width - 1)); }
inline int source_up(int delta, int width) {
    int me = lane(), from = me - delta;
    return from < (me & ~(width - 1)) ? me : from;
}
inline int source_down(int delta, int width) {
    int me = lane();
    return (me & (width - 1)) + delta >= width ? me : me + delta;
}
inline int source_xor(int flip, int width) {
    int me = lane(), from = me ^ flip;
    return from >= (me & ~(width - 1)) + width ? me : from;
}
}  // namespace symcell_emulator

template <class T> inline T __shfl_sync(unsigned mask, T v, int from, int width = 32, int line = __builtin_LINE()) {
    return symcell_emulator::shuffle(mask, v, symcell_emulator::source_at(from, width), line);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T v, unsigned d, int width = 32, int line = __builtin_LINE()) {
    return symcell_emulator::shuffle(mask, v, symcell_emulator::source_up(d, width), line);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T v, unsigned d, int width = 32, int line = __builtin_LINE()) {
    return symcell_emulator::shuffle(mask, v, symcell_emulator::source_down(d, width), line);
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T v, int flip, int width = 32, int line = __builtin_LINE()) {
    return symcell_emulator::shuffle(mask, v, symcell_emulator::source_xor(flip, width), line);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) {
    symcell_emulator::warp_exchange(symcell_emulator::SYNC, mask, 0, 0, line);
}
inline unsigned __ballot_sync(unsigned mask, int p, int line = __builtin_LINE()) {
    return (unsigned)symcell_emulator::warp_exchange(symcell_emulator::BALLOT, mask, p != 0, 0, line);
}
inline int __any_sync(unsigned mask, int p, int line = __builtin_LINE()) { return __ballot_sync(mask, p, line) != 0; }
inline int __all_sync(unsigned mask, int p, int line = __builtin_LINE()) { return __ballot_sync(mask, !p, line) == 0; }
