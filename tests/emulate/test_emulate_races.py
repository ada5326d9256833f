"""Races are found whichever thread comes first and whatever the results are; and none where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from race_sources import CASES, FLAG, Case

from symcell.emulate import KernelError, load

ORDERS = ["forward", "reversed", 7]
FAULTS = [(case, fault) for case in CASES for fault in CASES[case].faults]


def run(kernel: Any, case: Case, code: str, order: Any) -> None:
    found = kernel(code, case.kernel, order, "races", enable_cooperative_groups=case.cooperative)
    found(case.grid, (case.threads,), case.args(), shared_mem=case.shared)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("case", CASES)
def test_none_where_all_is_ordered(kernel: Any, case: str, order: Any) -> None:
    run(kernel, CASES[case], CASES[case].code, order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("case", "fault"), FAULTS)
def test_a_planted_race(kernel: Any, case: str, fault: str, order: Any) -> None:
    old, new, message = CASES[case].faults[fault]
    assert CASES[case].code.count(old) == 1
    with pytest.raises(KernelError, match=f"kernel {CASES[case].kernel}: race: .*{message}"):
        run(kernel, CASES[case], CASES[case].code.replace(old, new), order)


def test_a_loop_that_reads_a_volatile_number_may_spin(kernel: Any) -> None:
    """Here it is known to be read; elsewhere such a loop needs ``__nanosleep``."""
    with pytest.raises(KernelError, match=r"deadlock: thread \(0, 0, 0\) of block 1 spins in line 9, where flag\[0\]"):
        run(kernel, CASES["a flag"], FLAG.replace("*flag = 1;", ""), "forward")


@pytest.mark.parametrize("order", ORDERS)
def test_what_the_launch_writes_is_not_read_by_the_cache_for_constants(kernel: Any, order: Any) -> None:
    """A barrier orders the two, and a GPU may still give what was there before."""
    code = r"""extern "C" __global__ void k(float* x, const float* y) {
        x[threadIdx.x] = __ldg(y + threadIdx.x);
        __syncthreads();
        y[0] == 1.0f ? x[threadIdx.x] += __ldg(FROM + threadIdx.x / 2) : 0.0f;
    }"""
    x, y = np.ones(8, np.float32), np.ones(8, np.float32)
    kernel(code.replace("FROM", "y"), "k", order, "races")((1,), (8,), (x, y))
    with pytest.raises(KernelError, match=r"reads by __ldg\(\) what was written, x\[\d\] in line 4: __ldg"):
        kernel(code.replace("FROM", "x"), "k", order, "races")((1,), (8,), (x, y))
    late = code.replace("FROM", "y").replace("__syncthreads();", "__syncthreads(); ((float*)y)[threadIdx.x] = 1.0f;")
    with pytest.raises(KernelError, match=r"writes what was read by __ldg\(\), y\[\d\] in line 3"):
        kernel(late, "k", order, "races")((1,), (8,), (x, y))


def test_a_module_may_be_loaded_so() -> None:
    source = """import cupy as cp
def f():
    code = 'extern "C" __global__ void k(float* x) { x[0] = threadIdx.x; }'
    cp.RawModule(code=code).get_function("k")((1,), (2,), (cp.zeros(1, cp.float32),))
"""
    load(source, "m").f()
    with pytest.raises(KernelError, match=r"race: thread \(1, 0, 0\) of block 0 writes x\[0\] in line 1"):
        load(source, "m", races=True).f()
    with pytest.raises(ValueError, match="not with both"):
        load(source, "m", races=True, sanitize=True)
