"""A cell → its profile, apart from what is measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from symcell.cell import Cell
from symcell.compare.gates import Gate, gates
from symcell.compare.model import Equation, GateUse, Path, Profile, Shown
from symcell.derivation.forward import Forward, read_forward
from symcell.derivation.onestep import displayed
from symcell.derivation.tex import TexPrinter
from symcell.derivation.text import TextPrinter
from symcell.diff.costs import PARAMETERS, amounts
from symcell.jacobian import Way
from symcell.jacobian.paths import paths_of
from symcell.lower import lower
from symcell.pipeline import plan
from symcell.program.report import parameter_count
from symcell.symbolic.nodes import At
from symcell.transforms.textbook import textbook


def profile(cell: Cell, target: str) -> Profile:
    """What there is to say about a cell without running it; costs are those of a target."""
    book = textbook(cell)
    graph = lower(book.cell)
    forward = read_forward(book, graph)
    shown, plain = _Writer(forward.display_names()), _Writer({})
    return Profile(
        cell,
        tuple(_equations(cell, plain)),
        tuple(_gate(gate, plain) for gate in gates(cell)),
        tuple(_path(way, forward, shown) for way in paths_of(book.cell, graph)),
        {PARAMETERS: parameter_count(cell), **amounts(plan(cell, target))},
    )


class _Writer:
    def __init__(self, names: dict[str, str]) -> None:
        self.text, self.tex = TextPrinter(names), TexPrinter(names, native=True)

    def __call__(self, expr: Any) -> Shown:
        return Shown(self.text.print(expr), self.tex.plain(expr))


def _equations(cell: Cell, shown: _Writer) -> Iterator[Equation]:
    for equation in cell.equations:
        yield Equation(shown(equation.lhs), shown(equation.rhs), cell.labels.get(equation.lhs.signal, ""))


def _gate(gate: Gate, shown: _Writer) -> GateUse:
    return GateUse(gate.name, shown(gate.factor), shown(gate.gated), gate.signal)


def _path(way: Way, forward: Forward, shown: _Writer) -> Path:
    factor = None if way.factor is None else shown(displayed(forward, way.factor))
    return Path(shown(At(way.target)), shown(way.source), way.kind.word, factor, way.matrices)
