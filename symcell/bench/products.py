"""The floor: a plan's matrix products alone, one after the other, by NumPy and its BLAS.

It is what an implementation takes that multiplies as BLAS does and does nothing else; one that multiplies better can
be faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from symcell.bench.work import Work
from symcell.cell import Size
from symcell.pipeline import plan as plan_of
from symcell.program.model import Gemm, Gradient, Program, Ref


@dataclass(frozen=True)
class Product:
    """One product of a program. ``each_step``: it runs step by step, over the samples; else over all rows at once.

    Of rows (a :class:`Gemm`): (rows, ``left``) @ (``left``, ``right``), whose matrix is stored the other way round
    unless ``transposed``. ``over_rows`` (a :class:`Gradient`): (``left``, rows) @ (rows, ``right``).
    """

    left: Size
    right: Size
    each_step: bool
    over_rows: bool = False
    transposed: bool = False

    def flops(self, work: Work) -> int:
        """Multiplications and additions in a whole sequence."""
        return 2 * work.steps * work.batch * self.left.value(work.sizes) * self.right.value(work.sizes)

    def runner(self, work: Work) -> Callable[[], None]:
        """The product over a whole sequence, into memory that is there already."""
        rows, left, right = work.steps * work.batch, self.left.value(work.sizes), self.right.value(work.sizes)
        first = np.ones((rows, left), np.float32)
        if self.over_rows:
            second, out = np.ones((rows, right), np.float32), np.empty((left, right), np.float32)
            return _each([(first.T, second, out)])
        shape = (left, right) if self.transposed else (right, left)
        matrix = np.ones(shape, np.float32)
        matrix = matrix if self.transposed else matrix.T
        count = work.batch if self.each_step else rows
        out = np.empty((count, right), np.float32)
        return _each([(first[k : k + count], matrix, out) for k in range(0, rows, max(count, 1))])


def _each(calls: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Callable[[], None]:
    def run() -> None:
        for first, second, out in calls:
            np.matmul(first, second, out=out)

    return run


def products(program: Program) -> Iterator[Product]:
    """The products of rows with fixed matrices, and the gradients of these matrices."""

    def width(ref: Ref) -> Size:
        return sum((member.width for member in program.window(ref)), Size())

    for region, stage in program.stages():
        each_step = region.kind == "steps"
        if isinstance(stage, Gemm):
            yield Product(width(stage.left), width(stage.out), each_step, transposed=stage.transposed)
        elif isinstance(stage, Gradient):
            yield Product(width(stage.left), width(stage.right), each_step, over_rows=True)


def products_of(work: Work, measure: str) -> tuple[Product, ...]:
    """The products of a train step, or (any other ``measure``) those of the forward pass alone."""
    plan = plan_of(work.cell, "numpy")
    wanted = plan.programs.values() if measure == "train" else (plan.forward,)
    return tuple(product for program in wanted for product in products(program))


def flops(several: Iterable[Product], work: Work) -> int:
    """Multiplications and additions of all."""
    return sum(product.flops(work) for product in several)
