"""Section 2: what is minimised, and what of it arrives at a cell."""

from __future__ import annotations

from collections.abc import Iterator

import sympy
from sympy import Expr

from symcell.derivation.build.numbering import Numbering
from symcell.derivation.build.source import Source
from symcell.derivation.model import Block, Condition, Display, Formula, Group, Paragraph, Section, say
from symcell.derivation.nodes import Bar, By, Delta, GradientOf, Last, LastLoss, Samples, StepLoss, Total, When
from symcell.symbolic.nodes import At, Sum


def loss_section(source: Source, numbering: Numbering) -> Section:
    blocks: list[Block] = [Paragraph(say("loss.sum", output=At(source.cell.output)))]
    blocks += [Display((_loss(source, numbering),)), Paragraph(say("loss.arrives"))]
    blocks += [Display(tuple(_arriving(source, numbering))), Paragraph(say("loss.delta", value=_any(source)))]
    blocks += [Display((_delta(source, numbering),)), Paragraph(say("loss.column"))]
    return Section("loss", say("loss.title"), (Group(None, tuple(blocks)),))


def _any(source: Source) -> At:
    return At(source.letters.value)


def _loss(source: Source, numbering: Numbering) -> Formula:
    """``L = Σ_t Σ_n ℓ_t(h_t) + Σ_n ℓ^last(h_T, c_T)``."""
    steps: Expr = Total(StepLoss(At(source.cell.output)))
    last = [When(At(state, lag), "T") for state, depth in source.cell.states.items() for lag in reversed(range(depth))]
    right = Sum(steps, Samples(LastLoss(*last))) if last else steps
    return numbering.formula(("loss",), sympy.Symbol("L"), right)


def _arriving(source: Source, numbering: Numbering) -> Iterator[Formula]:
    """What comes from outside: at the output of every step, and at the last states."""
    output = At(source.cell.output)
    yield numbering.formula(("outside", source.cell.output), Bar(output.signal), By(StepLoss(), output), [("loss",)])
    for end in source.backward.ends:
        key = ("arriving", end.value)
        left, right = Last(end.value), By(LastLoss(), At(end.value))
        if end.depth == 1:
            yield numbering.formula(key, When(left, "T"), When(right, "T"), [("loss",)])
        else:
            yield numbering.formula(key, left, right, [("loss",)], condition=Condition("last", end.depth))


def _delta(source: Source, numbering: Numbering) -> Formula:
    value = _any(source)
    return numbering.formula(("meaning",), Delta(value.signal), GradientOf(value))
