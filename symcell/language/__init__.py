"""The stage text → Cell: the cell language (see LANGUAGE.md), its files, and the way back from SymPy equations."""

from symcell.language.files import load, names
from symcell.language.from_sympy import from_equations
from symcell.language.parsing import parse

__all__ = ["from_equations", "load", "names", "parse"]
