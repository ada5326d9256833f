"""What flows to each value of a graph, collected by the rules of differentiation, brought to its shape and added up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import sympy
from sympy import Expr, Integer

from symcell.adjoint.fitting import Fitting
from symcell.adjoint.making import Part
from symcell.cell import Shape, is_one
from symcell.graph import (
    Block,
    Combine,
    Contraction,
    Graph,
    Matrix,
    Operand,
    Outer,
    Pointwise,
    Term,
    Value,
    lag_of,
    name_of,
)
from symcell.symbolic.nodes import At, Param

Slot = tuple[str, int]
"""A value at a lag."""


@dataclass(frozen=True)
class Piece:
    """A contribution to a fixed matrix: left rightᵀ, summed over steps and samples, into the columns of a block."""

    left: Operand
    right: Operand
    block: Block | None


class Parts(Fitting):
    """Contributions, and the steps that add them up. Contributions arrive in the reverse order of the page."""

    def __init__(self, forward: Graph, taken: Iterable[str]) -> None:
        super().__init__(forward, taken)
        self.unmoved: frozenset[str] = frozenset()
        self.seeds: dict[str, str] = {}
        self.carried_to: dict[str, list[tuple[int, str]]] = {}
        self.edges: dict[str, list[tuple[Operand, str]]] = {}
        self.entering: dict[str, str] = {}
        self.cotangents: dict[str, Operand] = {}
        self._parts: dict[Slot, list[Part]] = {}
        self._products: dict[Slot, list[tuple[Matrix, Operand]]] = {}
        self._matrices: dict[str, list[Term | Piece]] = {}

    # what the rules call

    def ends(self, name: str) -> bool:
        """Whether what flows to a value ends there: nothing asks for the gradient by it or by what it is made of."""
        return self.values[name].constant or name in self.unmoved

    def send(self, operand: Operand, shape: Shape, expr: Expr, order: Sequence[Operand]) -> None:
        if expr != 0 and not self.ends(name_of(operand)):
            slot = (name_of(operand), lag_of(operand))
            self._parts.setdefault(slot, []).append(Part(shape, expr, tuple(order), operand.axis))

    def send_product(self, operand: Operand, matrix: Matrix, vector: Operand) -> None:
        if not self.ends(name_of(operand)):
            self._products.setdefault((name_of(operand), lag_of(operand)), []).append((matrix, vector))

    def send_outer(self, matrix: Matrix, left: Operand, right: Operand) -> None:
        if not self.ends(matrix.name):
            self._matrices.setdefault(matrix.name, []).append(Piece(left, right, matrix.block))

    def send_matrix(self, name: str, term: Term) -> None:
        if not self.ends(name):
            self._matrices.setdefault(name, []).append(term)

    # the cotangent of a value

    def cotangent(self, name: str) -> Operand | None:
        """The cotangent of a value once all its readers are done; None where nothing depends on it."""
        if name not in self.cotangents:
            value = self.values[name]
            matrix = value.fixed and len(value.shape) == 2
            made = self._gather_matrix(name) if matrix else self._gather(name)
            if made is None:
                return None
            self.cotangents[name] = made
        return self.cotangents[name]

    def _gather(self, name: str) -> Operand | None:
        value = self.values[name]
        parts = list(reversed(self._parts.get((name, 0), ())))
        if name in self.seeds:
            seed: Operand = Param(self.seeds[name]) if value.fixed else At(self.seeds[name])
            parts.insert(0, Part(value.shape, seed, (seed,)))
        carried = [At(out, -lag) for lag, out in self.carried_to.get(name, ())]
        terms = list(reversed(self._products.get((name, 0), ())))
        hint = f"d{name}_back" if parts or carried else f"d{name}"
        for product in self._contractions(hint, terms, value):
            parts.append(Part(value.shape, product, (product,)))
        parts += [Part(value.shape, carry, (carry,)) for carry in carried]
        return self._sum(f"d{name}", name, parts) if parts else None

    def _contractions(self, hint: str, terms: list[tuple[Matrix, Operand]], value: Value) -> Iterator[Operand]:
        """Products that flow to a value, as one; to a fixed value those that vary apart, summed over the steps."""
        varying = [t for t in terms if not value.fixed or any(isinstance(o, At) for o in (t[0].of, t[1]))]
        if varying:
            each = f"{hint}_each" if value.fixed else hint
            operand = self.step(each, Contraction("", tuple(varying)), value.shape, False)
            yield self.total(hint, operand) if value.fixed else operand
        if len(varying) < len(terms):
            fixed = tuple(t for t in terms if t not in varying)
            yield self.step(hint, Contraction("", fixed), value.shape, True)

    def _sum(self, hint: str, name: str, parts: list[Part]) -> Operand:
        """The sum of contributions, each first brought to the value's own shape, as one operand."""
        value = self.values[name]
        fitted = self.fitted(hint, value, parts)
        total = sympy.Add(*(p.expr for p in fitted))
        if isinstance(total, At | Param) and not lag_of(total) and total.axis is None:
            shape = self.values[name_of(total)].shape
            same = shape == value.shape or (is_one(shape) and isinstance(self.producers.get(name), Pointwise))
            plain = isinstance(total, Param) == value.fixed or isinstance(self.producers.get(name), Outer)
            if same and plain:
                return total
        return self.assign(hint, total, value.shape, value.fixed, self.order(fitted))

    # fixed matrices

    def _gather_matrix(self, name: str) -> Operand | None:
        shape = self.values[name].shape
        pieces: list[Term | Piece] = list(reversed(self._matrices.get(name, ())))
        parts = list(reversed(self._parts.get((name, 0), ())))
        alone = len(pieces) + len(parts) == 1 and name not in self.seeds
        terms = [Term(Integer(1), Matrix(Param(self.seeds[name])))] if name in self.seeds else []
        for piece in pieces:
            terms.append(piece if isinstance(piece, Term) else self._outer(name, piece, alone))
        for part in self.fitted(f"d{name}", self.values[name], parts):
            operand = self.operand(f"d{name}" if alone else f"d{name}_part", Part(shape, part.expr, part.order))
            terms.append(Term(Integer(1), Matrix(operand)))
        if not terms:
            return None
        if len(terms) == 1 and terms[0] == Term(Integer(1), Matrix(terms[0].matrix.of)):
            return terms[0].matrix.of
        out = self.declare(f"d{name}", shape, fixed=True)
        self.steps.append(Combine(out, tuple(terms)))
        return Param(out)

    def _outer(self, name: str, piece: Piece, alone: bool) -> Term:
        rows, columns = (self.values[name_of(o)].shape[0] for o in (piece.left, piece.right))
        fixed = isinstance(piece.left, Param) and isinstance(piece.right, Param)
        hint = f"d{name}" if alone and piece.block is None else f"d{name}_{name_of(piece.right)}"
        each = self.step(hint if fixed else f"{hint}_each", Outer("", piece.left, piece.right), (rows, columns), fixed)
        return Term(Integer(1), Matrix(self.total(hint, each)), piece.block)

    # what leaves a step of the sweep, and what arrives

    def finish_carry(self, out: str, slot: Slot, kind: str) -> None:
        """The step that computes a carried value: what products have sent to it, or what others have, or zero."""
        if kind == "product" and slot in self._products:
            self.steps.append(Contraction(out, tuple(reversed(self._products[slot]))))
            return
        parts = list(reversed(self._parts.get(slot, ()))) if kind == "pointwise" else []
        fitted = self.fitted(out, self.values[out], parts)
        self.steps.append(Pointwise(out, sympy.Add(*(p.expr for p in fitted)), self.order(fitted)))

    def edge_start(self, leaving: str) -> tuple[str | None, str]:
        """The fixed value that is added to what arrives where ``leaving`` left: the cotangent of its total."""
        found = self.edges.get(leaving, [])
        if len(found) > 1:
            total = sympy.Add(*(o for o, _ in found))
            shape = self.values[name_of(found[0][0])].shape
            made = self.assign(f"d{leaving}_total", total, shape, True, [o for o, _ in found])
            return name_of(made), found[0][1]
        return (name_of(found[0][0]), found[0][1]) if found else (None, "")
