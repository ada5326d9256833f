"""A product of a step as a kernel of its own: what two blocks make of samples and a matrix, each with a part of it."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable
from typing import Any

import numpy as np

import symcell
from symcell.emulate import load
from symcell.emulate.launch import Order
from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages
from symcell.pipeline import source

PARTS = 2
RUN = r"""
template <class P, class Left>
__device__ void run(
    real* shared, int partial, const stored* matrix, long long inner_stride, long long column_stride, const Left* left,
    long long stride, real* out, int batch, int count, int width) {
    const Part me(batch);
    typename P::Held held = {};
    P::load(held, shared, Columns<stored>(matrix, inner_stride, column_stride, me, 0, 0, count, width));
    __syncthreads();
    for (int first = 0; first < batch; first += AT_ONCE) {
        const int rows = batch - first < AT_ONCE ? batch - first : AT_ONCE;
        P::multiply(shared + partial, held, shared, left + first * stride, stride, rows);
        __syncthreads();
        P::template put<false>(
            out + first * count * width, count * width, shared + partial, rows, me, 0, count, width);
        __syncthreads();
    }
}
"""
KERNEL = r"""
extern "C" __global__ void %(name)s(
    const stored* matrix, long long inner_stride, long long column_stride, const %(left)s* left, long long stride,
    real* out, int batch, int count, int width) {
    extern __shared__ __align__(16) real shared[];
    run<%(product)s>(
        shared, %(partial)d, matrix, inner_stride, column_stride, left, stride, out, batch, count, width);
}
"""


@functools.cache
def module() -> types.ModuleType:
    """A module that has products, emulated."""
    return load(source(symcell.load("lstm"), "cupy"), "lstm")


def layout(product: Any, at_once: int, dtype: str) -> tuple[int, int]:
    """Where in shared memory a product's partial sums begin, and how many bytes there are in all."""
    _, (partial,), size = module()._layout((product,), at_once, module().ITEMSIZES[dtype][0])
    return partial, size


def code(products: Iterable[Any], at_once: int, dtype: str) -> str:
    """The CUDA of a kernel for each product, ``product_K``, and for 16 bits another that takes what is no rounded
    number, ``product_K_real``."""
    own, products = module(), tuple(products)
    given = {"THREADS": own.THREADS, "PARTS": PARTS, "AT_ONCE": at_once, "ONE_PIECE": 0, "CLUSTERS": 0, "SWEEPS": 1,
             "ROOM_ROWS": 1, "ROOMS": 0}  # fmt: skip
    head = "\n".join(f"#define {key} {value}" for key, value in given.items())
    text = [own.NUMBERS[dtype], head, own.THREAD, own.CUDA, own.SHARING]
    text += [own.MATRIX_UNITS] if any(product.unit for product in products) else []
    kinds = ("stored", "real") if own.ITEMSIZES[dtype][1] == 2 else ("stored",)
    for k, product in enumerate(products):
        partial, _ = layout(product, at_once, dtype)
        text += [KERNEL % {"name": f"product_{k}" + "_real" * (kind == "real"), "left": kind, "product": product.code,
                           "partial": partial} for kind in kinds]  # fmt: skip
    text.insert(-len(kinds) * len(products), RUN)
    return "\n".join(text)


class Products:
    """Kernels of products, compiled for the emulator."""

    def __init__(self, text: str, order: Order = "forward") -> None:
        self.cp: Any = packages(Settings("nothing", order))["cupy"]
        self.compiled = self.cp.RawModule(code=text, options=("--std=c++17",))

    def __call__(self, name: str, shared: int, matrix: Any, left: Any, groups: tuple[int, int], batch: int) -> Any:
        """``left`` (B × at least inner) times ``matrix`` (inner × columns, of any strides): count groups of columns of
        one width."""
        kernel = self.compiled.get_function(name)
        kernel.max_dynamic_shared_size_bytes = shared
        count, width = groups
        out = self.cp.asarray(np.full((batch, count * width), np.nan, kernel_real(left, matrix)))
        steps = [step // matrix.itemsize for step in matrix.strides]
        whole = self.cp.asarray(matrix if steps[1] == 1 else matrix.T)
        rows = self.cp.asarray(left)
        kernel((1, PARTS), (module().THREADS,),
               (whole, *map(np.int64, steps), rows, np.int64(left.shape[1]), out, np.int32(batch), np.int32(count),
                np.int32(width)), shared_mem=shared)  # fmt: skip
        return self.cp.asnumpy(out)


def kernel_real(left: Any, matrix: Any) -> Any:
    """The type in which products of these are computed."""
    return np.float64 if matrix.dtype == np.float64 else np.float32
