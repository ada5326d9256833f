"""Section 8: the gradients of parameters, from one term of one step to sums over the sequence and the batch."""

from __future__ import annotations

from collections.abc import Iterator

import sympy
from sympy import Expr

from symcell.cell import ONE, units
from symcell.derivation.arrange import arranged
from symcell.derivation.build.functions import slopes_by
from symcell.derivation.build.numbering import Key, Numbering
from symcell.derivation.build.source import Source
from symcell.derivation.build.stacked import rows_form, stacked_group
from symcell.derivation.model import Block, Display, Formula, Group, Paragraph, Section, say
from symcell.derivation.nodes import (
    Chain,
    Cotangent,
    Delta,
    Entry,
    Gradient,
    GradientOf,
    InitialTotal,
    Outer,
    Partial,
    Rows,
    Samples,
    Total,
    TransposeOf,
    When,
)
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, MatVec, Param


def parameters_section(source: Source, numbering: Numbering) -> Section | None:
    groups: list[Group] = []
    if source.backward.gradients:
        groups.append(Group(None, tuple(_general(source, numbering))))
        each = Display(tuple(_gradients(source, numbering)))
        groups.append(Group(say("parameters.each"), (each,)))
        if rows := tuple(_over_time(source, numbering)):
            groups.append(Group(say("parameters.rows"), (Paragraph(say("parameters.rows_each"), True), Display(rows))))
        if stacked := stacked_group(source, numbering):
            groups.append(stacked)
    if learned := tuple(_initial_gradients(source, numbering)):
        told = Paragraph(say("parameters.learned"))
        groups.append(Group(say("parameters.initial"), (told, Display(learned))))
    if missing := tuple(_missing(source, numbering)):
        groups.append(Group(say("parameters.missing"), (Paragraph(say("parameters.no_path")), Display(missing))))
    return Section("parameters", say("parameters.title"), tuple(groups)) if groups else None


# the general form


def _general(source: Source, numbering: Numbering) -> Iterator[Block]:
    """``∂L/∂θ = Σ_t Σ_n (∂u_t/∂θ)ᵀ δu_t``, and what that is for a matrix."""
    letters = source.letters
    reader, value = At(letters.reader), At(letters.value)
    theta = Param(letters.parameter)
    yield Paragraph(say("parameters.every_step", parameter=theta, reader=reader))
    term = MatVec(TransposeOf(Partial(reader, theta)), Delta(letters.reader))
    yield Display((numbering.formula(("rule",), Gradient(letters.parameter), Total(term), [("chain",)]),))
    if not any(body.has(Outer) for body in source.backward.gradients.values()):
        return
    matrix, i, j = letters.matrix, letters.row, letters.column
    entry = Entry(Param(matrix), sympy.Symbol(i), sympy.Symbol(j))
    one = At(f"{letters.reader}_{i}"), At(f"{letters.value}_{j}")
    yield Paragraph(say("parameters.matrix", reader=reader, product=MatVec(Param(matrix), value), entry=entry))
    local = numbering.formula(("rule", "entry"), Partial(one[0], entry), one[1])
    term = Chain(Delta(one[0].signal), one[1])
    sums = numbering.formula(("rule", "term"), GradientOf(entry), Total(term),
                             [("rule",), ("rule", "entry")])  # fmt: skip
    outer = numbering.formula(("rule", "outer"), Gradient(matrix), Total(Outer(Delta(letters.reader), value)),
                              [("rule", "term")])  # fmt: skip
    product = Chain(TransposeOf(Rows(Delta(letters.reader))), Rows(value))
    whole = numbering.formula(("rule", "matrix"), Gradient(matrix), product, [("rule", "outer")])
    yield Display((local, sums, outer))
    yield Paragraph(say("parameters.over_time", rows=Rows(value), value=TransposeOf(value), T=sympy.Symbol("T"),
                        B=sympy.Symbol(letters.batch)))  # fmt: skip
    yield Display((whole,))


# each parameter


def _gradients(source: Source, numbering: Numbering) -> Iterator[Formula]:
    for name, body in source.backward.gradients.items():
        left = source.backward.gradient_symbol(name)
        yield numbering.formula(("gradient", name), left, arranged(body, source.ranks), _sources(source, name, body))


def _sources(source: Source, name: str, body: Expr) -> list[Key]:
    """The definitions that read a parameter and the functions in which they do, their cotangents, also those that equal
    ones stand in place of, and the cotangents and gradients in its gradient."""
    readers = source.users.get(name, ())
    parameter = {Param(name), source.forward.matrices.get(name, Param(name))}
    parts: list[Key] = [(kind, reader) for reader in readers for kind in ("value", "delta")]
    parts += [slope for reader in readers for slope in slopes_by(source.forward.named[reader], parameter)]
    parts += [("delta", a.value) for a in sorted(body.atoms(Cotangent), key=str)]
    parts += [("gradient", a.value) for a in sorted(body.atoms(Gradient), key=str)]
    combined = {e: n for n, e in source.forward.matrices.items()}
    parts += [("gradient", combined[a.args[0]]) for a in sorted(body.atoms(GradientOf), key=str)]
    return parts


def _over_time(source: Source, numbering: Numbering) -> Iterator[Formula]:
    """The gradients of matrices as products over all steps and samples."""
    for name, body in source.backward.gradients.items():
        product = rows_form(arranged(body, source.ranks))
        if product is not None:
            cites = [("gradient", name), ("rule", "matrix")]
            left = source.backward.gradient_symbol(name)
            yield numbering.formula(("rows", name), left, product, cites, detail=True)


def _initial_gradients(source: Source, numbering: Numbering) -> Iterator[Formula]:
    depths = {end.value: end.depth for end in source.backward.ends}
    for state, name in source.cell.initial.items():
        if state not in depths:
            continue
        inner: Expr = Delta(state)
        if units(source.graph.shape(name)) == ONE != units(source.graph.shape(state)):
            inner = fn.UnitSum(inner)
        total = Samples(When(inner, "0")) if depths[state] == 1 else InitialTotal(inner)
        yield numbering.formula(("gradient", name), Gradient(name), total, [("first", state), ("start", state)])


def _missing(source: Source, numbering: Numbering) -> Iterator[Formula]:
    depths = {end.value for end in source.backward.ends}
    learned = {name for state, name in source.cell.initial.items() if state in depths}
    for name in source.cell.parameters:
        if name not in source.backward.gradients and name not in learned:
            yield numbering.formula(("gradient", name), Gradient(name), sympy.Integer(0))
