"""From expressions to formulas: one walk, and what differs between text and LaTeX as methods.

A printed formula has marks where a line may be broken (:mod:`symcell.derivation.breaking` reads them).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import sympy
from sympy import Expr

from symcell.derivation import nodes as nd
from symcell.derivation.breaking import CLOSE, LAST_BREAK, OPEN, PRODUCT_BREAK, SUM_BREAK, unmarked
from symcell.derivation.composites import named, pulled_back
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import (
    At,
    ColumnScaled,
    Constant,
    Count,
    Flipped,
    Hadamard,
    Join,
    MatVec,
    Minus,
    OuterProduct,
    Param,
    Quotient,
    RowScaled,
    Sum,
)

_APPLIED = (MatVec, nd.Total, nd.Outer, OuterProduct, RowScaled, ColumnScaled)

SUM, TIMES, APPLIED, POWER, ATOM = range(5)
"""How tightly a printed expression holds together, the loosest first."""

Printed = tuple[str, int]


class Printer(ABC):
    """Prints what :func:`symcell.derivation.arrange.arranged` returns, in the order in which it stands there."""

    minus: ClassVar[str]
    times: ClassVar[str]
    thin: ClassVar[str]
    """Between the factors of a matrix product."""
    dot: ClassVar[str]
    """Before a number that is not the first factor."""
    cases: tuple[str, str] = ("if {condition}", "otherwise")
    """How a formula says when it has one of two values."""
    kronecker: ClassVar[str]
    moment: str = "t"
    """What lags are counted from."""

    def __init__(self, names: Mapping[str, str], sample: str = "n") -> None:
        """``names``: what a value is called in print where that is not its name; ``sample``: what counts samples."""
        self.names, self.sample = names, sample
        self.rules: dict[type[Any], Callable[[Any], Printed]] = {
            Sum: lambda e: (self.sum(e.args), SUM),
            sympy.MatAdd: lambda e: (self.sum(sorted(e.args, key=_matrix_key)), SUM),
            Minus: lambda e: (self.minus + self.within(e.args[0], TIMES), SUM),
            Hadamard: lambda e: (self.product(e.args), TIMES),
            nd.Scaled: lambda e: (self.multiple(e.args), TIMES),
            nd.Above: lambda e: (f"[{self.relation('greater', *(self.within(a, TIMES) for a in e.args))}]", ATOM),
            nd.Inner: lambda e: self.inner(*e.args),
            nd.Pullback: lambda e: self.pullback(e),
            nd.DeltaOf: lambda e: (self.delta_of(self.within(e.args[0], ATOM)), ATOM),
            sympy.MatMul: lambda e: self.scaled(*e.args),
            Quotient: lambda e: self.quotient(*e.args),
            sympy.Pow: lambda e: self.raised(*e.args),
            fn.Power: lambda e: (self.power(self.within(e.args[0], ATOM), e.args[1]), POWER),
            MatVec: lambda e: (self.chain(e.args), APPLIED),
            nd.Chain: lambda e: (self.chain(e.args), APPLIED),
            nd.Outer: lambda e: (self.outer(*e.args), APPLIED),
            nd.Entry: lambda e: (self.entry(*(self.plain(a) for a in e.args)), ATOM),
            nd.TransposeOf: lambda e: (self.row(e.args[0]), POWER),
            sympy.Transpose: lambda e: (self.row(e.args[0]), POWER),
            nd.Total: lambda e: (self.total(self.within(e.args[0], TIMES)), TIMES),
            nd.InitialTotal: lambda e: (self.initial_total(self.within(e.args[0], TIMES)), TIMES),
            nd.Diagonal: lambda e: (self.call("diag", [self.free(e.args[0])]), ATOM),
            nd.Vec: lambda e: (self.call("vec", [self.free(e.args[0])]), ATOM),
            nd.Kronecker: lambda e: (self.kronecker.join(self.within(a, APPLIED) for a in e.args), TIMES),
            nd.GradientOf: lambda e: (self.gradient(self.within(e.args[0], APPLIED)), self.gradient_level),
            nd.Gradient: lambda e: (self.gradient(self.name(e.value)), self.gradient_level),
            nd.Partial: lambda e: (self.partial(self.free(e.args[0]), self.free(e.args[1])), self.gradient_level),
            nd.Columns: lambda e: (self.columns(self.within(e.args[0], ATOM), e.args[1], e.args[2]), ATOM),
            nd.Beside: lambda e: (self.bracketed([self.free(a) for a in e.args], beside=True), ATOM),
            nd.Blocks: lambda e: (self.blocks([[self.free(a) for a in row] for row in e.rows]), ATOM),
            nd.When: lambda e: self.at(e.args[1].name, e.args[0]),
            nd.Samples: lambda e: (self.over([self.sample], self.within(e.args[0], TIMES)), TIMES),
            nd.Over: lambda e: (self.over([self.plain(a) for a in e.args[1:]], self.within(e.args[0], TIMES)), TIMES),
            nd.StepLoss: lambda e: (self.loss(self.when(0), [self.free(a) for a in e.args]), ATOM),
            nd.LastLoss: lambda e: (self.loss("", [self.free(a) for a in e.args]), ATOM),
            nd.By: lambda e: (self.partial(self.free(e.args[0]), self.free(e.args[1])), self.gradient_level),
            nd.Prime: lambda e: (self.prime(type(e.args[0]).text, [self.free(a) for a in e.args[0].args]), ATOM),
            nd.Rows: lambda e: (self.rows_of(self.free(e.args[0])), ATOM),
            nd.Product: lambda e: (self.dotted([self.within(a, APPLIED) for a in e.args[1:]], int(e.args[0])), APPLIED),
            Join: lambda e: (self.bracketed([self.free(a) for a in e.args], beside=False), ATOM),
            nd.Unit: lambda e: (self.constant(e.name.removeprefix("unit ")), ATOM),
            nd.Delta: lambda e: (self.delta(e.value, e.lag), ATOM),
            nd.Bar: lambda e: (self.bar(e.value, e.lag), ATOM),
            nd.Last: lambda e: (self.last(e.value, e.lag), ATOM),
            At: lambda e: (self.timed(e.signal, e.lag), ATOM),
            Param: lambda e: (self.name(e.signal), ATOM),
            Constant: lambda e: (self.name(e.name), ATOM),
            OuterProduct: lambda e: (self.outer(*e.args), APPLIED),
            RowScaled: lambda e: (self.chain((nd.Diagonal(e.args[0]), e.args[1])), APPLIED),
            ColumnScaled: lambda e: (self.chain((e.args[0], nd.Diagonal(e.args[1]))), APPLIED),
            Flipped: lambda e: (self.row(e.args[0]), POWER),
            sympy.MatrixSymbol: lambda e: (self.name(str(e.name)), ATOM),
            Count: lambda e: self.show(e.size.symbol()),
            sympy.Symbol: lambda e: (self.letter(e.name), ATOM),
            sympy.Add: lambda e: (self.sum(_numbers_last(e.args)), SUM),
            sympy.Mul: lambda e: self.plain_product(e),
            fn.Detached: lambda e: self.show(e.args[0]),
            fn.Where: lambda e: self.where(self.condition_of(e.args[0]), self.free(e.args[1]), self.free(e.args[2])),
            fn.Abs: lambda e: (self.fenced("|", self.free(e.args[0])), ATOM),
            fn.UnitNorm: lambda e: (self.fenced("‖", self.free(e.args[0])), ATOM),
        }

    def print(self, expr: Any) -> str:
        """A formula, with its marks."""
        return self.show(expr)[0]

    def show(self, expr: Any) -> Printed:
        if (rule := self.rules.get(type(expr))) is not None:
            return rule(expr)
        if isinstance(expr, fn.Predicate):
            return f"[{self.compared(expr)}]", ATOM
        if isinstance(expr, fn.UnitFunction):
            return self.call(expr.text, [self.free(a) for a in expr.args]), ATOM
        if getattr(expr, "is_number", False):
            return self.number(expr)
        raise NotImplementedError(f"no notation for {type(expr).__name__}")

    def free(self, expr: Any) -> str:
        """An expression inside brackets of some kind already."""
        return OPEN + self.show(expr)[0] + CLOSE

    def within(self, expr: Any, level: int) -> str:
        """An expression as part of another: in parentheses where it holds together less tightly than ``level``."""
        text, own = self.show(expr)
        return self.parenthesised(OPEN + text + CLOSE) if own < level else text

    def sum(self, terms: Any) -> str:
        out = ""
        for k, term in enumerate(terms):
            negative, inner = _sign(term)
            text = self.within(inner, TIMES)
            sign = self.minus if negative else "+"
            out += f" {SUM_BREAK}{sign} {text}" if k else (self.minus + text if negative else text)
        return out

    def product(self, factors: Any) -> str:
        out = ""
        for k, factor in enumerate(factors):
            text = self.within(factor, POWER if isinstance(factor, _APPLIED) else TIMES)
            numbers = k and any(_is_number(f) for f in factors[k - 1 : k + 1])
            between = self.thin if numbers else f" {PRODUCT_BREAK}{self.times} "
            between = f" {PRODUCT_BREAK}{self.dot} " if getattr(factor, "is_Number", False) else between
            out += between + text if k else text
        return out

    def multiple(self, factors: Any) -> str:
        """Numbers before what they scale."""
        *numbers, last = factors
        level = TIMES if isinstance(last, Hadamard) else APPLIED
        return self.thin.join([*(self.within(a, APPLIED) for a in numbers), self.within(last, level)])

    def inner(self, left: Expr, right: Expr) -> Printed:
        if left == right:
            return self.power(self.fenced("‖", self.free(left)), sympy.Integer(2)), POWER
        return self.fenced("⟨", f"{self.free(left)}, {self.free(right)}"), ATOM

    def pullback(self, expr: nd.Pullback) -> Printed:
        """By name where it is long, F′(u)ᵀ δv; else spelled out."""
        if not named(expr):
            return self.show(pulled_back(expr))
        applied, _, cotangent, _ = expr.args
        return self.thin.join((self.row(nd.Prime(applied)), self.within(cotangent, APPLIED))), APPLIED

    def raised(self, base: Expr, exponent: Expr) -> Printed:
        if exponent == sympy.Rational(1, 2):
            return self.call("sqrt", [self.free(base)]), ATOM
        return self.power(self.within(base, ATOM), exponent), POWER

    def compared(self, expr: fn.Predicate) -> str:
        return self.relation(expr.text, *(self.within(a, TIMES) for a in expr.args))

    def condition_of(self, expr: Expr) -> str:
        return self.compared(expr) if isinstance(expr, fn.Predicate) else self.free(expr)

    def plain_product(self, expr: Expr) -> Printed:
        """A product of sizes and numbers."""
        if expr.is_number:
            return self.number(expr)
        return self.thin.join(self.within(a, APPLIED) for a in expr.args), TIMES

    def at(self, moment: str, expr: Expr) -> Printed:
        """An expression whose lags count from another moment than t."""
        before, self.moment = self.moment, moment
        printed = self.show(expr)
        self.moment = before
        return printed

    def when(self, lag: int) -> str:
        """The moment that is ``lag`` steps before the one that lags count from."""
        if self.moment.lstrip("-").isdigit():
            return str(int(self.moment) - lag)
        return self.moment if not lag else f"{self.moment}{-lag:+d}"

    def chain(self, factors: Any) -> str:
        return (self.thin + LAST_BREAK).join(
            self.within(f, TIMES if isinstance(f, nd.Scaled) and not k else APPLIED) for k, f in enumerate(factors)
        )

    def outer(self, column: Expr, row: Expr) -> str:
        return self.within(column, APPLIED) + self.thin + LAST_BREAK + self.row(row)

    def scaled(self, factor: Expr, *rest: Any) -> Printed:
        return self.thin.join([self.within(factor, APPLIED), *(self.within(r, APPLIED) for r in rest)]), TIMES

    def row(self, inner: Any) -> str:
        return self.transposed(self.within(inner, ATOM))

    gradient_level: ClassVar[int] = ATOM

    @abstractmethod
    def name(self, name: str) -> str: ...

    @abstractmethod
    def letter(self, letter: str) -> str:
        """A size, or a letter of the derivation's own."""

    @abstractmethod
    def timed(self, name: str, lag: int) -> str: ...

    @abstractmethod
    def delta(self, name: str, lag: int) -> str: ...

    @abstractmethod
    def delta_of(self, text: str) -> str: ...

    @abstractmethod
    def bar(self, name: str, lag: int) -> str: ...

    @abstractmethod
    def last(self, name: str, lag: int) -> str: ...

    @abstractmethod
    def constant(self, name: str) -> str: ...

    @abstractmethod
    def number(self, value: Expr) -> Printed: ...

    @abstractmethod
    def quotient(self, above: Expr, below: Expr) -> Printed: ...

    @abstractmethod
    def power(self, base: str, exponent: Expr) -> str: ...

    @abstractmethod
    def parenthesised(self, text: str) -> str: ...

    @abstractmethod
    def fenced(self, fence: str, text: str) -> str: ...

    @abstractmethod
    def call(self, function: str, args: list[str]) -> str: ...

    @abstractmethod
    def relation(self, kind: str, left: str, right: str) -> str: ...

    @abstractmethod
    def where(self, condition: str, then: str, otherwise: str) -> Printed: ...

    @abstractmethod
    def transposed(self, text: str) -> str: ...

    @abstractmethod
    def entry(self, matrix: str, row: str, column: str) -> str: ...

    @abstractmethod
    def columns(self, matrix: str, start: Expr, width: Expr) -> str: ...

    @abstractmethod
    def bracketed(self, parts: list[str], *, beside: bool) -> str: ...

    @abstractmethod
    def total(self, text: str) -> str: ...

    @abstractmethod
    def initial_total(self, text: str) -> str: ...

    @abstractmethod
    def over(self, letters: list[str], text: str) -> str:
        """A sum over letters."""

    @abstractmethod
    def loss(self, when: str, args: list[str]) -> str:
        """The loss of one step, or of the last states."""

    @abstractmethod
    def prime(self, function: str, args: list[str]) -> str: ...

    @abstractmethod
    def rows_of(self, text: str) -> str: ...

    @abstractmethod
    def blocks(self, rows: list[list[str]]) -> str: ...

    @abstractmethod
    def dotted(self, factors: list[str], before: int) -> str: ...

    @abstractmethod
    def gradient(self, text: str) -> str: ...

    @abstractmethod
    def partial(self, of: str, by: str) -> str: ...

    @abstractmethod
    def condition(self, kind: str, depth: int) -> str:
        """When a formula holds: at the ``last`` step or before the ``first``, ``depth`` steps deep."""

    def written(self, text: str) -> str:
        """A formula that is written in Unicode, such as ``t = T, …, 1``."""
        return text

    def size(self, size: Expr) -> str:
        """A length: ``D+H``."""
        return "+".join(self.plain(a) for a in sorted(sympy.Add.make_args(size), key=lambda a: (a.is_number, str(a))))

    def plain(self, expr: Any) -> str:
        """A formula without marks."""
        return unmarked(self.print(expr))

    def small(self, expr: Any) -> str:
        """A formula inside a line of text, without marks."""
        return self.plain(expr)


def _is_number(factor: Expr) -> bool:
    """Whether a factor is a number that all units share, with or without a name."""
    return all(isinstance(s, Constant) for s in factor.free_symbols)


def _sign(term: Any) -> tuple[bool, Any]:
    """Whether a term of a sum is subtracted, and what is."""
    if isinstance(term, Minus):
        return True, term.args[0]
    if isinstance(term, sympy.MatMul | sympy.Mul) and term.args[0].is_number and term.args[0].is_negative:
        factors = (-term.args[0], *term.args[1:])
        kept = factors[1:] if factors[0] == 1 else factors
        return True, kept[0] if len(kept) == 1 else type(term)(*kept, evaluate=False)
    return False, term


def _matrix_key(term: Any) -> tuple[bool, bool, str]:
    """Added before subtracted matrices, plain before transposed ones, by name."""
    return _sign(term)[0], term.has(sympy.Transpose), "".join(sorted(str(a) for a in term.atoms(sympy.MatrixSymbol)))


def _numbers_last(terms: Any) -> list[Expr]:
    """What is subtracted last, where anything else is there to begin with."""
    return sorted(terms, key=lambda a: (_sign(a)[0] and not a.is_number, a.is_number, str(a)))


def decimal(value: Expr) -> str:
    """A floating-point number, as short as it can be: ``1e-5``, ``0.5``."""
    mantissa, mark, exponent = repr(float(value)).partition("e")
    return f"{mantissa}{mark}{int(exponent)}" if mark else mantissa
