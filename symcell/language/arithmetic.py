"""Arithmetic of constants: exact while numbers are small, else in doubles; never slow, never infinite, never complex.

A constant is an Integer, a Rational, a rational multiple of pi, or a Float that is exactly a double. Every function
raises ValueError, with a message for the reader, where the result is no finite real number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import sympy
from sympy import Expr, Float, Integer, Rational

from symcell.symbolic.functions import ELEMENTWISE

PI: Expr = sympy.pi
SMALL = 10**15
"""Numerators and denominators up to here stay exact."""

PRECISION = 100
"""Bits in which functions of constants are computed before they are rounded to a double."""


def number(value: object) -> Expr:
    """A literal of the text as a constant."""
    if isinstance(value, bool) or not isinstance(value, int | float | complex):
        raise ValueError(f"{value} is not a number")
    if isinstance(value, complex):
        raise ValueError("numbers are real; this one is imaginary")
    if isinstance(value, int) and abs(value) <= SMALL:
        return Integer(value)
    try:
        return _double(float(value))
    except OverflowError:
        raise ValueError("this number is larger than any double") from None


def double(value: Expr) -> float:
    """The constant as a double."""
    if isinstance(value, Rational):
        return int(value.p) / int(value.q)
    if isinstance(value, Float):
        return float(value)
    coefficient, _ = value.as_coeff_Mul()
    return double(coefficient) * math.pi


def add(a: Expr, b: Expr) -> Expr:
    return _small(a + b) if _exact(a, b) and _of_pi(a) == _of_pi(b) else _double(double(a) + double(b))


def multiply(a: Expr, b: Expr) -> Expr:
    if _exact(a, b) and not (_of_pi(a) and _of_pi(b)):
        return _small(a * b)
    return _double(double(a) * double(b))


def divide(a: Expr, b: Expr) -> Expr:
    if double(b) == 0:
        raise ValueError("this divides by zero")
    if _exact(a, b) and (not _of_pi(b) or _of_pi(a)):
        return _small(a / b)
    return _double(double(a) / double(b))


def power(a: Expr, b: Expr) -> Expr:
    if double(a) == 0 and double(b) < 0:
        raise ValueError("this divides by zero")
    if isinstance(a, Rational) and isinstance(b, Integer) and abs(b) <= 64:
        return _small(a**b)
    return _real(lambda: double(a) ** double(b))


def apply(function: str, arguments: list[Expr]) -> Expr:
    """The value of an elementwise function of the language at constants."""
    exact = ELEMENTWISE[function].row.exact
    with mpmath.workprec(PRECISION):
        return _real(lambda: _plain(exact(*(mpmath.mpf(double(a)) for a in arguments))))


def _exact(*values: Expr) -> bool:
    return not any(isinstance(v, Float) for v in values)


def _of_pi(value: Expr) -> bool:
    return bool(value.has(sympy.pi)) or value == 0


def _small(value: Expr) -> Expr:
    coefficient, _ = value.as_coeff_Mul()
    if abs(coefficient.p) <= SMALL and coefficient.q <= SMALL:
        return value
    try:
        return _double(double(value))
    except OverflowError:
        raise ValueError("this number is larger than any double") from None


def _double(value: float) -> Float:
    if not math.isfinite(value):
        raise ValueError("this number is not finite")
    return Float(value)


def _plain(value: Any) -> float | complex:
    if isinstance(value, mpmath.mpc):
        return complex(value)
    if mpmath.isfinite(value) and not math.isfinite(float(value)):
        raise OverflowError
    return float(value)


def _real(compute: Callable[[], float | complex]) -> Float:
    try:
        value = compute()
    except OverflowError:
        raise ValueError("this number is larger than any double") from None
    except (ValueError, ZeroDivisionError):
        raise ValueError("this is not a real number") from None
    if isinstance(value, complex):
        raise ValueError("this is not a real number")
    return _double(float(value))
