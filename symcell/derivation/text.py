"""Formulas as plain text: Unicode, one line."""

from __future__ import annotations

import unicodedata

import sympy
from sympy import Expr

from symcell.derivation.breaking import unmarked
from symcell.derivation.printer import APPLIED, ATOM, TIMES, Printed, Printer, decimal
from symcell.symbolic import functions as fn

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_FUNCTIONS = {f.text: f.plain for f in fn.FUNCTIONS if f.plain}
_SIGNS = {"greater": ">", "greater_equal": "≥", "equal": "=", "not_equal": "≠"}


def width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def _when(lag: int) -> str:
    return "t" if not lag else f"t{-lag:+d}"


class TextPrinter(Printer):
    minus, times, thin = "-", "⊙", " "
    gradient_level = TIMES

    def name(self, name: str) -> str:
        return self.names.get(name, name)

    def timed(self, name: str, lag: int) -> str:
        return f"{self.name(name)}[{_when(lag)}]"

    def delta(self, name: str, lag: int) -> str:
        return f"δ{self.name(name)}[{_when(lag)}]"

    def bar(self, name: str, lag: int) -> str:
        bar = unicodedata.normalize("NFC", name + "\u0304") if len(name) == 1 else f"bar({name})"
        return f"{bar}[{_when(lag)}]"

    def last(self, name: str, lag: int) -> str:
        return f"δ{name}ˡᵃˢᵗ[{_when(lag)}]"

    def constant(self, name: str) -> str:
        return {"1": "𝟏", "I": "I"}[name]

    def number(self, value: Expr) -> Printed:
        if isinstance(value, sympy.Float):
            return decimal(value), ATOM if value >= 0 else TIMES
        text = str(value).replace("pi", "π")
        return text, ATOM if text.isalnum() else TIMES

    def quotient(self, above: Expr, below: Expr) -> Printed:
        return f"{self.within(above, TIMES)} / {self.within(below, APPLIED)}", TIMES

    def power(self, base: str, exponent: Expr) -> str:
        if exponent.is_Integer:
            return base + str(exponent).translate(_SUPERSCRIPTS)
        return f"{base}^{self.within(exponent, ATOM)}"

    def parenthesised(self, text: str) -> str:
        return f"({text})"

    def fenced(self, fence: str, text: str) -> str:
        return f"{fence}{text}{fence}"

    def call(self, function: str, args: list[str]) -> str:
        return f"{_FUNCTIONS.get(function, function)}({', '.join(args)})"

    def relation(self, kind: str, left: str, right: str) -> str:
        return f"{left} {_SIGNS[kind]} {right}"

    def where(self, condition: str, then: str, otherwise: str) -> Printed:
        return unmarked(f"{{{then} if {condition}, else {otherwise}}}"), ATOM

    def transposed(self, text: str) -> str:
        return text + "ᵀ"

    def columns(self, matrix: str, start: Expr, width: Expr) -> str:
        return unmarked(f"{matrix}[:, {self.size(start)}:{self.size(start + width)}]")

    def bracketed(self, parts: list[str], *, beside: bool) -> str:
        return f"[{(' | ' if beside else '; ').join(parts)}]"

    def total(self, text: str) -> str:
        return f"Σ_t Σ_b {text}"

    def initial_total(self, text: str) -> str:
        return f"Σ_{{t≤0}} Σ_b {text}"

    def gradient(self, text: str) -> str:
        return f"∂L/∂{text}"

    def partial(self, of: str, by: str) -> str:
        return f"∂{of}/∂{by}"

    def condition(self, kind: str, depth: int) -> str:
        """When a formula holds: at the last step or before the first one, ``depth`` steps deep."""
        if kind == "last":
            return "for t = T" if depth == 1 else f"for T-{depth} < t ≤ T"
        return "for t = 0" if depth == 1 else f"for -{depth} < t ≤ 0"
