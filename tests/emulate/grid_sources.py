"""CUDA sources whose blocks wait for each other, as persistent kernels do: a barrier made of one counter."""

BARRIER = r"""
__device__ __forceinline__ void arrive(unsigned* counter) {
#ifdef __CUDA_ARCH__
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" :: "l"(counter) : "memory");
#else
    __atomic_fetch_add(counter, 1u, __ATOMIC_RELEASE);
#endif
}
__device__ __forceinline__ unsigned arrived(const unsigned* counter) {
#ifdef __CUDA_ARCH__
    unsigned n;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(n) : "l"(counter) : "memory");
    return n;
#else
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);  // line 15
#endif
}
__device__ void grid_barrier(unsigned* counter, unsigned target) {
    __syncthreads();
    if (threadIdx.x == 0) {
        arrive(counter);
        while (arrived(counter) < target) {}
    }
    __syncthreads();
}
"""

# h_t = tanh(U h_{t-1}) for all t in one launch: a block has some of the units, and reads all of them from the others.
LOOP = (
    BARRIER
    + r"""
extern "C" __global__ void __launch_bounds__(256, 1)
loop(const float* __restrict__ U, float* h, unsigned* counter, int T, int H) {
    extern __shared__ __align__(16) float before[];
    int units = H / gridDim.y, first = blockIdx.y * units, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int t = 0; t < T; t++) {
        const float* from = h + (long long)t * H;
        float* to = h + (t + 1ll) * H;
        #pragma unroll
        for (int k = threadIdx.x; k < H; k += blockDim.x) before[k] = __ldcg(from + k);
        __syncthreads();
        for (int i = first + warp; i < first + units; i += blockDim.x / 32) {
            float sum = 0.0f;
            for (int k = lane; k < H; k += 32) sum += U[(long long)i * H + k] * before[k];
            for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
            if (lane == 0) __stcg(to + i, tanhf(sum));
        }
        grid_barrier(counter, (t + 1) * gridDim.y);
    }
}
"""
)

# CUDA's older way, without inline PTX: fences around relaxed atomic operations. And what waits in other ways.
FENCED = r"""
extern "C" __global__ void sums(unsigned* counter, int* part, int* out) {
    if (threadIdx.x == 0) {
        part[blockIdx.x] = blockIdx.x + 1;
        __threadfence();
        atomicAdd(counter, 1u);
        while (atomicAdd(counter, 0u) < gridDim.x) {}
        __threadfence();
        int sum = 0;
        for (int i = 0; i < gridDim.x; i++) sum += part[i];
        out[blockIdx.x] = sum;
    }
}
extern "C" __global__ void one_leaves(unsigned* counter) {
    if (blockIdx.x == 1) return;
    atomicAdd(counter, 1u);
    while (atomicCAS(counter, gridDim.x, gridDim.x) != gridDim.x) __nanosleep(20);  // line 17
}
extern "C" __global__ void patient(int* out) {
    long long start = clock64();
    for (int i = 0; i < 500; i++) __nanosleep(100);
    while (clock64() - start < 100000) {}
    out[blockIdx.x] = 1;
}
extern "C" __global__ void sleeps(volatile int* flag) {
    while (*flag == 0) __nanosleep(20);  // line 26
}
"""

# A spin lock, held while a number in global memory is changed.
LOCK = r"""
extern "C" __global__ void add(int* lock, int* sum) {
    bool done = false;
    while (!done) {
        if (atomicCAS(lock, 0, 1) == 0) {
            __threadfence();
            *sum = *sum + 1;
            __threadfence();
            atomicExch(lock, 0);
            done = true;
        }
    }
}
"""

# The blocks of a cluster hand each other what they made.
CLUSTER = r"""
__device__ __forceinline__ void cluster_barrier() {
#ifdef __CUDA_ARCH__
    asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::: "memory");
#else
    symcell_emulator::cluster_barrier();
#endif
}
extern "C" __global__ void __launch_bounds__(64, 1) __cluster_dims__(1, 4, 1) rotate(float* x, float* out, int steps) {
    __shared__ float mine;
    int i = blockIdx.y * blockDim.x + threadIdx.x, n = gridDim.y * blockDim.x;
    if (threadIdx.x == 0) mine = 100.0f * blockIdx.y;
    float* row = x + blockIdx.x * n;
    for (int t = 0; t < steps; t++) {
        float next = row[(i + 1) % n];
        cluster_barrier();
        row[i] = next;
        cluster_barrier();
    }
    out[blockIdx.x * n + i] = row[i] + mine;
}
extern "C" __global__ void __cluster_dims__(2) wait(unsigned* counter, unsigned goal) {
    atomicAdd(counter, 1u);
    while (atomicAdd(counter, 0u) < goal) {}
}
extern "C" __global__ void __cluster_dims__(2) leave(int* out) {
    if (blockIdx.x % 2) return;
    cluster_barrier();
    out[blockIdx.x] = 1;
}
extern "C" __global__ void __cluster_dims__(16, 1, 1) large() {}
"""

SOURCES = {"loop": LOOP, "fenced": FENCED, "lock": LOCK}
