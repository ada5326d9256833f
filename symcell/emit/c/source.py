"""The C source of a plan: what it calls, its kernels, then the functions that Python calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from symcell.emit.c.kernels import KernelView, kernel
from symcell.emit.c.mathematics import definitions
from symcell.emit.c.sections import SectionView
from symcell.emit.c_family.layout import broken, tidy
from symcell.emit.comments import equation
from symcell.graph import Pointwise, Reduce
from symcell.program.model import Kernel, Program
from symcell.symbolic import functions as fn
from symcell.templating import environment

PRODUCTS = ("products", "plain", "gradients")
"""Templates of matrix products, in the order in which they refer to each other."""


def kernels_of(programs: Iterable[Program]) -> tuple[KernelView, ...]:
    """The kernels of some programs as C, in order."""
    return tuple(
        kernel(stage, program, partial(equation, program), fn.c_names())
        for program in programs
        for _, stage in program.stages()
        if isinstance(stage, Kernel)
    )


def source(kernels: Sequence[KernelView], sections: Sequence[SectionView]) -> str:
    """The C code, without the lines that define ``real``."""
    ops = [op for view in kernels for op in view.ops]
    largest = any(isinstance(op, Reduce) and op.kind == "max" for op in ops)
    called = [*fn.used(op.body for op in ops if isinstance(op, Pointwise)), *([fn.Maximum] if largest else [])]
    text = environment("c").get_template("c/source.c.j2").render(
        definitions=definitions(called),
        lowest=largest,
        kernels=kernels,
        sections=sections,
        products=[name for name in PRODUCTS if any(name in section.products for section in sections)],
        broken=broken,
    )  # fmt: skip
    return tidy(text)
