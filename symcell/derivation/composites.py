"""Functions that a derivation differentiates once and for all, and what each sends back to its argument.

Those over units (normalisations, softmax, norm, variance) have closed forms here, which are claims:
:mod:`symcell.derivation.lemmas` derives each by the line that derives a cell, and proves that it is the same. Composed
functions of one unit (silu, gelu, …) are differentiated by SymPy.
"""

from __future__ import annotations

from typing import Any

import sympy
from sympy import Expr, Float

from symcell.derivation.nodes import Inner, Pullback, Scaled
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import Hadamard, Minus, Quotient, Sum

OVER_UNITS = (fn.LayerNorm, fn.RmsNorm, fn.Softmax, fn.UnitNorm, fn.UnitVar)
"""Functions of a vector, of its argument alone: gains and biases stand outside."""


def is_composite(expr: Any) -> bool:
    """Whether a derivation differentiates a function by a formula of its own."""
    return isinstance(expr, OVER_UNITS) or is_composed(expr)


def is_composed(expr: Any) -> bool:
    """Whether it is a function of one unit that others make up: silu, gelu."""
    return isinstance(expr, fn.Elementwise) and expr.composed() is not None


def named(pullback: Pullback) -> bool:
    """Whether the formula is long enough to be read by name, F′(u)ᵀ δv."""
    return isinstance(pullback.args[0], fn.LayerNorm | fn.RmsNorm)


def pulled_back(pullback: Pullback) -> Expr:
    """δu of ``v = F(u)`` by the closed form of F."""
    applied, value, cotangent, count = pullback.args
    match applied:
        case fn.LayerNorm():
            return layernorm_back(value, cotangent, spread(applied))
        case fn.RmsNorm():
            return rmsnorm_back(value, cotangent, spread(applied))
        case fn.Softmax():
            return softmax_back(value, cotangent)
        case fn.UnitNorm():
            return norm_back(value, cotangent, applied.args[0])
        case fn.UnitVar():
            argument = applied.args[0]
            return var_back(cotangent, Sum(argument, Minus(fn.UnitMean(argument))), count)
    raise NotImplementedError(f"no closed form for {applied.text}")


def spread(applied: Expr) -> Expr:
    """What a normalisation divides by."""
    (argument,) = applied.args
    squares = fn.UnitVar(argument) if isinstance(applied, fn.LayerNorm) else fn.UnitMean(sympy.Pow(argument, 2))
    return fn.Sqrt(Sum(squares, Float(fn.NORM_EPSILON)))


def layernorm_back(value: Expr, cotangent: Expr, deviation: Expr) -> Expr:
    """(δv - mean(δv) - v mean(v ⊙ δv)) / σ."""
    along = Scaled(fn.UnitMean(Hadamard(value, cotangent)), value)
    return Quotient(Sum(cotangent, Minus(fn.UnitMean(cotangent)), Minus(along)), deviation)


def rmsnorm_back(value: Expr, cotangent: Expr, root: Expr) -> Expr:
    """(δv - v mean(v ⊙ δv)) / ρ."""
    return Quotient(Sum(cotangent, Minus(Scaled(fn.UnitMean(Hadamard(value, cotangent)), value))), root)


def softmax_back(value: Expr, cotangent: Expr) -> Expr:
    """v ⊙ (δv - ⟨v, δv⟩)."""
    return Hadamard(value, Sum(cotangent, Minus(Inner(value, cotangent))))


def norm_back(value: Expr, cotangent: Expr, argument: Expr) -> Expr:
    """δv u / v; where u is zero, zero."""
    return Quotient(Scaled(cotangent, argument), value)


def var_back(cotangent: Expr, centred: Expr, count: Expr) -> Expr:
    """2 δv (u - mean(u)) / H."""
    return Quotient(Scaled(sympy.Integer(2), cotangent, centred), count)


def gradient_row(applied: Expr, count: Expr) -> Expr | None:
    """The derivative of a composite whose result is one number, a row; None for others."""
    match applied:
        case fn.UnitNorm():
            return applied.args[0] / applied
        case fn.UnitVar():
            return 2 * (applied.args[0] - fn.UnitMean(applied.args[0])) / count
    return None
