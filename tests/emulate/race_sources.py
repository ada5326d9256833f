"""Small kernels, right as they stand, and the edits that plant a race in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from cuda_sources import DYNAMIC, GRID, REDUCE
from grid_sources import BARRIER, FENCED, LOCK, LOOP

OWN = r"""
extern "C" __global__ void own(float* x, unsigned short* half, unsigned char* mask) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    x[i] = 1.0f;
    half[i] = i;
    mask[i] = i;
    if (i == 0) x[gridDim.x * blockDim.x] = 1.0f;
}
"""

WARPS = r"""
extern "C" __global__ void swap(float* x) {
    __shared__ float first[64], second[64];
    first[threadIdx.x] = second[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    x[threadIdx.x] = second[threadIdx.x ^ 1];
}
"""

FLAG = r"""
extern "C" __global__ void hand_on(volatile int* flag, float* x) {
    if (threadIdx.x != 0) return;
    if (blockIdx.x == 0) {
        x[0] = 1.0f;
        __threadfence();
        *flag = 1;
    } else {
        while (*flag == 0) {}
        __threadfence();
        x[1] = x[0];
    }
}
"""

# Two stages a step: each block makes a part of all rows, and then works on a row of its own, reading all its parts.
STAGES = (
    BARRIER
    + r"""
extern "C" __global__ void stages(float* rows, float* sums, unsigned* counter, int steps) {
    int n = gridDim.x, me = blockIdx.x;
    unsigned goal = 0;
    for (int t = 0; t < steps; t++) {
        if (threadIdx.x < n) rows[threadIdx.x * n + me] = t > 0 ? __ldcg(sums + threadIdx.x) : 1.0f;
        grid_barrier(counter, goal += n);
        if (threadIdx.x == 0) {
            float sum = 0.0f;
            for (int i = 0; i < n; i++) sum += __ldcg(rows + me * n + i);
            sums[me] = sum;
        }
        grid_barrier(counter, goal += n);
    }
}
"""
)


@dataclass(frozen=True)
class Case:
    """A kernel that has no race, how it is launched, and faults: what is cut out or replaced, and the race by then."""

    code: str
    kernel: str
    grid: tuple[int, ...]
    threads: int
    args: Callable[[], tuple[Any, ...]]
    faults: dict[str, tuple[str, str, str]]
    shared: int = 0
    cooperative: bool = False


def _floats(count: int) -> np.ndarray[Any, Any]:
    return np.ones(count, np.float32)


def _integers(*counts: int) -> tuple[np.ndarray[Any, Any], ...]:
    return tuple(np.zeros(n, np.int32) for n in counts)


def _loop() -> tuple[Any, ...]:
    return _floats(24 * 24), _floats(4 * 24), np.zeros(1, np.uint32), np.int32(3), np.int32(24)


CASES = {
    "own elements": Case(
        OWN, "own", (3,), 40, lambda: (_floats(121), np.zeros(120, np.uint16), np.zeros(120, np.uint8)),
        {
            "in a block": ("x[i] = 1.0f", "x[i / 2] = 1.0f", r"x\[\d+\] in line 4, thread .* wrote it in line 4"),
            "between blocks": ("if (i == 0) x", "if (threadIdx.x == 0) x", r"x\[120\] in line 7, .* it in line 7"),
            "of bytes": ("mask[i]", "mask[i & ~1]", r"mask\[\d+\] in line 6, thread .* wrote it in line 6"),
        },
    ),
    "a sum in shared memory": Case(
        REDUCE, "total", (2,), 256, lambda: (_floats(256), _floats(2), 256),
        {
            "no barrier before the loop": ("sum;\n    __syncthreads();", "sum;", r"of part \(shared memory\) in line"),
            "no barrier in the loop": ("k];\n        __syncthreads();", "k];", r"of part \(shared memory\) in line 9"),
        },
    ),
    "dynamic shared memory": Case(
        DYNAMIC, "reverse", (3,), 64, lambda: (np.ones(192),),
        {"no barrier": ("n + i];\n    __syncthreads();", "n + i];", "byte .* of dynamic shared memory in line")},
        shared=512,
    ),
    "the other lane": Case(
        WARPS, "swap", (1,), 64, lambda: (_floats(64),),
        {
            "a shuffle orders no memory": ("__syncwarp();", "__shfl_sync(0xffffffffu, 1, 0);", "of second"),
            "another warp": ("threadIdx.x ^ 1", "threadIdx.x ^ 32", "of second"),
        },
    ),
    "grid.sync()": Case(
        GRID, "rotate", (4,), 3, lambda: (_floats(12), _floats(12), 5),
        {
            "no first": ("        grid.sync();\n        x[i]", "        x[i]", r"x\[\d+\] in line"),
            "no second": ("next;\n        grid.sync();", "next;", r"x\[\d+\] in line"),
        },
        cooperative=True,
    ),
    "a loop over time": Case(
        LOOP, "loop", (1, 4), 64, _loop,
        {
            "no grid barrier": ("grid_barrier(counter, (t + 1) * gridDim.y);", "__syncthreads();", r" h\[\d+\] in"),
            "no release": ("__ATOMIC_RELEASE", "__ATOMIC_RELAXED", r"reads h\[\d+\] in line 35, thread .* wrote it in"),
            "no acquire": ("__ATOMIC_ACQUIRE", "__ATOMIC_RELAXED", r"reads h\[\d+\] in line 35, thread .* wrote it in"),
            "arrives before its block": ("target) {\n    __syncthreads();", "target) {", r" h\[\d+\] in line"),
            "leaves before its block": ("    }\n    __syncthreads();\n}", "    }\n}", r" h\[\d+\] in line"),
            "waits for the step before": ("(t + 1) * gridDim.y", "t * gridDim.y", r" h\[\d+\] in line"),
            "no barrier after staging": ("k);\n        __syncthreads();", "k);", "dynamic shared memory in line"),
        },
        shared=96, cooperative=True,
    ),
    "two stages a step": Case(
        STAGES, "stages", (2,), 32, lambda: (_floats(4), _floats(2), np.zeros(1, np.uint32), np.int32(4)),
        {
            "no first meeting": ("grid_barrier(counter, goal += n);\n        if", "__syncthreads();\n if", "rows"),
            "no second meeting": ("grid_barrier(counter, goal += n);\n    }", "__syncthreads();\n }", "(rows|sums)"),
        },
        cooperative=True,
    ),
    "fences": Case(
        FENCED, "sums", (4,), 32, lambda: (np.zeros(1, np.uint32), *_integers(4, 4)),
        {
            "none before": ("__threadfence();\n        atomicAdd", "atomicAdd", r"reads part\[\d\] in line"),
            "none after": ("__threadfence();\n        int", "int", r"reads part\[\d\] in line"),
        },
        cooperative=True,
    ),
    "a lock": Case(
        LOCK, "add", (3,), 40, lambda: _integers(1, 1),
        {
            "taken without a fence": ("__threadfence();\n            *sum", "*sum", r"sum\[0\] in line"),
            "left without a fence": ("__threadfence();\n            atomicExch", "atomicExch", r"sum\[0\] in line"),
        },
    ),
    "a flag": Case(
        FLAG, "hand_on", (2,), 32, lambda: (np.zeros(1, np.int32), _floats(2)),
        {
            "set without a fence": ("__threadfence();\n        *flag", "*flag", r"x\[0\] in line 10, .* in line 5"),
            "read without a fence": ("__threadfence();\n        x", "x", r"x\[0\] in line 10, .* in line 5"),
        },
        cooperative=True,
    ),
}  # fmt: skip
