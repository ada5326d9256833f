"""CUDA sources that the emulator's tests run and that NVRTC must accept as well: what runs here must be CUDA."""

ADD = r"""
typedef REAL real;
extern "C" __global__ void add(const real* __restrict__ x, const real* __restrict__ y, real* z, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) z[i] = x[i] + y[i];
}
"""

INDEX_2D = r"""
extern "C" __global__ void number(int* out, int rows, int columns) {
    int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (row < rows && column < columns)
        out[row * columns + column] =
            1000 * (threadIdx.y * blockDim.x + threadIdx.x) + blockIdx.y * gridDim.x + blockIdx.x;
}
"""

# A sum by a tree in shared memory; without the barrier of the loop it is wrong in one order of threads or the other.
TREE = r"""
extern "C" __global__ void __launch_bounds__(256) total(const float* x, float* out, long long n) {
    __shared__ float part[256];
    float sum = 0.0f;
    for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
    part[threadIdx.x] = sum;
    BARRIER
    for (int k = blockDim.x / 2; k > 0; k /= 2) {
        if (threadIdx.x < k) part[threadIdx.x] += part[threadIdx.x + k];
        BARRIER
    }
    if (threadIdx.x == 0) out[blockIdx.x] = part[0];
}
"""
REDUCE = TREE.replace("BARRIER", "__syncthreads();")
REDUCE_WITHOUT_BARRIERS = TREE.replace("BARRIER", "")

WARP = r"""
extern "C" __global__ void lanes(const float* x, float* down, float* up, float* flip, float* from, int* votes) {
    int i = threadIdx.x;
    float v = x[i];
    down[i] = __shfl_down_sync(0xffffffffu, v, 3);
    up[i] = __shfl_up_sync(0xffffffffu, v, 3, 16);
    flip[i] = __shfl_xor_sync(0xffffffffu, v, 5);
    from[i] = __shfl_sync(0xffffffffu, v, 7, 8);
    __syncwarp();
    votes[i] = __popc(__ballot_sync(0xffffffffu, v < 40.0f)) + 100 * __any_sync(0xffffffffu, i == 63)
             + 1000 * __all_sync(0xffffffffu, i < 32);
}
extern "C" __global__ void doubles(double* x) {
    double v = x[threadIdx.x];
    for (int k = 16; k > 0; k /= 2) v += __shfl_down_sync(0xffffffffu, v, k);
    if (threadIdx.x % 32 == 0) x[threadIdx.x] = v;
}
"""

DYNAMIC = r"""
extern "C" __global__ void reverse(double* x) {
    extern __shared__ __align__(16) double buffer[];
    int i = threadIdx.x, n = blockDim.x;
    buffer[i] = x[blockIdx.x * n + i];
    __syncthreads();
    x[blockIdx.x * n + i] = buffer[n - 1 - i];
}
extern "C" __global__ void unwritten(float* out) {
    extern __shared__ float dynamic[];
    __shared__ float fixed[8];
    int i = threadIdx.x;
    if (i == 0) { dynamic[0] = 1.0f; fixed[0] = 2.0f; }
    __syncthreads();
    out[2 * i] = dynamic[i];
    out[2 * i + 1] = fixed[i];
}
"""

DIVERGENT = r"""
extern "C" __global__ void half(float* x) {
    if (threadIdx.x < blockDim.x / 2)
        __syncthreads();
    x[threadIdx.x] = 1.0f;
}
extern "C" __global__ void branches(float* x) {
    if (threadIdx.x % 2)
        __syncthreads();
    else
        __syncthreads();
    x[threadIdx.x] = 1.0f;
}
extern "C" __global__ void lane(float* x) {
    if (threadIdx.x != 5) x[threadIdx.x] = __shfl_sync(0xffffffffu, x[threadIdx.x], 0);
    __syncthreads();
}
extern "C" __global__ void counts(int* x) {
    int i = threadIdx.x;
    x[i] = __syncthreads_count(i < 10) + 100 * __syncthreads_or(i == 3) + 1000 * __syncthreads_and(i < 4);
}
"""

GRID = r"""
#include <cooperative_groups.h>
namespace cg = cooperative_groups;
extern "C" __global__ void rotate(float* x, float* out, long long steps) {
    __shared__ float mine;
    cg::grid_group grid = cg::this_grid();
    unsigned long long i = grid.thread_rank(), n = grid.size();
    if (threadIdx.x == 0) mine = 100.0f * blockIdx.x;
    for (long long t = 0; t < steps; t++) {
        float next = x[(i + 1) % n];
        grid.sync();
        x[i] = next;
        grid.sync();
    }
    out[i] = x[i] + mine;
}
extern "C" __global__ void some_blocks(float* x) {
    if (blockIdx.x == 0) cg::this_grid().sync();
    x[blockIdx.x] = 1.0f;
}
"""

# A barrier over the grid made of an atomic counter: a spinning thread lets others run in __nanosleep().
SPIN = r"""
extern "C" __global__ void spin(int* counter, int* out) {
    if (threadIdx.x == 0) {
        atomicAdd(counter, 1);
        while (*(volatile int*)counter < (int)gridDim.x) __nanosleep(20);
    }
    __syncthreads();
    out[blockIdx.x * blockDim.x + threadIdx.x] = *counter;
}
"""

MATH = r"""
extern "C" __global__ void singles(const float* x, float* out) {
    int i = 0;
    float v = x[0];
    out[i++] = tanhf(v) - tanh(v); out[i++] = expf(v) - __expf(v); out[i++] = log1pf(v) - log1p(v);
    out[i++] = rsqrtf(4.0f); out[i++] = normcdff(0.0f); out[i++] = erff(0.0f) + erfcf(0.0f); out[i++] = expm1f(0.0f);
    out[i++] = fmaxf(v, NAN_F); out[i++] = max(1, 2) + min(2.0f, 3.0f); out[i++] = v * NAN_F;
    out[i++] = isnan(NAN_F) + isinf(v / 0.0f); out[i++] = __saturatef(3.0f); out[i++] = fdividef(v, 2.0f);
    out[i++] = pow(v, 2) - powf(v, 2.0f); out[i++] = fmaf(2.0f, 3.0f, 4.0f); out[i++] = copysignf(1.0f, -0.0f);
}
extern "C" __global__ void atomics(float* sum, double* total, int* most, unsigned* bits, unsigned long long* last) {
    int i = threadIdx.x;
    atomicAdd(sum, 0.5f); atomicAdd(total, 0.25); atomicMax(most, i); atomicOr(bits, 1u << i);
    if (atomicCAS(last, 0ull, 7ull) != 0ull) atomicExch(last + 1, (unsigned long long)i);
}
"""
MATH = MATH.replace("NAN_F", "__int_as_float(0x7fffffff)")

ARRIVAL = r"""
extern "C" __global__ void arrive(int* counter, int* before, int* after) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    before[atomicAdd(counter, 1)] = i;
    __syncthreads();
    after[atomicAdd(counter + 1, 1)] = i;
}
"""

KINDS = r"""
extern "C" __global__ void kinds(
    const float* x, double* y, int n, long long m, float a, double b, bool flag, unsigned u) {
    y[0] = x[0] + n + m + a + b + flag + u;
}
extern "C" __global__ void nothing() {}
"""

SOURCES = {
    "add_float": ADD.replace("REAL", "float"),
    "add_double": ADD.replace("REAL", "double"),
    "index": INDEX_2D,
    "reduce": REDUCE,
    "warp": WARP,
    "dynamic": DYNAMIC,
    "divergent": DIVERGENT,
    "spin": SPIN,
    "math": MATH,
    "arrival": ARRIVAL,
    "kinds": KINDS,
}
