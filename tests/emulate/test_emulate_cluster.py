"""The blocks of a cluster run at the same time and meet; clusters of a plain launch run one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from grid_sources import CLUSTER

from symcell.emulate import Device, KernelError, LaunchError, nvrtc
from symcell.emulate.kernels import find_kernels
from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages

ORDERS = ["forward", "reversed", 0, 3]


def rotated(kernel: Any, steps: int) -> Any:
    """Three clusters of four blocks, as the kernel leaves them, and what is right."""
    x, out = np.arange(3 * 4 * 5, dtype=np.float32), np.zeros((3, 20), np.float32)
    kernel((3, 4), (5,), (x, out, np.int32(steps)))
    expected = np.roll(np.arange(60).reshape(3, 20), -steps, axis=1) + np.repeat([0, 100, 200, 300], 5)
    return out, expected


@pytest.mark.parametrize("cooperative", [False, True])
@pytest.mark.parametrize("watch", ["nothing", "races"])
@pytest.mark.parametrize("order", ORDERS)
def test_blocks_of_a_cluster_meet(kernel: Any, order: Any, watch: Any, cooperative: bool) -> None:
    found = kernel(CLUSTER, "rotate", order, watch, enable_cooperative_groups=cooperative)
    np.testing.assert_array_equal(*rotated(found, 7))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("before", ["row[i] = next;", "out["])
def test_a_missing_barrier_of_a_cluster_is_a_race(kernel: Any, order: Any, before: str) -> None:
    code = CLUSTER.replace(f"cluster_barrier();\n        {before}", before).replace(
        f"        cluster_barrier();\n    }}\n    {before}", f"    }}\n    {before}"
    )
    assert code != CLUSTER
    with pytest.raises(KernelError, match=r"race: .* x\[\d+\] in line"):
        rotated(kernel(code, "rotate", order, "races"), 7)


@pytest.mark.parametrize("order", ORDERS)
def test_clusters_do_not_meet(kernel: Any, order: Any) -> None:
    """In a plain launch: those of a cooperative one may wait for each other, by other means."""
    wait = kernel(CLUSTER, "wait", order)
    wait((6,), (1,), (np.zeros(1, np.uint32), np.uint32(2)))
    with pytest.raises(KernelError, match=r"deadlock: .* where counter\[0\] stays 2, .* only those of a cluster"):
        wait((6,), (1,), (np.zeros(1, np.uint32), np.uint32(6)))
    kernel(CLUSTER, "wait", order, enable_cooperative_groups=True)((6,), (1,), (np.zeros(1, np.uint32), np.uint32(6)))


def test_blocks_that_have_finished_are_not_waited_for(kernel: Any) -> None:
    out = np.zeros(4, np.int32)
    kernel(CLUSTER, "leave")((4,), (32,), (out,))
    assert out.tolist() == [1, 0, 1, 0]


def test_dimensions() -> None:
    assert {k.name: k.cluster for k in find_kernels(CLUSTER).values()} == {
        "rotate": (1, 4, 1), "wait": (2, 1, 1), "leave": (2, 1, 1), "large": (16, 1, 1)
    }  # fmt: skip


def test_a_launch_that_has_no_such_clusters(kernel: Any) -> None:
    out = np.zeros(60, np.float32)
    with pytest.raises(LaunchError, match=r"\(3, 6, 1\) blocks is not made of clusters of \(1, 4, 1\)"):
        kernel(CLUSTER, "rotate")((3, 6), (5,), (out, out, np.int32(1)))
    with pytest.raises(LaunchError, match="16 blocks, and 8 is what every device has"):
        kernel(CLUSTER, "large")((16,), (1,), ())
    old = packages(Settings(device=Device(capability=(8, 6))))["cupy"]
    with pytest.raises(LaunchError, match=r"need compute capability 9\.0"):
        old.RawModule(code=CLUSTER).get_function("leave")((2,), (1,), (old.zeros(2, np.int32),))


@pytest.mark.skipif(nvrtc.unavailable() is not None, reason=nvrtc.unavailable() or "")
@pytest.mark.parametrize("arch", ["sm_90", "sm_100", "sm_120"])
def test_nvidias_compiler_takes_it(arch: str) -> None:
    assert b"barrier.cluster" in nvrtc.compile_ptx(CLUSTER, arch)
