"""Which formula says what a value of the emitted code is."""

from __future__ import annotations

from collections.abc import Mapping

from symcell.adjoint import Adjoint
from symcell.derivation.backward import Backward, cotangent_steps
from symcell.derivation.build.numbering import Numbering
from symcell.derivation.forward import Forward, read_forward
from symcell.graph import name_of


def values(backward: Backward, numbering: Numbering, emitted: Adjoint) -> Mapping[str, int]:
    """The numbers by the names that a step and its adjoint give to values, their cotangents and the gradients.

    ``emitted``: the adjoint of the cell as its user wrote it. Where the derivation is of its textbook form, only what
    the user named is the same value in both.
    """
    numbers, book = numbering.numbers, backward.forward.textbook
    if emitted is backward.adjoint:
        sources = {value: name_of(operand) for value, operand in backward.sources.items()}
        shown, names = backward.forward, list(backward.forward.named)
    else:
        shown = read_forward(book.source, emitted.forward)
        names = [name for name in shown.named if name in book.source.signals]
        sources = {v: s for v, s in cotangent_steps(emitted, shown).items() if _same(shown, v)}
    found = {name: numbers["value", name] for name in names if ("value", name) in numbers}
    found |= {step: numbers["delta", v] for v, step in sources.items() if ("delta", v) in numbers}
    steps = {**cotangent_steps(emitted, shown), **emitted.gradients}
    return found | {step: numbers["gradient", n] for n, step in steps.items() if ("gradient", n) in numbers}


def _same(shown: Forward, value: str) -> bool:
    """Whether a value of the emitted step is one that the user named."""
    return value in shown.cell.signals or value in shown.graph.given
