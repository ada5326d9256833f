"""Section 7: the error signals, from the last step to the first and within a step from its last value to its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy
from sympy import Expr

from symcell.derivation.arrange import arranged
from symcell.derivation.backward import StateEnds
from symcell.derivation.build.numbering import Key, Numbering
from symcell.derivation.build.source import Source
from symcell.derivation.model import Block, Condition, Display, Formula, Group, Paragraph, Section, Words, say
from symcell.derivation.nodes import Bar, Delta, Partial, TransposeOf, When
from symcell.symbolic.nodes import At, MatVec, Sum


def recursion_section(source: Source, numbering: Numbering) -> Section:
    deltas = source.backward.deltas
    inputs = [name for name in deltas if name in source.graph.given]
    values = [name for name in deltas if name not in source.graph.given]
    order = Paragraph(say("recursion.order", T=sympy.Symbol("T")))
    far = any(end.depth > 1 for end in source.backward.ends)
    behind = (Paragraph(say("recursion.behind")),) if far else ()
    groups = [Group(None, (order, *behind, *_collected(source, numbering, values)))]
    if inputs:
        groups.append(Group(say("recursion.inputs"), tuple(_collected(source, numbering, inputs))))
    if source.backward.ends:
        told = (Paragraph(say("recursion.before")), *((Paragraph(say("recursion.none_before")),) if far else ()))
        first = Display(tuple(_before(source, numbering, end) for end in source.backward.ends))
        groups.append(Group(say("recursion.first"), (*told, first)))
    return Section("recursion", say("recursion.title"), tuple(groups))


def _collected(source: Source, numbering: Numbering, names: Iterable[str]) -> Iterator[Block]:
    """The formulas of some values; a value with several readers begins with the paths that are collected."""
    ends = {end.value: end for end in source.backward.ends}
    pending: list[Formula] = []
    told = False
    for name in names:
        paths = _paths(source, numbering, name)
        if len(paths) > 1 or name in ends or name in source.graph.given:
            if pending:
                yield Display(tuple(pending))
            yield Paragraph(say("recursion.paths", value=At(name), paths=tuple(paths)))
            yield Display(tuple(_formulas(source, numbering, name, ends.get(name))))
            pending, told = [], False
            continue
        if not pending and not told:
            yield Paragraph(say("recursion.single"))
            told = True
        pending += _formulas(source, numbering, name, None)
    if pending:
        yield Display(tuple(pending))


def _paths(source: Source, numbering: Numbering, name: str) -> list[Words]:
    """On which ways a value acts on the loss: by the loss of the step, and through what reads it."""
    paths = []
    if name in source.backward.adjoint.seeds:
        paths.append(say("recursion.outside", ref=numbering.ref(("outside", name))))
    for reader, lag in source.readers.get(name, ()):
        paths.append(say("recursion.path", reader=At(reader, -lag), ref=numbering.ref(("value", reader))))
    return paths


def _formulas(source: Source, numbering: Numbering, name: str, end: StateEnds | None) -> Iterator[Formula]:
    """δ at the last steps and at those before, where there is a difference."""
    body = arranged(source.backward.deltas[name], source.ranks)
    cites, via = _cited(source, numbering, name), _collection(source, numbering, name)
    if end is None:
        yield numbering.formula(("delta", name), Delta(name), body, cites, via=via)
        return
    last = arranged(end.last, source.ranks)
    if end.depth == 1:
        now = [*_cited(source, numbering, name, later=False), ("arriving", name)]
        yield numbering.formula(("last", name), When(Delta(name), "T"), When(last, "T"), now)
    else:
        condition = Condition("last", end.depth)
        yield numbering.formula(("last", name), Delta(name), last, [*cites, ("arriving", name)], condition=condition)
    condition = Condition("inner", end.depth)
    yield numbering.formula(("delta", name), Delta(name), body, cites, via=via, condition=condition)


def _collection(source: Source, numbering: Numbering, name: str) -> tuple[Expr, ...]:
    """The chain rule for one value, before its Jacobians are put in; nothing where one of these has no formula."""
    readers = source.readers.get(name, ())
    known = all(("local", u, name, str(lag)) in numbering.numbers and u in source.backward.deltas for u, lag in readers)
    if not source.full or not known:
        return ()
    terms: list[Expr] = [Bar(name)] if name in source.backward.adjoint.seeds else []
    terms += [MatVec(TransposeOf(Partial(At(u, -lag), At(name))), Delta(u, -lag)) for u, lag in readers]
    return (Sum(*terms) if len(terms) > 1 else terms[0],) if readers else ()


def _cited(source: Source, numbering: Numbering, name: str, *, now: bool = True, later: bool = True) -> list[Key]:
    """What a δ comes from: the loss, and the local derivative or else the formula of each reader."""
    deltas = source.backward.deltas
    shown = {d.value for d in deltas[name].atoms(Delta)} if name in deltas else set(source.graph.values)
    cites: list[Key] = [("outside", name)] if now and name in source.backward.adjoint.seeds else []
    for reader, lag in source.readers.get(name, ()):
        if later if lag else now:
            local = ("local", reader, name, str(lag))
            cites.append(local if local in numbering.numbers else ("value", reader))
            if reader not in deltas:  # in its place stands what it would come from
                cites += _cited(source, numbering, reader)
            elif reader not in shown:
                cites.append(("delta", reader))
    if now and name in deltas:
        read = {reader for reader, _ in source.readers.get(name, ())}
        cites += [("delta", value) for value in sorted(shown - read)]
    return cites


def _before(source: Source, numbering: Numbering, end: StateEnds) -> Formula:
    """δ of a state before the first step."""
    body, key = arranged(end.initial, source.ranks), ("first", end.value)
    cites = _cited(source, numbering, end.value, now=False)
    if end.depth == 1:
        return numbering.formula(key, When(Delta(end.value), "0"), When(body, "0"), cites)
    return numbering.formula(key, Delta(end.value), body, cites, condition=Condition("first", end.depth))
