"""The CUDA source of every shipped cell compiles with NVIDIA's own compiler: in float for every architecture, in double
for the oldest and the newest; and kernels of all steps, which are of some sizes, keep to what a device has. Without
``--whole`` a few cells are compiled for all; the others in float for the oldest and in double for the newest."""

from __future__ import annotations

import functools

import pytest
from steps_kernels import DEVICES, launched, taken

import symcell
from symcell.emit.cupy import cuda_source
from symcell.emulate import nvrtc
from symcell.pipeline import plan

REASON = nvrtc.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")


@functools.cache
def source(name: str) -> str:
    return cuda_source(plan(name, "cupy"))


SLOW = (b"div.s64", b"div.u64", b"rem.s64", b"rem.u64")
OLDEST, NEWEST = nvrtc.ARCHITECTURES[0], nvrtc.ARCHITECTURES[-1]
KINDS = [("float", arch) for arch in nvrtc.ARCHITECTURES] + [("double", OLDEST), ("double", NEWEST)]
EVERYWHERE = ("rnn", "lstm", "mlstm", "mamba")
"""Cells whose source is compiled for all: without and with a cell state, with a matrix memory, with a scan of many."""


def sampled(name: str, kind: tuple[str, str]) -> bool:
    return name in EVERYWHERE or kind in (("float", OLDEST), ("double", NEWEST))


@pytest.mark.parametrize(("name", "real", "arch"), [
    pytest.param(name, *kind, marks=[] if sampled(name, kind) else pytest.mark.whole)
    for name in symcell.names() for kind in KINDS
])  # fmt: skip
def test_compiles(name: str, real: str, arch: str) -> None:
    ptx = nvrtc.compile_ptx(f"typedef {real} real;\n{source(name)}", arch)
    assert f".target {arch}".encode() in ptx
    assert b".entry forward_1" in ptx
    assert b".entry backward_1" in ptx
    assert not [op for op in SLOW if op in ptx], "a slow division"
    if real == "float":
        assert b".f64" not in ptx, "a float kernel computes in double"


# the rest, and all cells: python tests/emit/steps_kernels.py
STEPS = [("lstm", "sm_75", "float32"), ("layernorm_lstm", "sm_90", "float64"), ("lmu", "sm_120", "float32")]


@pytest.mark.parametrize(("name", "arch", "dtype"), STEPS)
def test_kernels_of_all_steps(name: str, arch: str, dtype: str) -> None:
    """At sizes that fill registers and shared memory: nothing spills, and blocks of 256 threads fit the device."""
    device = DEVICES[arch]
    kernels = launched(name, 256, 64, dtype, device)
    assert [kernel.name for kernel in kernels] == ["forward_steps", "backward_steps"]
    for kernel in kernels:
        found = taken(kernel, arch)
        assert f".entry {kernel.name}".encode() in found.ptx
        assert not [op for op in SLOW if op in found.ptx], "a slow division"
        assert (b".f64" in found.ptx) == (dtype == "float64")
        assert found.spilled == 0
        assert 64 < found.registers <= 255
        assert kernel.shared + found.static <= device.shared_per_block_optin
        waiting = kernel.grid[0] * kernel.grid[1]
        assert not kernel.cooperative or waiting <= device.multiprocessors
