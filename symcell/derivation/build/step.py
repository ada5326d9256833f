"""Section 3: the equations of the cell, its initial states, and names for what stands inside them."""

from __future__ import annotations

from collections.abc import Iterator

import sympy

from symcell.derivation.arrange import arranged
from symcell.derivation.build.applied import definitions
from symcell.derivation.build.numbering import Numbering
from symcell.derivation.build.source import Source
from symcell.derivation.composites import OVER_UNITS
from symcell.derivation.forward import symbol_of
from symcell.derivation.model import Block, Condition, Display, Formula, Group, Paragraph, Section, say
from symcell.derivation.nodes import When
from symcell.symbolic.nodes import At, Param, written


def forward_section(source: Source, numbering: Numbering) -> Section:
    equations = Group(say("forward.equations"), (Display(tuple(_equations(source, numbering))),))
    groups = [equations]
    if called := tuple(_functions(source, numbering)):
        groups.append(Group(say("forward.functions"), called))
    if source.cell.states:
        told = Paragraph(say("forward.given"))
        groups.append(Group(say("forward.initial"), (told, Display(tuple(_initial_states(source, numbering))))))
    if within := tuple(_intermediates(source, numbering)):
        told = Paragraph(say("forward.within"))
        groups.append(Group(say("forward.intermediates"), (told, Display(within))))
    return Section("forward", say("forward.title"), tuple(groups))


def _equations(source: Source, numbering: Numbering) -> Iterator[Formula]:
    for equation in source.cell.equations:
        signal = equation.lhs.signal
        right = arranged(equation.rhs, source.forward.ranks(signal))
        yield numbering.formula(("equation", signal), equation.lhs, right, label=source.cell.labels.get(signal, ""))
        numbering.same(("value", signal), ("equation", signal))


def _functions(source: Source, numbering: Numbering) -> Iterator[Block]:
    """What those of one unit are, and where it is told of those over units."""
    if called := tuple(definitions(source, numbering)):
        yield Display(called)
    for lemma in source.lemmas:
        what = say(f"functions.{lemma.kind.text}")
        yield Paragraph(say("forward.over_units", applied=lemma.applied, where=say("functions.title"), what=what))
    calls = {call for equation in source.cell.equations for call in equation.rhs.atoms(*OVER_UNITS)}
    if any(len(call.args) > 1 for call in calls):
        yield Paragraph(say("forward.gain"))


def _initial_states(source: Source, numbering: Numbering) -> Iterator[Formula]:
    for state, depth in source.cell.states.items():
        learned = source.cell.initial.get(state)
        right = sympy.Integer(0) if learned is None else Param(learned)
        if depth == 1:
            yield numbering.formula(("start", state), When(At(state), "0"), right)
        else:
            yield numbering.formula(("start", state), At(state), right, condition=Condition("first", depth))


def _intermediates(source: Source, numbering: Numbering) -> Iterator[Formula]:
    forward = source.forward
    for name, body in forward.named.items():
        owner = forward.owner[name]
        origin = forward.textbook.origin(owner)
        if name == origin and written(source.cell.equation(name).rhs) == body:
            continue
        right = arranged(body, forward.ranks(owner))
        yield numbering.formula(("value", name), symbol_of(source.graph, name), right, [("equation", origin)])
