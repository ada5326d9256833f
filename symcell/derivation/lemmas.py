"""What a composite sends back, derived once for each kind by the line that derives a cell.

The composite alone is a cell (:func:`sample`): it is lowered, its adjoint is derived, and both are read like those of
any other. The lemma puts these records down in a textbook's letters, brings each to its closing form, and proves that
it is the same for every vector (:func:`symcell.derivation.proof.equal`): a form that is wrong does not get past here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy
from sympy import Expr, Float

from symcell.adjoint import Adjoint
from symcell.cell import Cell
from symcell.derivation import composites as cp
from symcell.derivation.arrange import Ranks, arranged
from symcell.derivation.backward import Backward, read_backward
from symcell.derivation.forward import read_forward
from symcell.derivation.nodes import Bar, Delta, DeltaOf, Inner, Scaled
from symcell.derivation.proof import equal
from symcell.graph import Graph
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Minus, Param, Quotient, Sum


@dataclass(frozen=True, eq=False)
class Line:
    """``left = via[0] = … = right``; its values have no time: they are those of any one step.

    ``uses``: the places of the lines that it comes from, in all of the lemma.
    """

    left: Expr
    right: Expr
    via: tuple[Expr, ...] = ()
    uses: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Lemma:
    """``definition``: what v = F(u) is; ``pullback``: from δv to δu, which the last line gives.

    ``applied``, ``value``, ``argument``: F(u), v and u as they stand in the lines; ``units``: how many u has.
    """

    kind: type[fn.OverUnits]
    applied: Expr
    value: Expr
    argument: Expr
    units: Expr
    definition: tuple[Line, ...]
    pullback: tuple[Line, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        return (*self.definition, *self.pullback)


@dataclass(frozen=True)
class _Letters:
    """A kind in a textbook's letters.

    ``value``: v. ``inner``: what the values in between, in the order in which they are computed, are called.
    ``root``: what the root of the last of them is called. ``definition``: left and right sides, that of v last.
    ``closing``: the last forms of δ of the values in between, from the last to the first, and of δu.
    """

    value: Expr
    inner: tuple[Expr, ...]
    root: Expr | None
    definition: tuple[tuple[Expr, Expr], ...]
    closing: tuple[Expr, ...]


_U, _MU, _SIGMA, _RHO = (Param(n) for n in ("u", "μ", "σ", "ρ"))
_HAT, _P, _NU = Param("û"), Param("p"), Param("ν")
_CENTRED = Sum(_U, Minus(_MU))
_EPSILON = Float(fn.NORM_EPSILON)
_MEAN = (_MU, fn.UnitMean(_U))
_TWO = sympy.Integer(2)


def _square(expr: Expr) -> Expr:
    return sympy.Pow(expr, 2, evaluate=False)


def _normalised(root: Expr) -> tuple[Expr, Expr]:
    """δ of the root's square, and of what is divided by the root, as far as the root goes."""
    back = DeltaOf(_HAT)
    return Minus(Quotient(Inner(back, _HAT), Scaled(_TWO, _square(root)))), cp.rmsnorm_back(_HAT, back, root)


def _letters(kind: type[fn.OverUnits], count: Expr) -> _Letters:
    defined: tuple[tuple[Expr, Expr], ...]
    back = {v: DeltaOf(v) for v in (_HAT, _P, _RHO, _NU)}
    if kind is fn.LayerNorm:
        variance = (_square(_SIGMA), Sum(fn.UnitMean(_square(_CENTRED)), _EPSILON))
        defined = (_MEAN, variance, (_HAT, Quotient(_CENTRED, _SIGMA)))
        closing = (*_normalised(_SIGMA), cp.layernorm_back(_HAT, back[_HAT], _SIGMA))
        return _Letters(_HAT, (_CENTRED, _square(_SIGMA)), _SIGMA, defined, closing)
    if kind is fn.RmsNorm:
        squares = (_square(_RHO), Sum(fn.UnitMean(_square(_U)), _EPSILON))
        return _Letters(_HAT, (_square(_RHO),), _RHO, (squares, (_HAT, Quotient(_U, _RHO))), _normalised(_RHO))
    if kind is fn.Softmax:
        defined = ((_P, Quotient(fn.Exp(_U), fn.UnitSum(fn.Exp(_U)))),)
        return _Letters(_P, (_U,), None, defined, (cp.softmax_back(_P, back[_P]),))
    if kind is fn.UnitNorm:
        defined = ((_RHO, fn.Sqrt(fn.UnitSum(_square(_U)))),)
        return _Letters(_RHO, (), None, defined, (cp.norm_back(_RHO, back[_RHO], _U),))
    if kind is fn.UnitVar:
        defined = (_MEAN, (_NU, fn.UnitMean(_square(_CENTRED))))
        form = cp.var_back(back[_NU], _CENTRED, count)
        return _Letters(_NU, (_CENTRED,), None, defined, (form, form))
    raise NotImplementedError(f"no lemma for {kind.__name__}")


def lemma(cell: Cell, graph: Graph, derived: Adjoint) -> Lemma:
    """The lemma of a composite, from the graph and the adjoint of the cell that is this composite alone.

    Raises AssertionError where a closing form is not what the adjoint says.
    """
    return _Writer(read_backward(read_forward(cell, graph), derived)).lemma()


class _Writer:
    def __init__(self, records: Backward) -> None:
        self.records = records
        self.forward = records.forward
        (equation,) = self.forward.cell.equations
        self.kind: type[fn.OverUnits] = type(equation.rhs)
        self.output, (self.input,) = self.forward.cell.output, tuple(self.forward.cell.inputs)
        self.units = Count(self.forward.graph.shape(self.input)[0])
        self.letters = _letters(self.kind, self.units)
        inner = [n for n in self.forward.named if n != self.output]
        self.called: Mapping[str, Expr] = {
            self.input: _U, self.output: self.letters.value, **dict(zip(inner, self.letters.inner, strict=True))
        }  # fmt: skip
        self.ranks = Ranks.of((), self.forward.graph)

    def lemma(self) -> Lemma:
        self.prove_definition()
        definition: list[Line] = []
        for left, right in self.letters.definition:
            definition.append(Line(left, right, uses=_used(definition, right)))
        pullback = tuple(self.pullback(definition))
        return Lemma(self.kind, self.kind(_U), self.letters.value, _U, self.units, tuple(definition), pullback)

    def prove_definition(self) -> None:
        for name, body in self.forward.named.items():
            self.prove(self.called[name], self.lettered(body))

    def pullback(self, definition: list[Line]) -> list[Line]:
        lines: list[Line] = []
        bodies = [(n, b) for n, b in self.records.deltas.items() if n != self.output]
        known: dict[Any, Expr] = {}
        for (name, body), closing in zip(bodies, _padded(self.letters.closing, len(bodies)), strict=True):
            left, record = DeltaOf(self.called[name]), self.lettered(body)
            if left == record:
                continue
            self.prove(closing, record.xreplace(known))
            known[left] = closing
            shown = self.lettered(arranged(body, self.ranks))
            read = [k for k, line in enumerate(definition) if line.right.has(*_plain(self.called[name]))]
            uses = (*read, *(k + len(definition) for k in _used(lines, record)))
            lines.append(Line(left, closing, (shown,) if self.derives(record) else (), uses))
        return lines

    def derives(self, record: Expr) -> bool:
        """Whether the record is worth a look before its closing form: not where that is it in other letters."""
        return not record.has(fn.Where) and len(self.letters.inner) > 0 and self.kind is not fn.UnitVar

    def lettered(self, expr: Expr) -> Expr:
        """A record in the lemma's letters.

        What is subtracted under an exponential to keep it within range (:class:`fn.Detached`) is the same for all
        units, cancels, and is left out.
        """
        moves: dict[Any, Expr] = {part: sympy.Integer(0) for part in expr.atoms(fn.Detached)}
        for name, symbol in self.called.items():
            root = self.letters.root
            if root is not None and symbol == _square(root):
                moves |= {fn.Sqrt(At(name)): root, sympy.Pow(At(name), sympy.Rational(3, 2)): sympy.Pow(root, 3)}
            moves |= {At(name): symbol, Delta(name): DeltaOf(symbol), Bar(name): DeltaOf(symbol)}
        return expr.xreplace(moves)

    def prove(self, form: Expr, record: Expr) -> None:
        vectors = (_U,) if self.kind.to_one else (_U, DeltaOf(self.letters.value))
        same = equal(form, record, dict(self.letters.definition), *vectors)
        assert same, f"{self.kind.text}: {form} is not {record}"


def _plain(symbol: Expr) -> tuple[Expr, ...]:
    """What stands for a value in other lines: for the square of a root, the root."""
    return (symbol.args[0], symbol) if isinstance(symbol, sympy.Pow) else (symbol,)


def _used(lines: list[Line], expr: Expr) -> tuple[int, ...]:
    """The lines whose left sides stand in an expression."""
    return tuple(k for k, line in enumerate(lines) if expr.has(*_plain(line.left)))


def _padded(closing: tuple[Expr, ...], count: int) -> tuple[Expr, ...]:
    """The last form again for δu, where that is δ of what stands for u."""
    return (*closing, *closing[-1:] * (count - len(closing)))
