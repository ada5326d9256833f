// What CUDA C++ gives a kernel, for a host C++ compiler: qualifiers, built-in variables, synchronisation and math.
// It is put before the unmodified kernel source. No standard header is included: NVRTC has none either, they cost
// compile time, and their names (gamma, y0, REG_R8, ...) would collide with a kernel's own.
// The scheduler behind the barriers is runtime.cpp. Launches of one library run one at a time, under a lock.
#pragma once

#define SYMCELL_HIDDEN __attribute__((visibility("hidden")))

// ---- types -----------------------------------------------------------------------------------------------------
struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;

#define SYMCELL_VECTOR(T, name)                                                                       \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                                \
    struct name##3 { T x, y, z; };                                                                    \
    struct alignas(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) name##4 { T x, y, z, w; };                \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                        \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                                \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SYMCELL_VECTOR(float, float)
SYMCELL_VECTOR(double, double)
SYMCELL_VECTOR(int, int)
#undef SYMCELL_VECTOR

// ---- the runtime (runtime.cpp) ---------------------------------------------------------------------------------
namespace symcell_emulator {
struct Launch {
    unsigned grid[3], block[3];
    unsigned long long shared_bytes;  // dynamic shared memory of each block
    int cooperative;                  // launched so that grid.sync() is allowed
    int reversed;                     // start and resume threads and blocks from the last to the first
};
enum Operation { SYNC, COUNT, ANY, ALL, SHUFFLE, BALLOT };

SYMCELL_HIDDEN extern void *dynamic_shared;
SYMCELL_HIDDEN int block_barrier(Operation, int value, int line);
SYMCELL_HIDDEN unsigned long long warp_exchange(Operation, unsigned mask, unsigned long long bits, int source, int line);
SYMCELL_HIDDEN void grid_barrier(int line);
SYMCELL_HIDDEN void pause();
[[noreturn]] SYMCELL_HIDDEN void fail(const char *reason, int line);
SYMCELL_HIDDEN int run(const Launch *, void (*thread)(void **), void **args, char *message, size_t message_size);
}  // namespace symcell_emulator

// Constant for the running thread: the scheduler restores them before it resumes one.
SYMCELL_HIDDEN extern const uint3 threadIdx, blockIdx;
SYMCELL_HIDDEN extern const dim3 blockDim, gridDim;
static const int warpSize = 32;

// ---- qualifiers ------------------------------------------------------------------------------------------------
#define __CUDA_ARCH__ 900
#define __CUDACC__
#define __CUDACC_RTC__
#define __global__ __attribute__((visibility("default")))
#define __device__
#define __host__
#define __constant__ static
#define __managed__ static
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// One section holds every static __shared__ variable, so that the runtime can fill and swap all of them at once.
// (`extern __shared__` is rewritten in Python to a reference to dynamic_shared.)
#ifdef __APPLE__
#define __shared__ static __attribute__((section("__DATA,symcell_shared"), used))
#else
#define __shared__ static __attribute__((section("symcell_shared"), used))
#endif

// ---- barriers --------------------------------------------------------------------------------------------------
#define __syncthreads() ((void)symcell_emulator::block_barrier(symcell_emulator::SYNC, 0, __LINE__))
#define __syncthreads_count(p) symcell_emulator::block_barrier(symcell_emulator::COUNT, !!(p), __LINE__)
#define __syncthreads_or(p) symcell_emulator::block_barrier(symcell_emulator::ANY, !!(p), __LINE__)
#define __syncthreads_and(p) symcell_emulator::block_barrier(symcell_emulator::ALL, !!(p), __LINE__)

inline void __threadfence() { asm volatile("" ::: "memory"); }
inline void __threadfence_block() { asm volatile("" ::: "memory"); }
inline void __threadfence_system() { asm volatile("" ::: "memory"); }
// A spin loop must call this (or __nanosleep) in order to let the thread that it waits for run.
inline void __nanosleep(unsigned) { symcell_emulator::pause(); }
inline void __trap() { symcell_emulator::fail("__trap() was called", 0); }
#define assert(condition) ((condition) ? (void)0 : symcell_emulator::fail("assert(" #condition ") failed", __LINE__))

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
template <class T> inline T __shfl_up_sync(unsigned mask, T v, unsigned d, int width = 32, int line = __builtin_LINE()) {
    return symcell_emulator::shuffle(mask, v, symcell_emulator::source_up(d, width), line);
}
template <class T> inline T __shfl_down_sync(unsigned mask, T v, unsigned d, int width = 32, int line = __builtin_LINE()) {
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

#include "cuda_host_math.h"
#include "cuda_host_entry.h"
