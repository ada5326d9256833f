"""The one-step Jacobian in formulas: the blocks of :mod:`symcell.jacobian` over displayed values.

The derivative of a matrix is that of its columns, one below the other: C ↦ B C Aᵀ is ``A ⊗ B``.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy
from sympy import Expr

from symcell.derivation.arrange import arranged
from symcell.derivation.forward import Forward
from symcell.derivation.matrices import assembled
from symcell.derivation.nodes import IDENTITY, Partial, Vec
from symcell.derivation.products import Product
from symcell.derivation.sizes import dims_of, size_of
from symcell.derivation.terms import Term, summed
from symcell.jacobian.blocks import Block, Chain, OneStep, one_step
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True, eq=False)
class BlockFormula:
    """``left = right``: ``∂target[t]/∂source`` as a sum of products. ``block``: what it says in the graph's terms."""

    block: Block
    left: Expr
    right: Expr


def block_formulas(forward: Forward, step: OneStep | None = None) -> tuple[BlockFormula, ...]:
    """The formulas of a one-step Jacobian, each behind those that it refers to by a ``Partial``.

    ``step``: the Jacobian, whose blocks are of displayed values; derived here where it is not given.
    """
    step = step or one_step(forward.cell, forward.graph, shown=forward.named, folded=forward.folded())
    writer = _Writer(forward)
    return tuple(
        BlockFormula(block, writer.partial(block.target, block.source), writer.right(block))
        for block in step.blocks.values()
    )


def displayed(forward: Forward, expr: Expr) -> Expr:
    """An expression of the graph's values (:attr:`symcell.jacobian.Way.factor`) over displayed ones, written out."""
    return _Writer(forward).arrange(_Writer(forward).shown(expr))


class _Writer:
    def __init__(self, forward: Forward) -> None:
        self.forward, self.graph = forward, forward.graph
        self.ranks = forward.all_ranks()

    def partial(self, target: str, source: At) -> Expr:
        return Partial(self.column(At(target)), self.column(source))

    def column(self, value: At) -> Expr:
        return Vec(value) if len(dims_of(self.graph, value)) == 2 else value

    def right(self, block: Block) -> Expr:
        number = size_of(self.graph, At(block.target)) == 1 == size_of(self.graph, block.source)
        unit = sympy.Integer(1) if number else IDENTITY
        return summed([self.term(c, block) for c in block.chains], self.arrange, unit)

    def term(self, chain: Chain, block: Block) -> Term:
        product = Product(self.graph, self.shown, self.forward.matrix, self.arrange)
        for edge in reversed(chain.edges):
            product.meet(edge)
        product.flush()
        through = () if chain.through is None else (self.partial(chain.through, block.source),)
        return Term(sympy.Mul(*product.scale), (*product.done, *through))

    def arrange(self, expr: Expr) -> Expr:
        return arranged(expr, self.ranks)

    def shown(self, expr: Expr) -> Expr:
        """An expression of graph values over displayed ones."""
        read = expr.xreplace({o: self.forward.read(o) for o in expr.atoms(At, Param)})
        return assembled(read, lambda e: dims_of(self.graph, e))
