// What CUDA C++ gives a kernel, for a host C++ compiler: qualifiers, built-in variables, synchronisation and math.
// It is put before the unmodified kernel source. No standard header is included: NVRTC has none either, they cost
// compile time, and their names (gamma, y0, REG_R8, ...) would collide with a kernel's own.
// The scheduler behind the barriers is runtime.cpp. Launches of one library run one at a time, under a lock.
#pragma once

#define SYMCELL_HIDDEN __attribute__((visibility("hidden")))
#define SYMCELL_UNWATCHED __attribute__((no_sanitize("thread")))  // the runtime is told of its accesses

// ---- types -----------------------------------------------------------------------------------------------------
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
SYMCELL_VECTOR(unsigned, uint)
SYMCELL_VECTOR(short, short)
SYMCELL_VECTOR(unsigned short, ushort)
SYMCELL_VECTOR(long long, longlong)
SYMCELL_VECTOR(unsigned long long, ulonglong)
#undef SYMCELL_VECTOR

// ---- the runtime (runtime.cpp) ---------------------------------------------------------------------------------
namespace symcell_emulator {
struct Launch {
    unsigned grid[3], block[3], cluster[3];
    unsigned long long shared_bytes;  // dynamic shared memory of each block
    unsigned long long seed;          // of a random order
    unsigned long long patience;      // seconds that a thread may run for without letting others run; 0: any time
    int cooperative;                  // launched so that blocks may wait for each other
    int order;                        // in which threads and blocks start and resume: see order.h
};
enum Operation { SYNC, COUNT, ANY, ALL, SHUFFLE, BALLOT, PRODUCT };
typedef unsigned long long Bits;  // of a value of at most 8 bytes
enum Does { READS = 1, WRITES = 2, ACQUIRES = 4, RELEASES = 8 };  // an atomic operation

SYMCELL_HIDDEN extern void *dynamic_shared;
SYMCELL_HIDDEN int block_barrier(Operation, int value, int line);
SYMCELL_HIDDEN Bits warp_exchange(Operation, unsigned mask, Bits, int source, int line);
SYMCELL_HIDDEN void grid_barrier(int line);
SYMCELL_HIDDEN void cluster_barrier(int line = __builtin_LINE());  // barrier.cluster.arrive.release and .wait.acquire
SYMCELL_HIDDEN void pause(int line);
SYMCELL_HIDDEN Bits atomic_load(const volatile void *, size_t, Bits value, int does, int line);
SYMCELL_HIDDEN void atomic_store(const volatile void *, size_t, Bits old, Bits value, int does, int line);
SYMCELL_HIDDEN void fence();
SYMCELL_HIDDEN void constant(const volatile void *, size_t, int line);
SYMCELL_HIDDEN unsigned long long clock_ticks(int line);
[[noreturn]] SYMCELL_HIDDEN void fail(const char *reason, int line);
SYMCELL_HIDDEN int run(const Launch *, void (*thread)(void **), void **args, char *message, size_t message_size);
}  // namespace symcell_emulator

// Constant for the running thread: the scheduler restores them before it resumes one.
SYMCELL_HIDDEN extern const uint3 threadIdx, blockIdx;
SYMCELL_HIDDEN extern const dim3 blockDim, gridDim;
static const int warpSize = 32;

// ---- qualifiers ------------------------------------------------------------------------------------------------
// __CUDA_ARCH__ stays undefined, as it is where nvcc compiles for the host: PTX stands behind #ifdef __CUDA_ARCH__, and
// behind its #else the same for any C++ compiler, with its __atomic_* functions (see cuda_host_atomics.h).
#define __CUDACC__
#define __CUDACC_RTC__
#define __global__ __attribute__((visibility("default")))
#define __device__
#define __host__
#define __constant__ static
#define __managed__ static
#define __grid_constant__
#define __cluster_dims__(...)
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

// These let others run, as atomic operations do where they find the same again: a spin loop must have one of them.
inline void __nanosleep(unsigned, int line = __builtin_LINE()) { symcell_emulator::pause(line); }
inline long long clock64(int line = __builtin_LINE()) { return (long long)symcell_emulator::clock_ticks(line); }
inline int clock(int line = __builtin_LINE()) { return (int)symcell_emulator::clock_ticks(line); }
inline void __trap() { symcell_emulator::fail("__trap() was called", 0); }
#define assert(condition) ((condition) ? (void)0 : symcell_emulator::fail("assert(" #condition ") failed", __LINE__))

#include "cuda_host_warp.h"
#include "cuda_host_atomics.h"
#include "cuda_host_math.h"
#include "cuda_host_mma.h"
#include "cuda_host_entry.h"
