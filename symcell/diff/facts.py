"""What is not a formula: parameters, inputs, states, constants, the output; and what is told to people alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from symcell.cell import Cell, Parameter, Start, shape_text
from symcell.diff.model import Both, Fact

SIGNAL, LABEL = "signal", "label"


def facts(old: Cell, new: Cell) -> tuple[Fact, ...]:
    """What differs about the names of two cells, apart from their equations."""
    found = _differing(_facts(old), _facts(new))
    return tuple(f for f in found if f.what != SIGNAL or f.texts.kind == "changed")  # the others are equations


def notes(old: Cell, new: Cell) -> tuple[Fact, ...]:
    """What differs about titles, descriptions and labels."""
    found = _differing(_notes(old), _notes(new))
    return tuple(n for n in found if n.what != LABEL or {n.name} <= old.signals.keys() & new.signals.keys())


def _differing(old: Mapping[tuple[str, str], str], new: Mapping[tuple[str, str], str]) -> Iterator[Fact]:
    for what, name in dict.fromkeys((*old, *new)):
        both = Both(old.get((what, name)), new.get((what, name)))
        if both.old != both.new:
            yield Fact(what, name, both)


def _facts(cell: Cell) -> dict[tuple[str, str], str]:
    found = {("input", n): shape_text(s) for n, s in cell.inputs.items()}
    found |= {("state", n): _state(cell, n) for n in cell.states if n in cell.signals}
    found |= {("input read again", n): f"up to {k} back" for n, k in cell.states.items() if n in cell.inputs}
    found |= {(SIGNAL, n): shape_text(s) for n, s in cell.signals.items() if n not in cell.states}
    found |= {("parameter", n): parameter_text(p) for n, p in cell.parameters.items()}
    found |= {("array", n): shape_text(s) for n, s in cell.arrays.items()}
    found |= {("constant", n): f"{v:g}" for n, v in cell.constants.items()}
    return {**found, ("output", ""): cell.output}


def _notes(cell: Cell) -> dict[tuple[str, str], str]:
    texts = {("title", ""): cell.title, ("description", ""): cell.description}
    texts |= {(LABEL, name): label for name, label in cell.labels.items()}
    return {key: text for key, text in texts.items() if text}


def parameter_text(parameter: Parameter) -> str:
    """Its shape, and where it starts if that is not the default."""
    start = parameter.start
    begins = f"{start:g}" if isinstance(start, float | int) else str(start)
    return shape_text(parameter.shape) + ("" if start == Start() else f", starting at {begins}")


def _state(cell: Cell, name: str) -> str:
    lags, start = cell.states[name], cell.initial.get(name)
    said = [shape_text(cell.shape_of(name)), *([f"{lags} steps back"] if lags > 1 else [])]
    return ", ".join([*said, *([f"starting at {start}"] if start else [])])
