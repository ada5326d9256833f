"""The same cell with its recurrent matrices scaled, and with its gates' biases moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from symcell.flow.claims import alone_through
from symcell.flow.direct import diagonal, own_kind
from symcell.flow.gradients import curve, flow_of, memory, norms, rate
from symcell.flow.handles import Gate, Recurrent, gates, recurrent_matrices
from symcell.flow.model import Setting, Sweep
from symcell.flow.subject import Subject

Array = Any
GAINS = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
BIASES = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


def gain_sweep(
    subject: Subject, x: Mapping[str, Array], seed: int, tell: Callable[[], None], gains: Sequence[float] = GAINS
) -> Sweep | None:
    """Over the factor on the recurrent matrices; None for a cell that has none."""
    found = recurrent_matrices(subject.cell, subject.graph)
    if not found:
        return None
    state = _state(subject)
    settings = []
    for gain in gains:
        settings.append(_setting(gain, subject.with_arrays(scaled(subject, found, gain)), state, x, seed))
        tell()
    return Sweep("gain", tuple(dict.fromkeys(r.name for r in found)), state, tuple(settings))


def scaled(subject: Subject, matrices: Sequence[Recurrent], gain: float) -> dict[str, Array]:
    """The recurrent matrices times a factor."""
    out: dict[str, Array] = {}
    for matrix in matrices:
        array = out.setdefault(matrix.name, subject.arrays[matrix.name].copy())
        if matrix.block is None:
            array *= gain
        else:
            start = matrix.block.start.value(subject.sizes)
            array[:, start : start + matrix.block.width.value(subject.sizes)] *= gain
    return out


def bias_sweep(
    subject: Subject, x: Mapping[str, Array], seed: int, tell: Callable[[], None], biases: Sequence[float] = BIASES
) -> Sweep | None:
    """Over what is added to the gates' biases, each in the direction that opens its way; None for a cell without."""
    gate = next((g for g in gates(subject.cell, subject.graph) if g.biases), None)
    if gate is None:
        return None
    signs = directions(subject, gate, x)
    if not signs:
        return None
    settings = []
    for bias in biases:
        moved = {name: subject.arrays[name] + sign * bias for name, sign in signs.items()}
        settings.append(_setting(bias, subject.with_arrays(moved), gate.state, x, seed))
        tell()
    named = tuple(name if sign > 0 else f"-{name}" for name, sign in signs.items())
    return Sweep("bias", named, gate.state, tuple(settings))


def directions(subject: Subject, gate: Gate, x: Mapping[str, Array]) -> dict[str, int]:
    """Which way each bias opens the gated way: what raises its mean factor. One that does not move it is left out."""

    def opened(changed: Mapping[str, Array]) -> float:
        values = subject.with_arrays(changed).run(x)
        return float(diagonal(subject.cell, values, gate.state).mean())

    at = opened({})
    by = {name: opened({name: subject.arrays[name] + 0.5}) - at for name in gate.biases}
    return {name: 1 if change > 0 else -1 for name, change in by.items() if abs(change) > 1e-9}


def _state(subject: Subject) -> str:
    """The state whose claim stands beside a sweep: one with a way of its own, or the first."""
    states = [s for s in subject.step.targets if s in subject.cell.states]
    own = [s for s in states if own_kind(subject.cell, subject.graph, s) is not None]
    return (own or states)[0]


def _setting(value: float, subject: Subject, state: str, x: Mapping[str, Array], seed: int) -> Setting:
    flow = flow_of(subject, x, seed, products=False)
    whole = curve(flow.norms()).middle
    predicted = flow.geometric
    if own_kind(subject.cell, subject.graph, state) is not None:
        alone = alone_through(flow, state, diagonal(subject.cell, flow.values, state))
        predicted = rate(curve(norms(alone)).middle)
    return Setting(value, rate(whole), predicted, flow.radius, flow.spread, memory(whole), whole)
