"""Section 10: both sweeps as one algorithm, by the numbers of their formulas."""

from __future__ import annotations

from collections.abc import Iterator

import sympy
from sympy import Expr

from symcell.derivation.backward import StateEnds
from symcell.derivation.build.numbering import Key, Numbering
from symcell.derivation.build.source import Source
from symcell.derivation.model import Algorithm, Do, Group, Loop, Paragraph, Section, say
from symcell.derivation.nodes import Bar, Delta, Gradient, Last, When
from symcell.symbolic.nodes import At


def algorithm_section(source: Source, numbering: Numbering) -> Section:
    lines = tuple(_lines(source, numbering))
    blocks = (Paragraph(say("algorithm.told")), Algorithm(say("algorithm.bptt"), lines))
    return Section("algorithm", say("algorithm.title"), (Group(None, blocks),))


def _lines(source: Source, numbering: Numbering) -> Iterator[Do | Loop]:
    cell, backward = source.cell, source.backward
    T = sympy.Symbol("T")
    if cell.inputs:
        yield Do(say("algorithm.needs", inputs=tuple(map(At, cell.inputs)), T=T))
    if cell.states:
        yield Do(say("algorithm.start", states=tuple(map(At, cell.states)),
                     ref=numbering.ref(*(("start", s) for s in cell.states))))  # fmt: skip
    values = [At(name) for name in cell.order]
    steps = numbering.ref(*(("value", name) for name in source.forward.named))
    yield Loop(say("algorithm.forward", T=T), (Do(say("algorithm.compute", values=tuple(values), ref=steps)),))
    if backward.gradients:
        yield Do(say("algorithm.zero"))
    yield Loop(say("algorithm.backward", T=T), tuple(_step_back(source, numbering)))
    if backward.ends:
        deltas = tuple(_end(end, Delta(end.value), "0") for end in backward.ends)
        refs = numbering.ref(*(("first", end.value) for end in backward.ends))
        yield Do(say("algorithm.first", deltas=deltas, ref=refs))
    for state, name in cell.initial.items():
        if any(end.value == state for end in backward.ends):
            yield Do(say("algorithm.learned", gradient=Gradient(name), ref=numbering.ref(("gradient", name))))


def _end(end: StateEnds, expr: Expr, moment: str) -> Expr:
    """What stands at one end of the sequence, written at its one moment where there is only one."""
    return When(expr, moment) if end.depth == 1 else expr


def _step_back(source: Source, numbering: Numbering) -> Iterator[Do]:
    """One step of the backward sweep: what arrives, every δ in order, the terms of the gradients."""
    backward = source.backward
    output = source.cell.output
    if output in backward.adjoint.seeds:
        yield Do(say("algorithm.arrives", bar=Bar(output), ref=numbering.ref(("outside", output))))
    if backward.ends:
        last = tuple(_end(end, Last(end.value), "T") for end in backward.ends)
        keys: list[Key] = [("last", end.value) for end in backward.ends]
        yield Do(say("algorithm.last", last=last, T=sympy.Symbol("T"), ref=numbering.ref(*keys)))
    deltas = tuple(map(Delta, backward.deltas))
    refs = numbering.ref(*(("delta", name) for name in backward.deltas))
    yield Do(say("algorithm.deltas", deltas=deltas, ref=refs))
    if backward.gradients:
        refs = numbering.ref(*(("gradient", name) for name in backward.gradients))
        yield Do(say("algorithm.terms", ref=refs))
