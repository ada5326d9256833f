"""Functions over units by sums and maxima over units: the language's definition of each."""

from __future__ import annotations

from typing import Any

from sympy import Expr, Float, Integer

from symcell.cell import Shape, is_one, units
from symcell.graph import Reduce, name_of
from symcell.lower.bodies import Bodies
from symcell.lower.shapes import broadcast
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Hadamard, Minus, Param, Quotient, Sum, written


def over_units(low: Bodies, expr: Any) -> Expr:
    """``expr`` as a written expression over operands. Raises CellError where it is taken of what is constant."""
    return _OverUnits(low, expr).formula(expr)


class _OverUnits:
    """One use of a function: of ``value``, an operand or what is constant, of this shape in the text."""

    def __init__(self, low: Bodies, expr: Any) -> None:
        self.low = low
        argument = expr.args[0]
        shape = broadcast(low.shapes.of(a) for a in expr.args)
        if len(shape) == 2:
            raise low.error(
                f"{expr.text} is taken over the units of a vector, and this is a matrix", at=f"{expr.text}("
            )
        self.value: Expr = low.atom(argument, *low.argument(expr.text))
        if not any(written(a).atoms(At, Param) for a in expr.args[: 2 if isinstance(expr, fn.Dot) else 1]):
            always = self.value if self.value.is_number else "the same"
            message = f"{expr.text} is taken of what is always {always}"
            raise low.error(message, "write the result in its place", f"{expr.text}(")
        self.shape: Shape = shape
        self.count: Expr = Integer(1) if is_one(shape) else Count(units(shape))
        self.about = name_of(self.value) if isinstance(self.value, At | Param) else low.signal

    def formula(self, expr: Any) -> Expr:
        value, rest = self.value, expr.args[1:]
        match expr:
            case fn.UnitSum():
                return self.reduced("sum", value)
            case fn.UnitMax():
                return self.reduced("max", value)
            case fn.UnitMean():
                return self.mean(value)
            case fn.UnitVar():
                return self.mean(self.centred() ** 2)
            case fn.UnitNorm():
                return self.called(fn.EuclideanRoot, self.reduced("sum", value**2), "norm")
            case fn.Dot():
                return self.reduced("sum", Hadamard(value, rest[0]), f"product_{self.about}", f"dot_{self.about}")
            case fn.Softmax():
                shifted = Sum(value, Minus(fn.Detached(self.reduced("max", value))))
                weight = self.low.called(fn.Exp(self.low.atom(shifted, f"shifted_{self.about}")), f"exp_{self.about}")
                return Quotient(weight, self.reduced("sum", weight))
            case fn.LayerNorm():
                centred = self.centred()
                spread = Sum(self.mean(centred**2), Float(fn.NORM_EPSILON))
                return self.gained(Quotient(centred, self.called(fn.Sqrt, spread, "std")), rest)
            case fn.RmsNorm():
                spread = Sum(self.mean(value**2), Float(fn.NORM_EPSILON))
                return self.gained(Quotient(value, self.called(fn.Sqrt, spread, "rms")), rest)
        raise NotImplementedError(f"no definition of {expr.text}")

    @staticmethod
    def gained(normal: Expr, rest: tuple[Expr, ...]) -> Expr:
        gained = Hadamard(normal, rest[0]) if rest else normal
        return Sum(gained, rest[1]) if len(rest) > 1 else gained

    def called(self, function: type[fn.Elementwise], argument: Expr, hint: str) -> Expr:
        """The root that ends a norm, named after it; its argument is named after its square."""
        inner = self.low.atom(argument, f"{hint}_squared_{self.about}")
        return self.low.called(function(inner), f"{hint}_{self.about}")

    def reduced(self, kind: Any, expr: Expr, *hints: str) -> Expr:
        """A sum or a maximum; of units that are all the same, without adding them up. ``hints``: names for what is
        reduced and for the result."""
        value = self.low.atom(expr, hints[0] if hints else f"square_{self.about}")
        if not isinstance(value, At | Param) or is_one(self.low.values[name_of(value)].shape):
            return Hadamard(self.count, value) if kind == "sum" and self.count != 1 else value
        fixed = isinstance(value, Param)
        return self.low.assign((*hints[1:], f"{kind}_{name_of(value)}"), (), lambda out: Reduce(out, kind, value),
                               (kind, value), fixed)  # fmt: skip

    def mean(self, expr: Expr) -> Expr:
        total = self.reduced("sum", expr)
        return total if self.count == 1 else Quotient(total, self.count)

    def centred(self) -> Expr:
        """How far each unit is from the mean."""
        return self.low.atom(Sum(self.value, Minus(self.mean(self.value))), f"centred_{self.about}")
