"""What the sections of a derivation are made from: a cell, its graphs as they are displayed, and letters to speak of
values in general."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from string import ascii_lowercase, ascii_uppercase

import sympy

from symcell.cell import Cell
from symcell.derivation.arrange import Ranks
from symcell.derivation.backward import Backward
from symcell.derivation.forward import Forward
from symcell.derivation.lemmas import Lemma
from symcell.graph import Graph
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True)
class Letters:
    """Letters that the cell does not use: for ``sample`` and ``batch`` (how many there are), for any ``value`` and one
    that reads it (``reader``), the arguments of a function (``argument``, ``second``, ``third``), a diagonal
    (``slope``), all ``states`` together and their ``jacobian``, a ``matrix``, a number of steps (``back``) and of those
    between cuts (``window``), any ``parameter``, and the place of a unit (``row``, ``column``)."""

    sample: str
    batch: str
    value: str
    reader: str
    argument: str
    second: str
    third: str
    slope: str
    states: str
    jacobian: str
    matrix: str
    window: str
    back: str
    parameter: str
    row: str
    column: str


_CHOICES = {
    "sample": "n s m j",
    "batch": "B N M",
    "value": "v q p w",
    "reader": "u r y s",
    "argument": "a z q",
    "second": "b y w",
    "third": "c d e",
    "slope": "d g e r",
    "states": "s z q r",
    "jacobian": "J G Q",
    "matrix": "M A K",
    "window": "K N Q",
    "back": "k l m",
    "parameter": "θ φ ω",
    "row": "i p m l",
    "column": "j q k l",
}
_BOUND = ("argument", "second", "third")
"""What stands for a value within one formula alone."""
_PLACES = ("row", "column")
"""Which stand beside none of those that are bound."""

_CAPITAL = ("batch", "jacobian", "matrix", "window")
_GREEK = {"theta": "θ", "phi": "φ", "omega": "ω"}
_RARE = {"kappa": "κ", "mu": "μ", "nu": "ν", "xi": "ξ", "rho": "ρ", "chi": "χ", "psi": "ψ", "zeta": "ζ", "eta": "η",
         "iota": "ι", "lambda": "λ"}  # fmt: skip
"""For a cell that uses up an alphabet."""


def letters(cell: Cell, printed: Iterable[str] = ()) -> Letters:
    """Some customary letter for each, that no name of the cell begins with, nor what is ``printed`` for one; else any
    letter that is left."""
    names = (*cell.signals, *cell.inputs, *cell.parameters, *cell.arrays, *cell.constants, *cell.sizes)
    own = {"T", "L", "t", *map(_head, names)}
    taken = own | set(map(_head, printed))
    found: dict[str, str] = {}
    for role, choices in _CHOICES.items():
        others = ascii_uppercase if role in _CAPITAL else ascii_lowercase
        used = own | set(found.values()) if role in _BOUND else taken
        free = [c for c in (*choices.split(), *others) if c not in used]
        if not free and role in _PLACES:
            free = sorted({found[bound] for bound in _BOUND} & {*others} - {found.get("row", "")})
        found[role] = next(iter((*free, *(c for c in _RARE.values() if c not in taken), f"{role}_")))
        taken.add(found[role])
    return Letters(**found)


def _head(name: str) -> str:
    """What a name begins with, without accents."""
    head = name.split("_")[0]
    plain = "".join(c for c in unicodedata.normalize("NFD", head) if not unicodedata.combining(c))
    return (_GREEK | _RARE).get(plain, plain)


@dataclass(frozen=True, eq=False)
class Source:
    """``full``: whether formulas have their intermediate equalities. ``lemmas``: of the composites of the cell.

    ``readers``: for each displayed value the displayed ones that read it and act on the loss, and at which lag.
    """

    backward: Backward
    letters: Letters
    full: bool = False
    lemmas: tuple[Lemma, ...] = ()

    @property
    def cell(self) -> Cell:
        """The cell as its user wrote it."""
        return self.forward.textbook.source

    @property
    def forward(self) -> Forward:
        return self.backward.forward

    @property
    def graph(self) -> Graph:
        return self.forward.graph

    @cached_property
    def ranks(self) -> Ranks:
        return self.forward.all_ranks()

    @cached_property
    def readers(self) -> dict[str, tuple[tuple[str, int], ...]]:
        found: dict[str, dict[tuple[str, int], None]] = {}
        for reader in reversed(tuple(self.forward.named)):
            if reader in self.backward.deltas or reader in found or reader in self.backward.adjoint.seeds:
                for at in sorted(self.forward.named[reader].atoms(At), key=lambda a: a.lag):
                    found.setdefault(at.signal, {})[reader, at.lag] = None
        return {name: tuple(sorted(pairs, key=lambda p: (p[1], self.ranks[p[0]]))) for name, pairs in found.items()}

    @cached_property
    def users(self) -> dict[str, tuple[str, ...]]:
        """For each fixed value the displayed ones that read it."""
        combined = {expr: name for name, expr in self.forward.matrices.items()}
        found: dict[str, dict[str, None]] = {}
        for reader, body in self.forward.named.items():
            for name in _fixed(body, combined):
                found.setdefault(name, {})[reader] = None
        return {name: tuple(readers) for name, readers in found.items()}


def _fixed(body: sympy.Basic, combined: dict[object, str]) -> Iterator[str]:
    """The parameters in a body, and the combined matrices that have a gradient of their own."""
    for part in sympy.preorder_traversal(body):
        if isinstance(part, Param):
            yield part.signal
        elif isinstance(part, sympy.MatrixExpr) and part in combined:
            yield combined[part]
        if isinstance(part, sympy.MatrixSymbol):
            yield str(part.name)
