"""Section 6: the derivatives of the functions that the cell applies, each once, and those of its own steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from sympy import Expr

from symcell.derivation.build.applied import derivatives
from symcell.derivation.build.numbering import Key, Numbering
from symcell.derivation.build.source import Source
from symcell.derivation.composites import OVER_UNITS
from symcell.derivation.forward import symbol_of
from symcell.derivation.jacobian import Jacobians
from symcell.derivation.lemmas import Lemma
from symcell.derivation.model import Block, Display, Formula, Group, Paragraph, Section, say
from symcell.derivation.nodes import DeltaOf, Partial
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At


def functions_section(source: Source, numbering: Numbering) -> Section | None:
    groups: list[Group] = []
    if derived := tuple(derivatives(source, numbering)):
        blocks: tuple[Block, ...] = (Paragraph(say("functions.output")), Display(derived))
        groups.append(Group(say("functions.unitwise"), blocks))
    for lemma in source.lemmas:
        groups.append(Group(say(f"functions.{lemma.kind.text}"), tuple(_lemma(source, numbering, lemma))))
    if steps := tuple(_local(source, numbering)):
        blocks = (Paragraph(say("functions.local_diagonal"), True), Display(steps))
        groups.append(Group(say("functions.local"), blocks))
    return Section("functions", say("functions.title"), tuple(groups)) if groups else None


# composites


def _lemma(source: Source, numbering: Numbering, lemma: Lemma) -> Iterator[Block]:
    """What a composite is and what it sends back; its last formula is the one that others cite."""
    text = lemma.kind.text
    keys: list[Key] = [("lemma", text, str(k)) for k in range(len(lemma.lines))]
    formulas = [numbering.formula(key, line.left, line.right, [keys[k] for k in line.uses], via=line.via)
                for key, line in zip(keys, lemma.lines, strict=True)]  # fmt: skip
    numbering.same(("slope", text), keys[-1])
    first = len(lemma.definition)
    yield Paragraph(say("functions.what", applied=lemma.applied, argument=lemma.argument, units=lemma.units))
    yield Display(tuple(formulas[:first]))
    yield Paragraph(say("functions.sends", value=DeltaOf(lemma.value), argument=DeltaOf(lemma.argument)))
    yield Display(tuple(formulas[first:]))


# the steps of the cell


def _local(source: Source, numbering: Numbering) -> Iterator[Formula]:
    """``∂u/∂v`` for every displayed step u and every value v that it reads."""
    graph, forward = source.graph, source.forward
    applied = {n: b for n, b in forward.named.items() if isinstance(b, fn.Elementwise)}
    outputs: Mapping[Expr, Expr] = {b: symbol_of(graph, n) for n, b in applied.items()}
    jacobians = Jacobians(graph, outputs)
    for name, body in forward.named.items():
        if name not in source.backward.deltas:
            continue
        ranks = forward.ranks(forward.owner[name])
        for by in sorted(body.atoms(At), key=lambda a: (ranks[a.signal], a.lag, a.signal)):
            right = jacobians.of(body, by, ranks)
            if right is not None and by.signal in source.backward.deltas:
                slopes = slopes_by(body, {by})
                key = ("local", name, by.signal, str(by.lag))
                yield numbering.formula(key, Partial(At(name), by), right, [("value", name), *slopes], detail=True)


def slopes_by(body: Expr, values: Set[Expr]) -> Iterator[Key]:
    """What says how the functions in a body depend on values that stand in some of their arguments."""
    for node in sorted(body.atoms(fn.Elementwise, *OVER_UNITS), key=str):
        for k, argument in enumerate(node.args):
            if values & argument.free_symbols:
                text = type(node).text
                yield ("slope", text, str(k)) if k else ("slope", text)
