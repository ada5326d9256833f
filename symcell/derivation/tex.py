"""Formulas in LaTeX, for pdflatex with amsmath and for MathJax, and how wide they are on paper."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import sympy
from sympy import Expr

from symcell.derivation.breaking import unmarked
from symcell.derivation.names import tex_symbol
from symcell.derivation.printer import ATOM, POWER, SUM, TIMES, Printed, Printer, decimal
from symcell.symbolic import functions as fn
from symcell.symbolic.typeset import latex

_FUNCTIONS = {f.text: f.tex for f in (*fn.FUNCTIONS, *fn.OVER_UNITS.values()) if f.tex}
_SIGNS = {"greater": r"\gt", "greater_equal": r"\ge", "less": r"\lt", "less_equal": r"\le", "equal": "=",
          "not_equal": r"\ne"}  # fmt: skip
_FENCES = {"|": (r"\lvert", r"\rvert"), "‖": (r"\lVert", r"\rVert"), "⟨": (r"\langle", r"\rangle")}
_NARROW_FRACTION = 45
_ROOTS = ("sqrt", "euclidean_root")
_WRITTEN = {"⊙": r"\odot ", "ᵀ": r"^{\top}", "…": r"\dots ", "≥": r"\ge ", "≤": r"\le ", "−": "-",
            "∂": r"\partial ", "δ": r"\delta ", "Σ": r"\sum ", "→": r"\to ", "∈": r"\in ", "×": r"\times ",
            "⟨": r"\langle ", "⟩": r"\rangle ", "‖": r"\Vert ", "𝟏": r"\mathbf{1}"}  # fmt: skip
"""Signs in formulas of the catalogue."""


class TexPrinter(Printer):
    minus, times, thin, kronecker = "-", r"\odot", r"\, ", r" \otimes "
    dot = r"\cdot"
    gradient_level = POWER
    flat = False
    """Whether derivatives are written on one line, as inside a text."""

    def __init__(self, names: Mapping[str, str], native: bool, sample: str = "n") -> None:
        """``native``: characters outside pdflatex's fonts may stand as they are (MathJax)."""
        super().__init__(names, sample)
        self.native = native

    def show(self, expr: Any) -> Printed:
        """What has no notation of ours is SymPy's own, which prints it."""
        try:
            return super().show(expr)
        except NotImplementedError:
            if getattr(type(expr), "_latex", None) is latex:
                raise
            return sympy.latex(expr), SUM

    def name(self, name: str) -> str:
        return self.letter(self.names.get(name, name))

    def letter(self, letter: str) -> str:
        symbol, subscripts = tex_symbol(letter, self.native)
        return f"{symbol}_{{{','.join(subscripts)}}}" if subscripts else symbol

    def _at(self, name: str, lag: int, decorate: str = "{}", above: str = "") -> str:
        symbol, subscripts = tex_symbol(self.names.get(name, name), self.native)
        marks = subscripts if above and self.moment == "T" and not lag else (*subscripts, self.when(lag))
        return f"{decorate.format(symbol)}{above}" + (f"_{{{','.join(marks)}}}" if marks else "")

    def timed(self, name: str, lag: int) -> str:
        return self._at(name, lag)

    def delta(self, name: str, lag: int) -> str:
        return r"\delta " + self._at(name, lag)

    def delta_of(self, text: str) -> str:
        return rf"\delta {text}"

    def bar(self, name: str, lag: int) -> str:
        return self._at(name, lag, r"\overline{{{}}}" if len(name.split("_")[0]) > 1 else r"\bar{{{}}}")

    def last(self, name: str, lag: int) -> str:
        return r"\delta " + self._at(name, lag, above=r"^{\mathrm{last}}")

    def constant(self, name: str) -> str:
        return rf"\mathbf{{{name}}}"

    def number(self, value: Expr) -> Printed:
        if isinstance(value, sympy.Float):
            mantissa, _, exponent = decimal(value).partition("e")
            if not exponent:
                return mantissa, ATOM if value >= 0 else TIMES
            power = rf"10^{{{int(exponent)}}}"
            return (power, ATOM) if mantissa == "1" else (rf"{mantissa} \cdot {power}", TIMES)
        text = sympy.latex(value)
        return text, ATOM if text.isalnum() or text.startswith((r"\frac", r"\pi")) else TIMES

    def quotient(self, above: Expr, below: Expr) -> Printed:
        top, bottom = self.print(above), self.print(below)
        if measure(unmarked(top)) > _NARROW_FRACTION and measure(unmarked(bottom)) <= _NARROW_FRACTION:
            return rf"\tfrac{{1}}{{{unmarked(bottom)}}}\, {self.within(above, TIMES)}", TIMES
        return rf"\frac{{{unmarked(top)}}}{{{unmarked(bottom)}}}", TIMES

    def power(self, base: str, exponent: Expr) -> str:
        return f"{base}^{{{unmarked(self.print(exponent))}}}"

    def parenthesised(self, text: str) -> str:
        size = _tall(text)
        return rf"{size}({text}{size})" if not size else rf"{size}l({text}{size}r)"

    def fenced(self, fence: str, text: str) -> str:
        left, right = _FENCES[fence]
        return f"{left} {text} {right}"

    def call(self, function: str, args: list[str]) -> str:
        if function in _ROOTS:
            return rf"\sqrt{{{unmarked(args[0])}}}"
        name = _FUNCTIONS.get(function) or rf"\operatorname{{{function}}}".replace("_", r"\_")
        return name + self.parenthesised(",\\, ".join(args))

    def relation(self, kind: str, left: str, right: str) -> str:
        return rf"{left} {_SIGNS[kind]} {right}"

    def where(self, condition: str, then: str, otherwise: str) -> Printed:
        before, after = (rf"\text{{{part}}}" if part else "" for part in self.cases[0].split("{condition}"))
        body = rf"{then} & {before} {condition} {after} \\ {otherwise} & \text{{{self.cases[1]}}}"
        return unmarked(rf"\left\{{\begin{{array}}{{ll}} {body} \end{{array}}\right\}}"), ATOM

    def transposed(self, text: str) -> str:
        return rf"{text}^{{\top}}"

    def entry(self, matrix: str, row: str, column: str) -> str:
        return f"{matrix}_{{{row} {column}}}"

    def columns(self, matrix: str, start: Expr, width: Expr) -> str:
        return unmarked(rf"{matrix}[:,\,{self.size(start)}:{self.size(start + width)}]")

    def bracketed(self, parts: list[str], *, beside: bool) -> str:
        size = max(map(_tall, parts), key=len)
        left, right = (f"{size}l[", f"{size}r]") if size else ("[", "]")
        return left + (r" \;\vert\; " if beside else r";\, ").join(parts) + right

    def written(self, text: str) -> str:
        signs = "".join(_WRITTEN.get(c, c) for c in text)
        return re.sub(r"(?<![\\A-Za-z])[A-Za-z]{2,}", lambda word: rf"\operatorname{{{word[0]}}}", signs)

    def total(self, text: str) -> str:
        return rf"\sum_{{t}} \sum_{{{self.name(self.sample)}}} {text}"

    def initial_total(self, text: str) -> str:
        return rf"\sum_{{t \le 0}} \sum_{{{self.name(self.sample)}}} {text}"

    def over(self, letters: list[str], text: str) -> str:
        return "".join(rf"\sum_{{{unmarked(letter)}}} " for letter in letters) + text

    def loss(self, when: str, args: list[str]) -> str:
        name = rf"\ell_{{{when}}}" if when else r"\ell^{\mathrm{last}}"
        return name + self.parenthesised(",\\, ".join(args)) if args else name

    def prime(self, function: str, args: list[str]) -> str:
        if function in _ROOTS:
            return self.parenthesised(self.call(function, args)) + "'"
        name = _FUNCTIONS.get(function) or rf"\operatorname{{{function}}}".replace("_", r"\_")
        return f"{name}'" + self.parenthesised(",\\, ".join(args))

    def rows_of(self, text: str) -> str:
        left, right = (r"\left[\!\left[", r"\right]\!\right]") if r"\begin" in text else (r"[\![", r"]\!]")
        return unmarked(left + text.replace("{bmatrix}", "{matrix}") + right)

    def blocks(self, rows: list[list[str]]) -> str:
        body = r" \\ ".join(" & ".join(row) for row in rows)
        return unmarked(rf"\begin{{bmatrix}} {body} \end{{bmatrix}}")

    def dotted(self, factors: list[str], before: int) -> str:
        return self.thin.join([*factors[:before], r"\cdots", *factors[before:]])

    def small(self, expr: Any) -> str:
        self.flat = True
        text = self.plain(expr)
        self.flat = False
        return text

    def gradient(self, text: str) -> str:
        if self.flat:
            return rf"\partial L/\partial {unmarked(text)}"
        return rf"\frac{{\partial L}}{{\partial {unmarked(text)}}}"

    def partial(self, of: str, by: str) -> str:
        if self.flat:
            return rf"\partial {unmarked(of)}/\partial {unmarked(by)}"
        return rf"\frac{{\partial {unmarked(of)}}}{{\partial {unmarked(by)}}}"

    def condition(self, kind: str, depth: int) -> str:
        if kind == "inner":
            return rf"t = T-{depth},\, \ldots,\, 1"
        if kind == "last":
            return "t = T" if depth == 1 else rf"T-{depth} \lt t \le T"
        return "t = 0" if depth == 1 else rf"-{depth} \lt t \le 0"


def _tall(text: str) -> str:
    """The size of brackets around a formula; brackets of fixed sizes let a line be broken between them."""
    if any(high in text for high in (r"\frac", r"\sum", r"\begin")):
        return r"\Big"
    return ""


_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[_^{}]|\s+|.", re.DOTALL)
_WIDTHS = {r"\odot": 2.2, r"\sum": 2.4, r"\tanh": 4, r"\exp": 3.6, r"\log": 2.8, r"\sin": 2.8, r"\cos": 3,
           r"\max": 4, r"\top": 1.4, r"\sqrt": 1.6, r"\,": 0.3, r"\;": 0.5, r"\quad": 2, r"\_": 1,
           r"\delta": 0.9, r"\ge": 2.6, r"\le": 2.6, r"\gt": 2.6, r"\ne": 2.6, r"\cdot": 1.6, r"\Phi": 1.4,
           r"\partial": 1.1, r"\Bigl": 0.5, r"\Bigr": 0.5, r"\Big": 0.5, r"\ell": 0.9, r"\cdots": 2.4,
           r"\otimes": 2.2}  # fmt: skip
_MATRIX = re.compile(r"\\begin\{(\w+)\}(?:\{l+\})?((?:(?!\\begin).)*?)\\end\{\1\}", re.DOTALL)
_SILENT = re.compile(r"\\(?:left|right|math(?:it|rm|tt|bf)|operatorname|text|mbox|bar|overline|begin|end)")


def measure(tex: str) -> float:
    """About how wide a formula is on paper, in widths of a digit."""
    while (matrix := _MATRIX.search(tex)) is not None:
        rows = (row.replace("&", r"\quad") for row in matrix[2].split(r"\\"))
        tex = tex[: matrix.start()] + f"({max(rows, key=measure)})" + tex[matrix.end() :]
    tokens = _TOKEN.findall(tex)
    width, _ = _measure(tokens, 0, 1.0)
    return width


def _measure(tokens: list[str], start: int, scale: float) -> tuple[float, int]:
    width, k = 0.0, start
    while k < len(tokens) and tokens[k] != "}":
        token = tokens[k]
        k += 1
        if token in (r"\frac", r"\tfrac"):
            top, k = _group(tokens, k, scale)
            bottom, k = _group(tokens, k, scale)
            width += max(top, bottom) + 0.7
        elif token in "_^":
            inner, k = _group(tokens, k, 0.72 * scale)
            width += inner
        elif token == "{":
            inner, k = _measure(tokens, k, scale)
            width, k = width + inner, k + 1
        elif not token.isspace() and not _SILENT.fullmatch(token):
            width += scale * _width(token)
    return width, k


def _group(tokens: list[str], k: int, scale: float) -> tuple[float, int]:
    if k < len(tokens) and tokens[k] == "{":
        inner, end = _measure(tokens, k + 1, scale)
        return inner, end + 1
    return (scale, k + 1)


def _width(token: str) -> float:
    if token in _WIDTHS:
        return _WIDTHS[token]
    if token.startswith("\\"):
        return 1.2
    if token in "+-=&":
        return 2.3
    if token > "\u1100":  # Hangul
        return 2.1
    return 0.8 if token in "()[],.;:ijlt|" else 1.9 if token in "mwMWH" else 1.15


