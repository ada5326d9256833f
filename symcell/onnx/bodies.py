"""Bodies of pointwise steps as operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy

from symcell.graph import Operand
from symcell.onnx.builder import Builder
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Constant, Count, Param


def body(builder: Builder, expr: sympy.Expr, operands: Mapping[Operand, str], sizes: Mapping[str, int]) -> str:
    """A scalar SymPy expression as a value, over values of its operands."""
    return _Body(builder, operands, sizes).value(expr)


class _Body:
    def __init__(self, builder: Builder, operands: Mapping[Operand, str], sizes: Mapping[str, int]) -> None:
        self.builder, self.operands, self.sizes = builder, operands, sizes

    def value(self, expr: Any) -> str:
        match expr:
            case At() | Param():
                return self.operands[expr]
            case Count():
                return self.builder.constant(expr.size.value(self.sizes))
            case Constant():
                return self.builder.constant(float(expr.value))
            case sympy.Add():
                return self.added(expr)
            case sympy.Mul():
                return self.multiplied(expr)
            case sympy.Pow():
                return self.raised(expr)
            case fn.Elementwise():
                return self.builder.formula(type(expr).row.onnx, tuple(self.value(a) for a in expr.args))
        return self.builder.constant(float(expr))

    def added(self, expr: Any) -> str:
        """A sum; terms with a minus are subtracted."""
        terms = sorted(expr.args, key=lambda a: a.could_extract_minus_sign())
        found = self.value(terms[0])
        for term in terms[1:]:
            minus = term.could_extract_minus_sign()
            found = self.builder.call("Sub" if minus else "Add", found, self.value(-term if minus else term))
        return found

    def multiplied(self, expr: Any) -> str:
        above, below = expr.as_numer_denom() if _is_quotient(expr) else (expr, sympy.Integer(1))
        if below != 1:
            return self.builder.call("Div", self.value(above), self.value(below))
        factors = [a for a in expr.args if a != -1]
        found = self.value(factors[0])
        for factor in factors[1:]:
            found = self.builder.call("Mul", found, self.value(factor))
        return self.builder.call("Neg", found) if len(factors) < len(expr.args) else found

    def raised(self, expr: Any) -> str:
        base = self.value(expr.base)
        if expr.exp == 2:
            return self.builder.call("Mul", base, base)
        if expr.exp == -1:
            return self.builder.call("Div", self.builder.constant(1), base)
        return self.builder.call("Pow", base, self.builder.constant(float(expr.exp)))


def _is_quotient(expr: Any) -> bool:
    """Whether a product divides by something that is no number."""
    return any(isinstance(a, sympy.Pow) and a.exp.is_number and a.exp.is_negative for a in expr.args)
