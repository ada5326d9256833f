"""Contributions of a matrix's shape, taken apart by what their factors vary along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy
from sympy import Expr

from symcell.graph import Operand
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True)
class Split:
    """A product's factors, none of them laid: those of one unit; vectors along the rows and along the columns; and the
    product of all others, which are matrices. ``order``: the operands in the order of the page."""

    scalars: tuple[Expr, ...]
    vectors: tuple[tuple[Expr, ...], tuple[Expr, ...]]
    inner: Expr
    order: tuple[Operand, ...]

    def met(self, expr: Expr) -> tuple[Operand, ...]:
        """The operands of an expression of these factors, in order."""
        found = expr.atoms(At, Param)
        return tuple(o for o in dict.fromkeys((*self.order, *(o.along(None) for o in self.order))) if o in found)


def split(expr: Expr, order: tuple[Operand, ...], is_scalar: Callable[[Operand], bool]) -> Split:
    """Take the factors of a contribution apart."""
    scalars: list[Expr] = []
    vectors: tuple[list[Expr], list[Expr]] = ([], [])
    inner: list[Expr] = []
    for factor in sympy.Mul.make_args(expr):
        operands = [o for o in factor.atoms(At, Param) if not is_scalar(o)]
        axes = {o.axis for o in operands}
        if not operands:
            scalars.append(factor.xreplace({o: o.along(None) for o in factor.atoms(At, Param)}))
        elif axes in ({0}, {1}):
            vectors[axes.pop()].append(factor.xreplace({o: o.along(None) for o in operands}))
        else:
            inner.append(factor)
    return Split(tuple(scalars), (tuple(vectors[0]), tuple(vectors[1])), sympy.Mul(*inner), order)
