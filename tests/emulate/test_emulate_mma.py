"""A warp's matrix product has its operands where PTX has them, and numbers of 16 bits are rounded as NumPy's are."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symcell.emulate import KernelError, nvrtc
from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages
from symcell.verify.targets import gpu_missing

TEXT = (Path(__file__).parents[2] / "templates" / "cupy" / "mma.cu.j2").read_text(encoding="utf-8")
CODE = TEXT + r"""
extern "C" __global__ void product(const unsigned* A, const unsigned* B, float* D) {
    unsigned a[4], b[2];
    float d[4];
    for (int i = 0; i < 4; i++) a[i] = A[4 * threadIdx.x + i];
    for (int i = 0; i < 2; i++) b[i] = B[2 * threadIdx.x + i];
    for (int i = 0; i < 4; i++) d[i] = D[4 * threadIdx.x + i];
    MMA(d, a, b);
    for (int i = 0; i < 4; i++) D[4 * threadIdx.x + i] = d[i];
}
extern "C" __global__ void some_lanes(float* D) {
    unsigned a[4] = {}, b[2] = {};
    float d[4] = {};
    if (threadIdx.x < 16) MMA(d, a, b);
    D[threadIdx.x] = d[0];
}
extern "C" __global__ void halves(const float* x, unsigned* bits, float* back) {
    int i = threadIdx.x;
    bits[i] = pack_f16(x[2 * i], x[2 * i + 1]);
    back[2 * i] = unpack_f16(bits[i] & 0xffff);
    back[2 * i + 1] = unpack_f16(bits[i] >> 16);
}
"""
BROAD = r"""
extern "C" __global__ void rounded(const float* x, unsigned* bits, float* back, unsigned* tf32) {
    int i = threadIdx.x;
    bits[i] = pack_bf16(x[2 * i], x[2 * i + 1]);
    back[2 * i] = unpack_bf16(bits[i] & 0xffff);
    back[2 * i + 1] = unpack_bf16(bits[i] >> 16);
    tf32[2 * i] = to_tf32(x[2 * i]);
    tf32[2 * i + 1] = to_tf32(x[2 * i + 1]);
}
"""
DEPTH = {"f16": 16, "bf16": 16, "tf32": 8}

ON = ["emulated", pytest.param("gpu", marks=pytest.mark.gpu)]


@pytest.fixture(params=ON)
def cp(request: pytest.FixtureRequest) -> Any:
    """CuPy: the stand-in, or on a GPU itself."""
    if request.param == "emulated":
        return packages(Settings())["cupy"]
    reason = gpu_missing()
    if reason:
        pytest.skip(reason)
    return importlib.import_module("cupy")


def bits_of(x: np.ndarray[Any, Any], kind: str) -> np.ndarray[Any, Any]:
    """The bits of numbers that the type has exactly."""
    if kind == "f16":
        return x.astype(np.float16).view(np.uint16).astype(np.uint32)
    return x.view(np.uint32) >> 16 if kind == "bf16" else x.view(np.uint32)


def fragments(A: Any, B: Any, D: Any, kind: str) -> tuple[Any, Any, Any]:
    """The registers of each lane, word by word from the PTX ISA's "Matrix Fragments for mma.m16n8k16" and "...m16n8k8".

    There groupID is laneid >> 2 and threadID_in_group is laneid % 4.
    """
    a, b, d = np.zeros((32, 4), np.uint32), np.zeros((32, 2), np.uint32), np.zeros((32, 4), np.float32)
    for lane in range(32):
        group, thread = lane >> 2, lane % 4
        for i in range(4):
            d[lane, i] = D[group if i < 2 else group + 8, thread * 2 + (i & 1)]
        if kind == "tf32":
            for i in range(4):
                a[lane, i] = A[group if i in (0, 2) else group + 8, thread if i in (0, 1) else thread + 4]
            for i in range(2):
                b[lane, i] = B[thread if i == 0 else thread + 4, group]
            continue
        for i in range(8):
            row = group if 0 <= i < 2 or 4 <= i < 6 else group + 8
            column = thread * 2 + (i & 1) if i < 4 else thread * 2 + (i & 1) + 8
            a[lane, i // 2] |= A[row, column] << np.uint32(16 * (i % 2))
        for i in range(4):
            row = thread * 2 + (i & 1) if i < 2 else thread * 2 + (i & 1) + 8
            b[lane, i // 2] |= B[row, group] << np.uint32(16 * (i % 2))
    return a, b, d


@pytest.mark.parametrize("kind", DEPTH)
def test_a_product(cp: Any, kind: str) -> None:
    """Of whole numbers, so that every type and every order of summation is exact."""
    rng = np.random.default_rng(0)
    A = rng.integers(-100, 100, (16, DEPTH[kind])).astype(np.float32)
    B = rng.integers(-100, 100, (DEPTH[kind], 8)).astype(np.float32)
    D = rng.integers(-100, 100, (16, 8)).astype(np.float32)
    a, b, d = map(cp.asarray, fragments(bits_of(A, kind), bits_of(B, kind), D, kind))
    kernel = cp.RawModule(code=CODE, options=(f"-DMMA=mma_{kind}",)).get_function("product")
    kernel((1,), (32,), (a, b, d))
    expected = fragments(A.astype(np.uint32), B.astype(np.uint32), A @ B + D, kind)[2]
    np.testing.assert_array_equal(cp.asnumpy(d), expected)


def test_tf32_has_ten_bits(cp: Any) -> None:
    """The product does not see the last 13 bits of its operands: rounding is what to_tf32 is for."""
    ones = np.float32(1) + np.float32(2.0**-11)
    a, b, d = (np.full((32, n), x, np.float32) for n, x in ((4, ones), (2, np.float32(1)), (4, np.float32(0))))
    kernel = cp.RawModule(code=CODE, options=("-DMMA=mma_tf32",)).get_function("product")
    result = cp.asarray(d)
    kernel((1,), (32,), (cp.asarray(a.view(np.uint32)), cp.asarray(b.view(np.uint32)), result))
    assert (cp.asnumpy(result) == 8).all()


def test_a_product_needs_all_lanes(kernel: Any) -> None:
    with pytest.raises(KernelError, match=r"mma.sync in line \d+ needs all 32 lanes, and 16 are"):
        kernel(CODE, "some_lanes", options=("-DMMA=mma_f16",))((1,), (32,), (np.zeros(32, np.float32),))
    with pytest.raises(KernelError, match=r"mma.sync in line \d+ needs all 32 lanes, and 16 are"):
        kernel(CODE, "some_lanes", options=("-DMMA=mma_f16",))((1,), (16,), (np.zeros(32, np.float32),))


def numbers() -> np.ndarray[Any, Any]:
    """Of every size, ties between neighbours of each type, and what is none."""
    rng = np.random.default_rng(1)
    made = (rng.standard_normal(1200) * 2.0 ** rng.integers(-30, 20, 1200)).astype(np.float32)
    ties = (1 + (np.arange(300) + 0.5) * 2.0**-10, 1 + (np.arange(300) + 0.5) * 2.0**-7, np.arange(100.5) * 2.0**-25)
    ends = [0, -0.0, 65504, 65519.99, 65520, -65520, np.inf, -np.inf, np.nan, 3e38, 6e-8, 2.9e-8, 3e-8]
    found = np.concatenate([made, *(t.astype(np.float32) for t in ties), np.array(ends, np.float32)])
    return found[: len(found) // 2 * 2]


def test_halves_are_rounded_as_by_numpy(cp: Any) -> None:
    x = numbers()
    bits, back = cp.zeros(x.size // 2, np.uint32), cp.zeros(x.size, np.float32)
    kernel = cp.RawModule(code=CODE, options=("-DMMA=mma_f16",)).get_function("halves")
    kernel((1,), (x.size // 2,), (cp.asarray(x), bits, back))
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    found = cp.asnumpy(bits).view(np.uint16).view(np.float16)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(cp.asnumpy(back), expected.astype(np.float32))


def nearest(x: np.ndarray[Any, Any], dropped: int, *, even: bool) -> np.ndarray[Any, Any]:
    """Numbers without their last bits, rounded; the exact way, in halves of a unit."""
    _, exponent = np.frexp(x.astype(np.float64))
    unit = 2.0 ** (exponent - 24 + dropped)
    scaled = x / unit
    whole = np.rint(scaled) if even else np.trunc(scaled + np.copysign(0.5, scaled))
    return np.where(np.isfinite(x), whole * unit, x).astype(np.float32)


def test_bf16_and_tf32_are_rounded(cp: Any) -> None:
    x = numbers()
    x = x[np.isfinite(x) & (abs(x) < 3e38)]
    x = x[: x.size // 2 * 2]
    bits, back, tf32 = cp.zeros(x.size // 2, np.uint32), cp.zeros(x.size, np.float32), cp.zeros(x.size, np.uint32)
    kernel = cp.RawModule(code=TEXT + BROAD).get_function("rounded")
    kernel((1,), (x.size // 2,), (cp.asarray(x), bits, back, tf32))
    np.testing.assert_array_equal(cp.asnumpy(back), nearest(x, 16, even=True))
    np.testing.assert_array_equal(cp.asnumpy(tf32).view(np.float32), nearest(x, 13, even=False))


@pytest.mark.skipif(nvrtc.unavailable() is not None, reason=nvrtc.unavailable() or "")
@pytest.mark.parametrize("arch", nvrtc.ARCHITECTURES)
def test_nvidias_compiler_takes_it(arch: str) -> None:
    kinds = ["f16"] if arch == "sm_75" else list(DEPTH)
    for kind in kinds:
        ptx = nvrtc.compile_ptx(CODE + (BROAD if arch != "sm_75" else ""), arch, (f"-DMMA=mma_{kind}",))
        assert f"{kind}.{kind}.f32".encode() in ptx
