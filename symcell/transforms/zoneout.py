"""Zoneout, Krueger et al. (2017): units of a state keep the value of the step before, at random."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import sympy

from symcell.cell import Cell
from symcell.symbolic.nodes import At, Hadamard, Minus, Sum
from symcell.transforms.transformed import Mask, Subject, Transformed, chosen, names_in, read, remade, taken_apart


def with_zoneout(cell: Subject, states: Iterable[str] | None = None) -> Transformed:
    """The cell with zoneout of some states, or of all that equations define.

    For each such state s there is a mask, an input of its shape (``zone_s``, or another name where that is taken)::

        s[t] = zone_s[t] * s[t-1] + (1 - zone_s[t]) * s_new[t]

    where ``s_new`` is what s was defined as. As in the paper, zoneout acts between steps: whatever leads to a state
    within the step reads the proposal ``s_new`` (the h of an LSTM is made of the proposed c), and what only reads out,
    on which no state depends, reads what is kept, as the next step does. A state of k lags moves on as ever: only what
    enters is zoned. For training draw 0 and 1 anew for every step, 1 with the rate of zoneout; to use the cell give
    the rate in every place. Zero gives the cell as it was.

    Raises CellError for a cell none of whose signals is carried, and for states that it does not have.
    """
    base, masks = taken_apart(cell)
    possible = [state for state in base.states if state in base.signals]
    reason = "no equation reads a signal at an earlier step, so there is nothing to keep"
    kept = chosen(states, possible, base, "zoneout", reason)
    names = names_in(base)
    zones = {state: names.fresh(f"zone_{state}") for state in kept}
    proposals = {state: names.fresh(f"{state}_new") for state in kept}
    shapes = {new: base.shape_of(state) for group in (zones, proposals) for state, new in group.items()}
    labels = {proposals[state]: f"proposed {base.labels[state]}" for state in kept if state in base.labels}
    found = tuple(Mask(name, state, "zoneout") for state, name in zones.items())
    return Transformed(remade(base, "zoneout", _zoned(base, zones, proposals), shapes, labels), masks + found)


def _zoned(cell: Cell, zones: Mapping[str, str], proposals: Mapping[str, str]) -> Iterator[sympy.Eq]:
    """The cell's equations with proposals for states; behind all of them, so that states and parameters stay in their
    order, what becomes of these."""
    inner = _leading_to_states(cell)
    proposed = {At(state): At(name) for state, name in proposals.items()}
    for equation in cell.equations:
        name, right = equation.lhs.signal, equation.rhs
        right = right.xreplace(proposed) if name in inner else right
        yield sympy.Eq(At(proposals.get(name, name)), right, evaluate=False)
    for state, name in proposals.items():
        zone = At(zones[state])
        kept, let_in = Hadamard(zone, At(state, 1)), Hadamard(Sum(sympy.Integer(1), Minus(zone)), At(name))
        yield sympy.Eq(At(state), Sum(kept, let_in), evaluate=False)


def _leading_to_states(cell: Cell) -> set[str]:
    """The signals on which a state depends within the step, states among them."""
    found: set[str] = set()
    waiting = [state for state in cell.states if state in cell.signals]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [s for s, lag in read(cell.equation(name).rhs) if lag == 0 and s in cell.signals]
    return found
