"""CUDA for what is measured of a GPU before any cell: barriers of a grid, and what crosses its second-level cache.

The barrier is the one that a persistent kernel has at each step; all of it compiles without CUDA's headers.
"""

from __future__ import annotations

CUDA = r"""
__device__ __forceinline__ unsigned acquired(const unsigned* place) {
    unsigned seen;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(place) : "memory");
    return seen;
}

// All blocks of the grid meet: ``counter`` was zero, ``round`` counts from 1.
__device__ __forceinline__ void meet(unsigned* counter, unsigned round) {
    __syncthreads();
    if (threadIdx.x == 0) {
        asm volatile("red.release.gpu.global.add.u32 [%0], 1;" :: "l"(counter) : "memory");
        while ((int)(acquired(counter) - round * gridDim.y) < 0) { }
    }
    __syncthreads();
}

extern "C" __global__ void barriers(unsigned* counter, long long rounds) {
    for (unsigned round = 1; round <= rounds; ++round) meet(counter, round);
}

// Each round every block writes its part of n numbers and, behind the barrier, reads all of them: what a step of a
// recurrent cell moves.
extern "C" __global__ void exchanges(unsigned* counter, float4* state, float* out, long long quads, long long rounds) {
    const int part = (int)((quads + gridDim.y - 1) / gridDim.y), first = blockIdx.y * part;
    float total = 0.0f;
    for (unsigned round = 1; round <= rounds; ++round) {
        float4* now = state + (round & 1) * quads;
        for (int k = first + threadIdx.x; k < first + part && k < quads; k += blockDim.x)
            __stcg(now + k, make_float4(total, 1.0f, 2.0f, 3.0f));
        meet(counter, round);
        float sum = 0.0f;
        for (int k = threadIdx.x; k < quads; k += blockDim.x) {
            const float4 v = __ldcg(now + k);
            sum += (v.x + v.y) + (v.z + v.w);
        }
        total = sum * 1e-9f;
    }
    out[blockIdx.y * blockDim.x + threadIdx.x] = total;
}

// One thread follows pointers through memory that only the second-level cache holds.
extern "C" __global__ void chase(const unsigned* next, unsigned* out, long long hops) {
    unsigned place = 0;
    for (long long k = 0; k < hops; ++k) place = __ldcg(next + place);
    *out = place;
}

// Every block reads all of an array that fits the second-level cache.
extern "C" __global__ void reads(const float4* data, float* out, long long quads, long long rounds) {
    const int n = (int)quads, shift = (97 * blockIdx.x * blockDim.x) % n;
    float total = 0.0f;
    for (int round = 0; round < rounds; ++round)
#pragma unroll 4
        for (int k = threadIdx.x; k < n; k += blockDim.x) {
            const int place = k + shift;
            const float4 v = __ldcg(data + (place < n ? place : place - n));
            total += (v.x + v.y) + (v.z + v.w);
        }
    out[blockIdx.x * blockDim.x + threadIdx.x] = total;
}

// Shaped like a kernel of a step: an element each, ten arguments.
extern "C" __global__ void small(long long rows, long long units, float* a, long long at, const float* b,
                                 const float* c, const float* d, float* e, long long to, long long from) {
    const long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k < rows * units) a[at + k] = b[k] * c[k] + d[from + k] + e[to + k];
}
"""

NAMES = ("barriers", "exchanges", "chase", "reads", "small")
OPTIONS = ("--std=c++17",)
