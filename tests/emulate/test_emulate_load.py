"""An emitted-like module, unmodified, end to end; and the stand-in's habits where CuPy's differ from NumPy's."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import numpy as np
import pytest

from symcell.emulate import load
from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages

MODULE = '''
"""An Elman cell, h_t = tanh(W x_t + U h_{t-1}), written as an emitted module is."""

import cupy as cp
import numpy as np
from cupy import cublas

_KERNELS = cp.RawModule(
    code=r"""
extern "C" __global__ void elman(const float* __restrict__ a, float* __restrict__ h, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) h[i] = tanhf(a[i]);
}
""",
    options=("--std=c++17",),
)


def forward(params, x):
    if not isinstance(x, cp.ndarray):
        raise TypeError(f"x must be an array, not {type(x).__name__}")
    T, B, _ = x.shape
    W, U = params["W"], params["U"]
    kernel = _KERNELS.get_function("elman")
    a = cp.empty((T, B, W.shape[0]), x.dtype)
    cp.matmul(x.reshape(T * B, -1), W.T, out=a.reshape(T * B, -1))
    y, h = cp.empty_like(a), cp.zeros(a.shape[1:], a.dtype)
    for t in range(T):
        cublas.gemm("N", "T", h, U, out=a[t], beta=1.0)
        kernel((-(-h.size // 128),), (128,), (a[t], y[t], h.size))
        h = y[t]
    return y
'''


@pytest.fixture
def cp() -> Any:
    """The stand-in package."""
    return packages(Settings())["cupy"]


def test_an_emitted_module_end_to_end() -> None:
    rng = np.random.default_rng(0)
    W, U = (rng.standard_normal((5, n)).astype(np.float32) for n in (3, 5))
    x = rng.standard_normal((7, 4, 3)).astype(np.float32)
    elman = load(MODULE, "elman")
    cp = elman.cp
    y, h = elman.forward({"W": cp.asarray(W), "U": cp.asarray(U)}, cp.asarray(x)), np.zeros((4, 5))
    for t in range(7):
        h = np.tanh(x[t] @ W.T + h @ U.T)
        np.testing.assert_allclose(y[t].get(), h, rtol=1e-5, atol=1e-6)
    assert type(y.get()) is np.ndarray
    with pytest.raises(TypeError, match="not list"):
        elman.forward({}, [1])


def test_nothing_else_sees_the_stand_in() -> None:
    before = set(sys.modules)
    module = load("import cupy as cp, numpy, json\nfrom cupy.cuda import Device\nimport cupy.cublas as blas", "m")
    assert "cupy" not in set(sys.modules) - before
    assert "m" not in sys.modules
    assert module.numpy is np
    assert module.Device().compute_capability == "90"
    assert module.blas is module.cp.cublas
    with pytest.raises(ImportError, match="cupyx"):
        load("import cupyx.scipy", "m")
    with pytest.raises(ImportError):
        load("from cupy import nonsense", "m")


def test_cublas_must_be_imported_as_in_cupy() -> None:
    assert not hasattr(load("import cupy as cp", "m").cp, "cublas")
    assert load("import cupy as cp, cupy.cublas", "m").cp.cublas.gemm
    assert load("from cupy import cublas", "m").cublas.gemm


def test_two_modules_share_nothing() -> None:
    first, second = (load("import cupy as cp", "m") for _ in range(2))
    assert first.cp is not second.cp


def test_a_traceback_shows_the_source() -> None:
    module = load("def f():\n    return 1 // 0  # here\n", "m")
    try:
        module.f()
    except ZeroDivisionError:
        assert "return 1 // 0  # here" in traceback.format_exc()


def test_an_unknown_order() -> None:
    with pytest.raises(ValueError, match="sideways"):
        load("", "m", order="sideways")  # type: ignore[arg-type]


def test_only_its_own_arrays_are_arrays(cp: Any) -> None:
    assert isinstance(cp.zeros(2), cp.ndarray)
    for other in (np.zeros(2), [1.0], np.float32(1)):
        assert not isinstance(other, cp.ndarray)
    assert not isinstance(cp.zeros(2), np.ndarray)


def test_elements_and_reductions_are_0d_arrays(cp: Any) -> None:
    x = cp.arange(6, dtype=cp.float32).reshape(2, 3)
    for value in (x[0, 0], x.sum(), x[0][1], cp.exp(x[0, 0]), x[0, 0] + 1, cp.max(x), x.reshape(-1)[2]):
        assert isinstance(value, cp.ndarray)
        assert value.shape == ()
        assert value.dtype == np.float32
    view = x[1, 2]
    view[...] = 9
    assert x[1, 2] == 9
    assert float(x.sum()) == 19


def test_unwritten_arrays_show(cp: Any) -> None:
    assert cp.isnan(cp.empty((2, 3), cp.float32)).all()
    assert cp.isnan(cp.empty_like(cp.zeros(3))).all()
    assert cp.isnan(cp.ndarray((4,), np.float64)).all()
    assert (cp.empty(3, cp.int32) == 2**31 - 1).all()
    assert cp.empty(0).shape == (0,)


def test_host_copies_are_plain_and_separate(cp: Any) -> None:
    x = cp.ones(3)
    for host in (x.get(), cp.asnumpy(x)):
        assert type(host) is np.ndarray
        host[0] = 5
    assert x[0] == 1
    x.set(np.full(3, 2.0))
    assert (x == 2).all()
    with pytest.raises(ValueError, match="set"):
        x.set(np.ones(2))


def test_names_that_cupy_lacks_are_missing(cp: Any) -> None:
    assert cp.float32 is np.float32
    with pytest.raises(AttributeError, match="busday_offset"):
        _ = cp.busday_offset
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = cp.no_such_name


def test_minimal_cuda_api(cp: Any) -> None:
    cp.cuda.Stream.null.synchronize()
    with cp.cuda.Device(0), cp.cuda.Stream():
        cp.cuda.Device().synchronize()
    assert cp.cuda.runtime.getDeviceCount() == 1
    cp.get_default_memory_pool().free_all_blocks()
    assert cp.get_array_module(np.ones(1), cp.ones(1)) is cp
    assert cp.get_array_module(np.ones(1)) is np
    start = cp.cuda.Event()
    start.record()
    end = cp.cuda.Stream.null.record()
    end.synchronize()
    assert cp.cuda.get_elapsed_time(start, end) >= 0


def test_raw_kernel_compiles_at_its_first_use(cp: Any) -> None:
    broken = cp.RawKernel("not CUDA", "k")
    with pytest.raises(Exception, match="no kernel 'k'"):
        broken((1,), (1,), ())
    kernel = cp.RawKernel('extern "C" __global__ void k(float* x) { x[0] = 3.0f; }', "k")
    x = cp.zeros(1, cp.float32)
    kernel((1,), (1,), (x,))
    assert x[0] == 3
    with pytest.raises(TypeError):
        cp.RawModule("positional code")
