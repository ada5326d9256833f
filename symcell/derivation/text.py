"""Formulas as plain text: Unicode, one line."""

from __future__ import annotations

import unicodedata

import sympy
from sympy import Expr

from symcell.derivation.breaking import CLOSE, LAST_BREAK, OPEN, PRODUCT_BREAK, unmarked
from symcell.derivation.printer import APPLIED, ATOM, TIMES, Printed, Printer, decimal
from symcell.symbolic import functions as fn

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_FUNCTIONS = {f.text: f.plain for f in fn.FUNCTIONS if f.plain}
_SIGNS = {"greater": ">", "greater_equal": "≥", "less": "<", "less_equal": "≤", "equal": "=", "not_equal": "≠"}


_CLOSING = {"⟨": "⟩"}


def width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


class TextPrinter(Printer):
    dot = "·"
    minus, times, thin, kronecker = "-", "⊙", " ", " ⊗ "
    gradient_level = TIMES

    def name(self, name: str) -> str:
        return self.names.get(name, name)

    def letter(self, letter: str) -> str:
        return letter

    def timed(self, name: str, lag: int) -> str:
        return f"{self.name(name)}[{self.when(lag)}]"

    def delta(self, name: str, lag: int) -> str:
        return f"δ{self.name(name)}[{self.when(lag)}]"

    def delta_of(self, text: str) -> str:
        return f"δ{text}"

    def bar(self, name: str, lag: int) -> str:
        shown = self.name(name)
        bar = unicodedata.normalize("NFC", shown + "\u0304") if len(shown) == 1 else f"bar({shown})"
        return f"{bar}[{self.when(lag)}]"

    def last(self, name: str, lag: int) -> str:
        when = "" if self.moment == "T" and not lag else f"[{self.when(lag)}]"
        return f"δ{self.name(name)}ˡᵃˢᵗ{when}"

    def constant(self, name: str) -> str:
        return {"1": "𝟏", "I": "I"}[name]

    def number(self, value: Expr) -> Printed:
        if isinstance(value, sympy.Float):
            return decimal(value), ATOM if value >= 0 else TIMES
        text = str(value).replace("pi", "π")
        return text, ATOM if text.isalnum() else TIMES

    def quotient(self, above: Expr, below: Expr) -> Printed:
        return f"{self.within(above, TIMES)} {PRODUCT_BREAK}/ {self.within(below, APPLIED)}", TIMES

    def power(self, base: str, exponent: Expr) -> str:
        if exponent.is_Integer:
            return base + str(exponent).translate(_SUPERSCRIPTS)
        return f"{base}^{self.within(exponent, ATOM)}"

    def parenthesised(self, text: str) -> str:
        return f"({text})"

    def fenced(self, fence: str, text: str) -> str:
        return f"{fence}{text}{_CLOSING.get(fence, fence)}"

    def call(self, function: str, args: list[str]) -> str:
        return f"{_FUNCTIONS.get(function, function)}({f', {LAST_BREAK}'.join(args)})"

    def relation(self, kind: str, left: str, right: str) -> str:
        return f"{left} {_SIGNS[kind]} {right}"

    def where(self, condition: str, then: str, otherwise: str) -> Printed:
        first, second = self.cases[0].format(condition=condition), self.cases[1]
        return f"{{{OPEN}{then} {LAST_BREAK}{first}; {LAST_BREAK}{otherwise} {second}{CLOSE}}}", ATOM

    def transposed(self, text: str) -> str:
        return text + "ᵀ"

    def entry(self, matrix: str, row: str, column: str) -> str:
        return f"{matrix}_{row}{column}"

    def columns(self, matrix: str, start: Expr, width: Expr) -> str:
        return unmarked(f"{matrix}[:, {self.size(start)}:{self.size(start + width)}]")

    def bracketed(self, parts: list[str], *, beside: bool) -> str:
        return f"[{((' | ' if beside else '; ') + LAST_BREAK).join(parts)}]"

    def total(self, text: str) -> str:
        return f"Σ_t Σ_{self.sample} {LAST_BREAK}{text}"

    def initial_total(self, text: str) -> str:
        return f"Σ_{{t≤0}} Σ_{self.sample} {LAST_BREAK}{text}"

    def over(self, letters: list[str], text: str) -> str:
        return "".join(f"Σ_{letter} " for letter in letters) + LAST_BREAK + text

    def loss(self, when: str, args: list[str]) -> str:
        name = f"ℓ[{when}]" if when else "ℓˡᵃˢᵗ"
        return f"{name}({f', {LAST_BREAK}'.join(args)})" if args else name

    def prime(self, function: str, args: list[str]) -> str:
        return f"{_FUNCTIONS.get(function, function)}′({', '.join(args)})"

    def rows_of(self, text: str) -> str:
        return f"⟦{text}⟧"

    def blocks(self, rows: list[list[str]]) -> str:
        return f"[{f'; {LAST_BREAK}'.join('  '.join(row) for row in rows)}]"

    def dotted(self, factors: list[str], before: int) -> str:
        return " ".join([*factors[:before], "⋯", *factors[before:]])

    def gradient(self, text: str) -> str:
        return f"∂L/∂{text}"

    def partial(self, of: str, by: str) -> str:
        return f"∂{of}{LAST_BREAK}/∂{by}"

    def condition(self, kind: str, depth: int) -> str:
        if kind == "inner":
            return f"t = T-{depth}, …, 1"
        if kind == "last":
            return "t = T" if depth == 1 else f"T-{depth} < t ≤ T"
        return "t = 0" if depth == 1 else f"-{depth} < t ≤ 0"
