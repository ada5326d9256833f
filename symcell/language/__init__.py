"""The stage text → Cell: the cell language (see LANGUAGE.md), its files, and the way back from SymPy equations."""

from symcell.language.declared import declarations_of
from symcell.language.files import as_cell, load, names
from symcell.language.from_sympy import from_equations
from symcell.language.parsing import parse

__all__ = ["as_cell", "declarations_of", "from_equations", "load", "names", "parse"]
