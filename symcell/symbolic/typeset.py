"""``sympy.latex`` of our nodes is what a derivation prints: one printer for both.

That printer imports the nodes, so they find it by its name, when they are printed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def latex(expr: Any, printer: Any, exp: str | None = None) -> str:
    """The method ``_latex`` of a node; ``exp``: a power of it, in TeX already."""
    text = str(import_module("symcell.derivation.tex").TexPrinter({}, native=False).plain(expr))
    text = text.replace(r"\lt ", "< ").replace(r"\gt ", "> ")  # MathJax's names, which LaTeX does not know
    return text if exp is None else rf"\left({text}\right)^{{{exp}}}"
