"""The CUDA source of all kernels of a plan: the functions that they call, then the kernels."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from symcell.emit.c_family.layout import broken, tidy
from symcell.emit.comments import equation
from symcell.emit.cupy.kernels import KernelView, kernel
from symcell.emit.cupy.matrix_rows import kind_of
from symcell.emit.cupy.steps_view import StepsView
from symcell.graph import Pointwise, Reduce
from symcell.program.model import Kernel, Program
from symcell.symbolic import functions as fn
from symcell.templating import environment


def kernels_of(programs: Iterable[Program]) -> tuple[KernelView, ...]:
    """The kernels of some programs as CUDA, in order."""
    return tuple(
        kernel(stage, program, partial(equation, program), fn.c_names(), steps=region.kind == "steps")
        for program in programs
        for region, stage in program.stages()
        if isinstance(stage, Kernel)
    )


def functions(kernels: Iterable[KernelView]) -> str:
    """The CUDA C of what kernels do for a row or a unit, without the line that defines ``real``; empty without any."""
    kernels = tuple(kernels)
    ops = [op for view in kernels for op in view.ops]
    largest = any(isinstance(op, Reduce) and op.kind == "max" for op in ops)
    called = [*fn.used(op.body for op in ops if isinstance(op, Pointwise)), *([fn.Maximum] if largest else [])]
    text = environment("cupy").get_template("cupy/kernels.cu.j2").render(
        definitions=fn.prelude(called, "__device__ inline"),
        lowest=largest,
        blocks=frozenset().union(*(view.blocks for view in kernels)),
        warps=frozenset().union(*(view.warps for view in kernels)),
        totals=[kind_of(op) for view in kernels for rows in view.passes for op in rows.totals],
        by_rows=any(view.passes for view in kernels),
        kernels=kernels,
        broken=broken,
    )  # fmt: skip
    return tidy(text) if kernels else ""


def launches(kernels: Iterable[KernelView]) -> str:
    """The CUDA C of kernels that are launches of their own, behind that of their functions."""
    kernels = tuple(kernels)
    text = environment("cupy").get_template("cupy/launches.cu.j2").render(kernels=kernels, broken=broken)
    return tidy(text) if kernels else ""


def sharing() -> str:
    """The CUDA C that kernels of all steps have in common."""
    return tidy(environment("cupy").get_template("cupy/products.cu.j2").render())


def matrix_units() -> str:
    """The CUDA C that these may have besides, for products on matrix units."""
    return tidy(environment("cupy").get_template("cupy/matrix.cu.j2").render())


def steps(view: StepsView) -> str:
    """The CUDA C of a kernel that runs all steps of a sweep, behind that of its kernels' functions."""
    return tidy(environment("cupy").get_template("cupy/steps.cu.j2").render(view=view, broken=broken))


def graph(view: StepsView) -> str:
    """The CUDA C of the same steps as kernels from meeting to meeting, of which a graph is made."""
    return tidy(environment("cupy").get_template("cupy/graph.cu.j2").render(view=view, broken=broken))
