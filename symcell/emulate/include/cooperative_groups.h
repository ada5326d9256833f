// The part of cooperative groups that emitted kernels may use: this_grid() and this_thread_block().
#pragma once

namespace cooperative_groups {
struct grid_group {
    void sync(int line = __builtin_LINE()) const { symcell_emulator::grid_barrier(line); }
    bool is_valid() const { return true; }
    unsigned long long size() const {
        return (unsigned long long)gridDim.x * gridDim.y * gridDim.z * blockDim.x * blockDim.y * blockDim.z;
    }
    unsigned long long thread_rank() const {
        unsigned long long block = blockIdx.x + gridDim.x * (blockIdx.y + (unsigned long long)gridDim.y * blockIdx.z);
        unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
        return block * (blockDim.x * blockDim.y * blockDim.z) + thread;
    }
};
struct thread_block {
    void sync(int line = __builtin_LINE()) const {
        symcell_emulator::block_barrier(symcell_emulator::SYNC, 0, line);
    }
    unsigned size() const { return blockDim.x * blockDim.y * blockDim.z; }
    unsigned thread_rank() const { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }
};
inline grid_group this_grid() { return {}; }
inline thread_block this_thread_block() { return {}; }
}  // namespace cooperative_groups
