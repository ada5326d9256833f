"""SymPy bodies as NumPy calls that write into given arrays: nothing is allocated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import sympy
from sympy import Expr

from symcell.emit.arithmetic import fraction, signed_terms
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Param


class Space(Protocol):
    """Where a body's operands and intermediate results are found, as code."""

    def operand(self, atom: At | Param) -> str: ...
    def count(self, size: Count) -> str: ...
    def temporary(self, depth: int) -> str: ...
    def mask(self) -> str: ...


UNARY: dict[type[fn.Elementwise], tuple[str, ...]] = {
    fn.Sigmoid: (
        "np.negative({v}, out={o})",
        "np.exp({o}, out={o})",
        "np.add({o}, 1, out={o})",
        "np.reciprocal({o}, out={o})",
    ),
    fn.Tanh: ("np.tanh({v}, out={o})",),
    fn.Relu: ("np.maximum({v}, 0, out={o})",),
    fn.Exp: ("np.exp({v}, out={o})",),
    fn.Log: ("np.log({v}, out={o})",),
    fn.Sqrt: ("np.sqrt({v}, out={o})",),
    fn.EuclideanRoot: ("np.sqrt({v}, out={o})",),
    fn.Abs: ("np.absolute({v}, out={o})",),
    fn.Sin: ("np.sin({v}, out={o})",),
    fn.Cos: ("np.cos({v}, out={o})",),
    fn.Erf: ("_erf({v}, out={o})",),
    fn.NormalCdf: ("_normal_cdf({v}, out={o})",),
    fn.Softplus: ("np.logaddexp({v}, 0, out={o})",),
    fn.HardSigmoid: ("np.divide({v}, 6, out={o})", "np.add({o}, 0.5, out={o})", "np.clip({o}, 0, 1, out={o})"),
    fn.HardTanh: ("np.clip({v}, -1, 1, out={o})",),
    fn.Sign: ("np.sign({v}, out={o})",),
}
"""Functions of one argument ``v`` whose result ``o`` may stand in the argument's place."""

FRESH: dict[type[fn.Elementwise], tuple[str, ...]] = {
    fn.Elu: (
        "np.minimum({v}, 0, out={o})",
        "np.expm1({o}, out={o})",
        "np.copyto({o}, {v}, where=np.greater({v}, 0, out={m}))",
    ),
    fn.Softsign: ("np.absolute({v}, out={o})", "np.add({o}, 1, out={o})", "np.divide({v}, {o}, out={o})"),
}
"""Functions that read their argument ``v`` again after writing ``o``; ``m`` is a mask."""

BINARY: dict[type[fn.Elementwise], tuple[str, ...]] = {
    fn.Maximum: ("np.maximum({u}, {v}, out={o})",),
    fn.Minimum: ("np.minimum({u}, {v}, out={o})",),
    fn.Power: ("np.power({u}, {v}, out={o})",),
    fn.Greater: ("np.greater({u}, {v}, out={o})",),
    fn.GreaterEqual: ("np.greater_equal({u}, {v}, out={o})",),
    fn.Equal: ("np.equal({u}, {v}, out={o})",),
    fn.NotEqual: ("np.not_equal({u}, {v}, out={o})",),
}


def number(expr: Expr) -> str:
    """A SymPy number as a Python literal that rounds to the same double."""
    if expr.is_Integer:
        return str(int(expr))
    return repr(float(expr))


class Ufuncs:
    """Compiles one body. ``moved``: the operand in whose place the result is computed, if any: it is read first."""

    def __init__(self, space: Space, write: Callable[[str], None], moved: frozenset[At] = frozenset()) -> None:
        self.space, self.write, self.moved = space, write, moved
        self.depth = 0

    def assign(self, expr: Expr, out: str) -> None:
        """``out[...] = expr``."""
        value = self.into(expr, out)
        if value != out:
            self.write(f"np.copyto({out}, {value})")

    def temporary(self) -> str:
        self.depth += 1
        return self.space.temporary(self.depth)

    def value(self, expr: Expr) -> str:
        """Code for the value of ``expr``: an operand, a number, or a temporary it has been computed into."""
        simple = self._simple(expr)
        return simple if simple is not None else self.into(expr, self.temporary())

    def _simple(self, expr: Expr) -> str | None:
        if isinstance(expr, fn.Detached):
            return self._simple(expr.args[0])
        if isinstance(expr, Count):
            return self.space.count(expr)
        if isinstance(expr, At | Param):
            return self.space.operand(expr)
        if expr.is_number and not expr.has(fn.Elementwise):
            return number(expr)
        return None

    def into(self, expr: Expr, out: str) -> str:
        """Compute ``expr`` into ``out`` unless it stands somewhere already; the code that names it."""
        simple = self._simple(expr)
        if simple is not None:
            return simple
        if isinstance(expr, fn.Detached):
            return self.into(expr.args[0], out)
        if isinstance(expr, sympy.Add):
            self._add(expr, out)
        elif isinstance(expr, sympy.Mul):
            self._multiply(expr, out)
        elif isinstance(expr, sympy.Pow):
            self._power(expr, out)
        else:
            self._function(expr, out)
        return out

    def _moves(self, expr: Expr) -> bool:
        return bool(expr.atoms(At) & self.moved)

    def _add(self, expr: sympy.Add, out: str) -> None:
        signed = sorted(signed_terms(expr), key=lambda term: not self._moves(term[1]))
        if signed[0][0] and not self._moves(signed[0][1]):
            signed.sort(key=lambda s: s[0])
        negative, first = signed.pop(0)
        total = self.into(first, out)
        if negative:
            other = next((k for k, (neg, _) in enumerate(signed) if not neg), None)
            if other is None:
                self.write(f"np.negative({total}, out={out})")
            else:
                self.write(f"np.subtract({self.value(signed.pop(other)[1])}, {total}, out={out})")
            total = out
        for negative, term in signed:
            self.write(f"np.{'subtract' if negative else 'add'}({total}, {self.value(term)}, out={out})")
            total = out

    def _multiply(self, expr: sympy.Mul, out: str) -> None:
        factor, above, below = fraction(expr)
        ordered = [(a, False) for a in above] + [(b, True) for b in below]
        ordered.sort(key=lambda p: not self._moves(p[0]))
        (first, inverse), *others = ordered
        total = self.into(first, out)
        if inverse:
            if factor not in (1, -1):
                self.write(f"np.divide({number(factor)}, {total}, out={out})")
                factor = sympy.Integer(1)
            else:
                self.write(f"np.reciprocal({total}, out={out})")
            total = out
        for part, below_line in others:
            self.write(f"np.{'divide' if below_line else 'multiply'}({total}, {self.value(part)}, out={out})")
            total = out
        self._scale(factor, total, out)

    def _scale(self, factor: Expr, total: str, out: str) -> None:
        if factor == -1:
            self.write(f"np.negative({total}, out={out})")
        elif factor.is_Rational and factor.p == 1 and factor.q != 1:
            self.write(f"np.divide({total}, {factor.q}, out={out})")
        elif factor != 1:
            self.write(f"np.multiply({total}, {number(factor)}, out={out})")

    def _power(self, expr: sympy.Pow, out: str) -> None:
        base, exponent = expr.args
        value = self.into(base, out)
        if exponent == 2:
            self.write(f"np.square({value}, out={out})")
        elif exponent == -1:
            self.write(f"np.reciprocal({value}, out={out})")
        elif exponent in (-2, sympy.Rational(-1, 2)):
            self.write(f"np.{'square' if exponent == -2 else 'sqrt'}({value}, out={out})")
            self.write(f"np.reciprocal({out}, out={out})")
        elif float(exponent) == 0.5:
            self.write(f"np.sqrt({value}, out={out})")
        else:
            self.write(f"np.power({value}, {number(exponent)}, out={out})")

    def _function(self, expr: Expr, out: str) -> None:
        kind = type(expr)
        if kind in UNARY:
            value = self.into(expr.args[0], out)
            self._write(UNARY[kind], v=value, o=out)
        elif kind in FRESH:
            self._write(FRESH[kind], v=self.value(expr.args[0]), o=out, m=self.space.mask())
        elif kind in BINARY:
            u, v = (self.value(a) for a in expr.args)
            self._write(BINARY[kind], u=u, v=v, o=out)
        elif kind is fn.Clip:
            value, low, high = (self.value(a) for a in expr.args)
            self._write(
                ("np.maximum({v}, {l}, out={o})", "np.minimum({o}, {h}, out={o})"), v=value, l=low, h=high, o=out
            )
        elif kind is fn.Where:
            self._where(expr, out)
        else:
            raise NotImplementedError(f"no NumPy form of {expr}")

    def _write(self, lines: tuple[str, ...], **names: str) -> None:
        for line in lines:
            self.write(line.format(**names))

    def _where(self, expr: Expr, out: str) -> None:
        condition, then, otherwise = expr.args
        mask = self.space.mask()
        values = [self.value(then), self.value(otherwise)]
        if isinstance(condition, fn.Predicate):
            u, v = (self.value(a) for a in condition.args)
            self._write(BINARY[type(condition)], u=u, v=v, o=mask)
        else:
            self.write(f"np.not_equal({self.value(condition)}, 0, out={mask})")
        self.write(f"np.copyto({out}, {values[1]})")
        self.write(f"np.copyto({out}, {values[0]}, where={mask})")
