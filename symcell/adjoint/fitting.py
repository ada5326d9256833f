"""Contributions brought to the shape of what they flow to: summed over units, along an axis, over steps and samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sympy
from sympy import Expr

from symcell.adjoint.making import Making, Part
from symcell.adjoint.matrices import Split, split
from symcell.cell import Shape, is_one, units
from symcell.graph import Contraction, Matrix, Operand, Value, name_of
from symcell.symbolic.nodes import At, Count, Param


class Fitting(Making):
    """Sums of contributions, each through the steps that its shape asks for."""

    def fitted(self, hint: str, value: Value, parts: Iterable[Part]) -> list[Part]:
        """Contributions of the value's own shape, or one unit: from vectors laid along a matrix, from more units."""
        narrow: list[Part] = []
        wide: dict[Shape, list[Part]] = {}
        flat = [self._flat(hint, value, part) for part in parts]
        for part in self._totals(hint, value, flat) if value.fixed else flat:
            few = part.shape == value.shape or is_one(part.shape)
            (narrow if few else wide.setdefault(part.shape, [])).append(part)
        for shape, group in wide.items():
            whole = self._added(shape, group)
            narrow.append(self._summed(hint, shape, split(whole.expr, whole.order, self._is_one)))
        return narrow

    def _totals(self, hint: str, value: Value, parts: Iterable[Part]) -> list[Part]:
        """Contributions to a fixed value: those that vary are added up, then summed over steps and samples."""
        varying: dict[Shape, list[Part]] = {}
        fixed: list[Part] = []
        for part in parts:
            each = any(isinstance(o, At) for o in part.order)
            (varying.setdefault(part.shape, []) if each else fixed).append(part)
        alone = list(varying) == [value.shape] and not fixed
        totals = []
        for shape, group in varying.items():
            operand = self.operand(f"{hint}_each", self._added(shape, group))
            total = self.total(hint if alone else f"{hint}_total", operand)
            totals.append(Part(shape, total, (total,)))
        return totals + fixed

    def _added(self, shape: Shape, parts: Sequence[Part]) -> Part:
        return Part(shape, sympy.Add(*(p.expr for p in parts)), self.order(parts))

    def order(self, parts: Iterable[Part]) -> tuple[Operand, ...]:
        """The operands of contributions: cotangents first, as they are added up, then what the forward sweep has."""
        met = dict.fromkeys(o for p in parts for o in p.order)
        return tuple(sorted(met, key=lambda o: o.axis is None and name_of(o) in self.forward.values))

    def _summed(self, hint: str, shape: Shape, parted: Split) -> Part:
        """The sum over all units of what is left of a product without its factors of one unit."""
        if not parted.met(parted.inner):
            return _scaled(parted, (), parted.inner * Count(units(shape)), ())
        operand = self.operand(f"{hint}_each", Part(shape, parted.inner, parted.met(parted.inner)))
        reduced = self.reduce(f"{hint}_sum", operand)
        return _scaled(parted, (reduced,), reduced, ())

    def _is_one(self, operand: Operand) -> bool:
        return is_one(self.values[name_of(operand)].shape)

    def _flat(self, hint: str, value: Value, part: Part) -> Part:
        """A contribution of a matrix's shape to a vector or a scalar, as one of a vector's shape or one unit."""
        if len(part.shape) < 2 or part.shape == value.shape:
            return part
        parted = split(part.expr, part.order, self._is_one)
        if part.axis is not None:
            return self._along(hint, part, parted, part.axis)
        if parted.vectors[1]:
            return self._along(hint, part, parted, 0)
        if parted.vectors[0]:
            return self._along(hint, part, parted, 1)
        return self._summed(hint, part.shape, parted)

    def _along(self, hint: str, part: Part, parted: Split, axis: int) -> Part:
        """Σ over the other axis: a contraction where one matrix is left and a vector lies along that axis."""
        shape, other = (part.shape[axis],), part.shape[1 - axis]
        kept, across = parted.vectors[axis], sympy.Mul(*parted.vectors[1 - axis])
        inner, met = parted.inner, parted.met(across)
        found: Expr
        if not parted.met(inner):
            vector = Split((), ((), ()), across * inner, parted.order)
            found = self._summed(hint, (other,), vector).expr
        elif met and isinstance(inner, At | Param) and inner.axis is None:
            operand = self.operand(f"{hint}_across", Part((other,), across, met))
            fixed = isinstance(inner, Param) and isinstance(operand, Param)
            terms = ((Matrix(inner, transposed=axis == 1), operand),)
            found = self.step(f"{hint}_along", Contraction("", terms), shape, fixed)
        else:
            whole = inner * across.xreplace({o: o.along(1 - axis) for o in met})
            operand = self.operand(f"{hint}_each", Part(part.shape, whole, parted.met(whole)))
            found = self.reduce(f"{hint}_along", operand, 1 - axis)
        first = (found,) if isinstance(found, At | Param) else ()
        return _scaled(parted, first, found * sympy.Mul(*kept), shape)


def _scaled(parted: Split, first: tuple[Operand, ...], expr: Expr, shape: Shape) -> Part:
    whole = sympy.Mul(expr, *parted.scalars)
    return Part(shape, whole, (*first, *(o for o in parted.met(whole) if o not in first)))
