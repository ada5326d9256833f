"""The CUDA source of every shipped cell compiles with NVIDIA's own compiler: in float for every architecture, in double
for the oldest and the newest."""

from __future__ import annotations

import functools

import pytest

import symcell
from symcell.emit.cupy import cuda_source
from symcell.emulate import nvrtc
from symcell.pipeline import plan

REASON = nvrtc.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")


@functools.cache
def source(name: str) -> str:
    return cuda_source(plan(name, "cupy"))


KINDS = [("float", arch) for arch in nvrtc.ARCHITECTURES] + [("double", nvrtc.ARCHITECTURES[k]) for k in (0, -1)]


@pytest.mark.parametrize(("real", "arch"), KINDS)
@pytest.mark.parametrize("name", symcell.names())
def test_compiles(name: str, arch: str, real: str) -> None:
    ptx = nvrtc.compile_ptx(f"typedef {real} real;\n{source(name)}", arch)
    assert f".target {arch}".encode() in ptx
    assert b".entry forward_1" in ptx
    assert b".entry backward_1" in ptx
    assert not [op for op in (b"div.s64", b"div.u64", b"rem.s64", b"rem.u64") if op in ptx], "a slow division"
    if real == "float":
        assert b".f64" not in ptx, "a float kernel computes in double"
