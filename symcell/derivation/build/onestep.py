"""Section 9: the one-step Jacobian by blocks, and what its product over time does to gradients."""

from __future__ import annotations

from collections.abc import Iterator

import sympy
from sympy import Expr

from symcell.derivation.build.functions import slopes_by
from symcell.derivation.build.numbering import Key, Numbering
from symcell.derivation.build.source import Source
from symcell.derivation.forward import weight
from symcell.derivation.model import Block, Display, Formula, Group, Paragraph, Section, Table, Value, Words, say
from symcell.derivation.nodes import Blocks, Partial, Product, Vec, When
from symcell.derivation.onestep import BlockFormula, block_formulas, displayed
from symcell.jacobian.blocks import one_step
from symcell.jacobian.paths import Kind, Way, paths_of
from symcell.symbolic.nodes import At, Minus, Sum

MANY = 12
"""Of more states than these the blocks, the square of as many, are not written down."""

SHORT = 12
"""A factor of at most so many operations is written into the table."""

_WORDS = {Kind.ADDITIVE: "additive", Kind.SCALED: "scaled", Kind.GATED: "gated", Kind.ELEMENTWISE: "elementwise",
          Kind.MATRIX: "mixing"}  # fmt: skip


def jacobian_section(source: Source, numbering: Numbering) -> Section | None:
    carried = _carried(source)
    if not carried:
        return None
    few = len(carried) <= MANY
    states = tuple(_states(source, numbering, carried))
    blocks = tuple(_blocks(source, numbering)) if few else (Paragraph(say("jacobian.many")),)
    groups = [
        Group(None, (*states, *blocks)),
        Group(say("jacobian.product"), tuple(_over_time(source, numbering))),
    ]
    if few:
        groups.append(Group(say("jacobian.ways"), tuple(_ways(source, numbering))))
    groups.append(Group(say("jacobian.truncation"), (Paragraph(_truncation(source)),)))
    return Section("jacobian", say("jacobian.title"), tuple(groups))


def _carried(source: Source) -> tuple[At, ...]:
    """All that one step hands on to the next: of a state of several lags its last values."""
    own = ((state, depth) for state, depth in source.cell.states.items() if state in source.cell.signals)
    return tuple(At(state, lag) for state, depth in own for lag in range(depth))


def _blocks(source: Source, numbering: Numbering) -> Iterator[Block]:
    step = one_step(source.forward.cell, source.graph, shown=source.forward.named, folded=source.forward.folded())
    found = tuple(_block(source, numbering, f) for f in block_formulas(source.forward, step))
    if found:
        yield Paragraph(say("jacobian.blocks"))
        yield Display(found)
    if any(value.lag for value in _carried(source)):
        yield Paragraph(say("jacobian.handed_on"))


def _states(source: Source, numbering: Numbering, carried: tuple[At, ...]) -> Iterator[Block]:
    letters = source.letters
    state, jacobian = At(letters.states), At(letters.jacobian)
    parts = tuple(_vec(source, value) for value in carried)
    whole = parts[0] if len(parts) == 1 else Blocks.stacked(*((p,) for p in parts))
    formulas = [numbering.formula(("states",), state, whole)]
    formulas.append(numbering.formula(("jacobian",), jacobian, Partial(state, At(letters.states, 1)), [("states",)]))
    yield Paragraph(say("jacobian.states", state=state))
    yield Display(tuple(formulas))


def _vec(source: Source, value: At) -> Expr:
    return Vec(value) if len(source.graph.shape(value.signal)) == 2 else value


def _block(source: Source, numbering: Numbering, found: BlockFormula) -> Formula:
    block = found.block
    key = ("jacobian", block.target, block.source.signal, str(block.source.lag))
    edges = [edge for chain in block.chains for edge in chain.edges]
    met, read = {edge.out for edge in edges}, {edge.operand.along(None) for edge in edges}
    through = {chain.through for chain in block.chains if chain.through is not None}
    passed = {name: body for name, body in source.forward.named.items() if name in met}
    cites: list[Key] = [("value", name) for name in passed]
    cites += [slope for body in passed.values() for slope in slopes_by(body, read)]
    cites += [("jacobian", name, *key[2:]) for name in sorted(through)]
    return numbering.formula(key, found.left, found.right, cites)


def _over_time(source: Source, numbering: Numbering) -> Iterator[Block]:
    letters = source.letters
    state, jacobian = At(letters.states), At(letters.jacobian)
    product = Product(2, When(jacobian, "T"), When(At(letters.jacobian, 1), "T"), At(letters.jacobian, -1))
    yield Paragraph(say("jacobian.chain"))
    left = Partial(When(state, "T"), state)
    yield Display((numbering.formula(("jacobian", "product"), left, product, [("jacobian",), ("chain",)]),))
    yield Paragraph(say("jacobian.growth", jacobian=jacobian, steps=Sum(sympy.Symbol("T"), Minus(sympy.Symbol("t")))))


def _ways(source: Source, numbering: Numbering) -> Iterator[Block]:
    """Which ways lead through one step, and what a gradient meets on each."""
    ways = paths_of(source.forward.cell, source.graph, source.forward.folded())
    yield Paragraph(say("jacobian.kinds"))
    head = tuple(say(f"jacobian.{key}") for key in ("from", "to", "way", "factor"))
    yield Table(head, tuple(_way(source, numbering, way) for way in ways))
    best = min((w.kind for w in ways if w.source.signal == w.target), default=Kind.MATRIX)
    yield Paragraph(say(f"jacobian.best_{_WORDS[best]}"))


def _way(source: Source, numbering: Numbering, way: Way) -> tuple[Value, ...]:
    return way.source, At(way.target), say(f"jacobian.{_WORDS[way.kind]}"), _factor(source, numbering, way)


def _factor(source: Source, numbering: Numbering, way: Way) -> Expr | Words | tuple[Expr, ...]:
    """What a way multiplies by, where that is short; else the block that has it."""
    if way.factor is not None and weight(shown := displayed(source.forward, way.factor)) <= SHORT:
        return shown
    if not way.matrices or any(name not in source.graph.fixed for name in way.matrices):
        block = ("jacobian", way.target, way.source.signal, str(way.source.lag))
        return say("jacobian.in_block", ref=numbering.ref(block))
    return tuple(sympy.MatrixSymbol(name, 1, 1) for name in way.matrices)


def _truncation(source: Source) -> Words:
    letters = source.letters
    later = Partial(When(At(letters.states), f"t+{letters.back}"), At(letters.states))
    return say("jacobian.truncated", window=sympy.Symbol(letters.window), later=later, back=sympy.Symbol(letters.back))
