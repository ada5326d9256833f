"""NVRTC takes the sources that the emulator runs, and both refuse the same ones."""

from __future__ import annotations

from typing import Any

import grid_sources
import pytest
from cuda_sources import GRID, SOURCES

from symcell.emulate import CompileError, nvrtc

ALL = SOURCES | grid_sources.SOURCES
REASON = nvrtc.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")


@pytest.mark.parametrize("arch", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("name", ALL)
def test_compiles(name: str, arch: str) -> None:
    ptx = nvrtc.compile_ptx(ALL[name], arch)
    assert f".target {arch}".encode() in ptx
    assert b".entry" in ptx


@pytest.mark.skipif(not nvrtc.include_folders(), reason="CUDA's headers are not installed (nvidia-cuda-runtime)")
def test_compiles_cooperative_groups() -> None:
    assert b".entry rotate" in nvrtc.compile_ptx(GRID)


def test_options_and_machine_code() -> None:
    source = 'extern "C" __global__ void k(real* x) { x[0] = x[1] * SIZE; }'
    assert b"f64" in nvrtc.compile_ptx(source, options=("-Dreal=double", "-DSIZE=3"))
    assert nvrtc.compile_cubin(source, options=("-Dreal=float", "-DSIZE=3"))[:4] == b"\x7fELF"


def test_an_error_has_the_log() -> None:
    with pytest.raises(nvrtc.NvrtcError, match=r'sm_90: kernel.cu\(2\): error: identifier "nonsense" is undefined'):
        nvrtc.compile_ptx('extern "C" __global__ void k(float* x) {\n x[0] = nonsense; }')
    with pytest.raises(nvrtc.NvrtcError, match="sm_1"):
        nvrtc.compile_ptx("", arch="sm_1")


def test_too_much_shared_memory_is_an_error() -> None:
    source = 'extern "C" __global__ void k(float* x) { __shared__ float s[20000]; s[threadIdx.x] = x[0]; '
    with pytest.raises(nvrtc.NvrtcError, match="too much shared data"):
        nvrtc.compile_ptx(source + "__syncthreads(); x[1] = s[threadIdx.x ^ 1]; }")


def accepts(compile_source: Any, error: type[Exception]) -> bool:
    try:
        compile_source()
    except error:
        return False
    return True


@pytest.mark.parametrize(
    "statement",
    [
        *("x[0] = exp(x[0]);", "x[0] = exp(1);", "x[0] = fmax(1.0f, 2.0);", "x[0] = pow(x[0], 2);"),
        *("x[0] = max(1, 2u);", "x[0] = max(1, 2ll);", "x[0] = max(1.0f, 2.0);", "x[0] = NAN;", "x[0] = M_PI;"),
        *("int32_t i = 0;", "x[0] = std::max(1, 2);", "size_t n = 1;", "assert(x[0] > 0);", "threadIdx.x = 1;"),
        *("x[0] = abs(-1);", "float4 v = make_float4(1, 2, 3, 4); x[0] = v.w;", "x[0] = pow(x[0], 2.0);"),
        *("float gamma = 1; x[0] = gamma;", "x[0] = erfcxf(1.0f);", 'printf("%f", x[0]);', "x[0] = __ldg(x + 1);"),
    ],
)
def test_the_emulator_accepts_what_nvrtc_accepts(kernel: Any, statement: str) -> None:
    source = f'extern "C" __global__ void k(float* x) {{ {statement} }}'
    here = accepts(lambda: kernel(source, "k"), CompileError)
    assert here == accepts(lambda: nvrtc.compile_ptx(source), nvrtc.NvrtcError)
