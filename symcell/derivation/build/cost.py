"""Section 11: parameters, operations and memory in closed form, as the plan of the emitted code counts them."""

from __future__ import annotations

from collections.abc import Iterator

import sympy
from sympy import Expr

from symcell.derivation.build.source import Source
from symcell.derivation.model import Block, Group, Paragraph, Section, Table, say
from symcell.derivation.nodes import Chain
from symcell.program.report import Totals
from symcell.symbolic.nodes import At, Sum


def cost_section(source: Source, totals: Totals) -> Section:
    per_step = {"forward": totals.forward, "backward": totals.backward, "stash": totals.stash}
    rows = {"parameters": polynomial(totals.parameters)}
    rows |= {key: _often(source, count) for key, count in per_step.items()}
    table = Table(
        (say("cost.quantity"), say("cost.formula")),
        tuple((say(f"cost.{name}"), formula) for name, formula in rows.items()),
    )
    kept = tuple(_kept(source, totals))
    blocks: list[Block] = [Paragraph(say("cost.counted", T=sympy.Symbol("T"), B=_each(source)[1])), table]
    if kept:
        whole = len(kept) == len(totals.stashed)
        blocks.append(Paragraph(say("cost.kept" if whole else "cost.kept_besides", values=kept)))
    return Section("cost", say("cost.title"), (Group(None, tuple(blocks)),))


def _kept(source: Source, totals: Totals) -> Iterator[Expr]:
    """What is kept and can be said in names of the document: the emitted code goes its own ways through composites."""
    defined = {*source.forward.named, *source.cell.inputs}
    for name in totals.stashed:
        if name in source.graph.values:
            shown = source.forward.read(At(name))
            if {a.signal for a in shown.atoms(At)} <= defined:
                yield shown


def _each(source: Source) -> tuple[Expr, Expr]:
    """How often something happens that happens once a step and sample: its two factors."""
    return sympy.Symbol("T"), sympy.Symbol(source.letters.batch)


def _often(source: Source, count: Expr) -> Expr:
    """A count per step and sample, for all of them."""
    terms, each = polynomial(count), _each(source)
    if isinstance(terms, Sum):
        return Chain(*each, terms)
    number, rest = count.as_coeff_Mul()
    return Chain(*((number,) if number != 1 else ()), *each, *((rest,) if rest != 1 else ()))


def polynomial(count: Expr) -> Expr:
    """A polynomial in the sizes, its highest degrees first."""

    def degree(term: Expr) -> tuple[int, str]:
        rest = term.as_coeff_Mul()[1]
        return -sum(int(e) for e in rest.as_powers_dict().values()) if rest != 1 else 0, str(rest)

    terms = sorted(sympy.Add.make_args(sympy.expand(count)), key=degree)
    return Sum(*terms) if len(terms) > 1 else terms[0]
