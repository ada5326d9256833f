"""Gradients of matrices as products over all steps and samples; gates that read the same as one product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy
from sympy import Expr

from symcell.derivation.arrange import arranged
from symcell.derivation.build.numbering import Numbering
from symcell.derivation.build.source import Source
from symcell.derivation.model import Display, Formula, Group, Paragraph, say
from symcell.derivation.nodes import Blocks, Chain, Delta, GradientOf, Outer, Rows, Total, TransposeOf
from symcell.symbolic.nodes import At, MatVec, Minus, Sum


def rows_form(body: Expr) -> Expr | None:
    """``Σ_t Σ_n u_t v_tᵀ`` as ``⟦u⟧ᵀ ⟦v⟧``; None where there is no such sum."""
    if isinstance(body, Total) and isinstance(body.args[0], Outer) and _varies(body.args[0]):
        left, right = body.args[0].args
        return Chain(TransposeOf(Rows(left)), Rows(right))
    if isinstance(body, Sum | Minus):
        parts = [rows_form(a) for a in body.args]
        return None if None in parts else body.func(*parts)
    return None


def _varies(outer: Outer) -> bool:
    return all(side.atoms(At, Delta) for side in outer.args)


@dataclass(frozen=True)
class Stack:
    """Values that are ``Σ matrix vector + rest`` over the same vectors: their matrices, one row a value.

    ``rests``: what else is added to each, such as a bias; 0 for nothing.
    """

    values: tuple[str, ...]
    vectors: tuple[Expr, ...]
    matrices: tuple[tuple[Expr, ...], ...]
    rests: tuple[Expr, ...]

    @property
    def matrix(self) -> Expr:
        return Blocks.stacked(*self.matrices)

    @property
    def vector(self) -> Expr:
        return _column(self.vectors)


def stacked_group(source: Source, numbering: Numbering) -> Group | None:
    """Gates that read the same vectors: one product forward, one backward, one for all of their gradients."""
    formulas = [f for stack in _stacks(source) for f in _formulas(source, numbering, stack)]
    if not formulas:
        return None
    return Group(say("parameters.stacked"), (Paragraph(say("parameters.one_product")), Display(tuple(formulas))))


def _formulas(source: Source, numbering: Numbering, stack: Stack) -> Iterator[Formula]:
    name = stack.values[0]
    above = [("value", value) for value in stack.values]
    product: Expr = MatVec(stack.matrix, stack.vector)
    right = Sum(product, _column(stack.rests)) if any(r != 0 for r in stack.rests) else product
    yield numbering.formula(("stacked", name), _column(tuple(map(At, stack.values))), right, above)
    deltas = _column(tuple(map(Delta, stack.values)))
    gradient = Chain(TransposeOf(Rows(deltas)), Rows(stack.vector))
    cites = [("gradient", str(m.name)) for row in stack.matrices for m in row if isinstance(m, sympy.MatrixSymbol)]
    yield numbering.formula(("stacked", name, "gradient"), GradientOf(stack.matrix), gradient,
                            [*cites, ("rule", "matrix"), ("stacked", name)])  # fmt: skip


def _column(entries: tuple[Expr, ...]) -> Expr:
    return entries[0] if len(entries) == 1 else Blocks.stacked(*((e,) for e in entries))


def _stacks(source: Source) -> Iterator[Stack]:
    """Displayed values with plain matrices, one for each vector, in groups of two and more."""
    groups: dict[tuple[Expr, ...], dict[str, tuple[dict[Expr, Expr], Expr]]] = {}
    for name, body in source.forward.named.items():
        if name in source.backward.deltas and (parts := _affine(body)) is not None:
            vectors = tuple(sorted(parts[0], key=lambda v: (v.lag, source.ranks[v.signal])))
            rest = arranged(parts[1], source.forward.ranks(source.forward.owner[name]))
            groups.setdefault(vectors, {})[name] = parts[0], rest
    for read, values in groups.items():
        if len(values) > 1:
            yield Stack(
                tuple(values),
                read,
                tuple(tuple(matrices[v] for v in read) for matrices, _ in values.values()),
                tuple(rest for _, rest in values.values()),
            )


def _affine(body: Expr) -> tuple[dict[Expr, Expr], Expr] | None:
    """``W x + U h + rest`` as the matrix by each vector, and the rest; None where matrices stand elsewhere too."""
    matrices: dict[Expr, Expr] = {}
    rest: list[Expr] = []
    for term in sympy.Add.make_args(body):
        match term:
            case MatVec(args=(sympy.MatrixSymbol() as matrix, At() as vector)) if vector not in matrices:
                matrices[vector] = matrix
            case _:
                rest.append(term)
    return (matrices, sympy.Add(*rest)) if matrices and not any(r.has(MatVec) for r in rest) else None
