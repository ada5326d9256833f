"""Section 1: what the symbols mean, and how large everything is."""

from __future__ import annotations

from collections.abc import Iterator

import sympy
from sympy import Expr

from symcell.cell import Cell
from symcell.derivation import nodes as nd
from symcell.derivation.arrange import arranged
from symcell.derivation.build.source import Source
from symcell.derivation.model import Block, Group, Literal, Meaning, Paragraph, Quoted, Section, Symbols, Words, say
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import ColumnScaled, Join, OuterProduct, Param, RowScaled


def notation_section(source: Source) -> Section:
    cell, letters = source.cell, source.letters
    told: tuple[Block, ...] = tuple(Quoted(text) for text in cell.description.split("\n\n") if text)
    sequence = say("notation.sequence", T=sympy.Symbol("T"), B=sympy.Symbol(letters.batch),
                   n=sympy.Symbol(letters.sample))  # fmt: skip
    sizes = tuple(sympy.Symbol(size) for size in cell.sizes)
    shapes = (Paragraph(say("notation.sizes", sizes=sizes)),) if sizes else ()
    renamed = (Paragraph(say("notation.renamed", own=Literal(own), shown=Param(own))) for own in source.forward.taken())
    table = Symbols(tuple(_meanings(cell)))
    blocks = (*told, Paragraph(sequence), *shapes, table, *renamed, Paragraph(say("notation.vectors")))
    signs = (Paragraph(words) for words in _signs(source))
    return Section("notation", say("notation.title"), (Group(None, (*blocks, *signs)),))


def _meanings(cell: Cell) -> Iterator[Meaning]:
    """Names of one kind, one shape and one meaning share a row."""
    groups: dict[tuple[bool, tuple[Expr, ...], str, str], list[str]] = {}

    def put(name: str, varying: bool, shape: tuple[Expr, ...], kind: str, label: str = "") -> None:
        groups.setdefault((varying, shape, kind, label), []).append(name)

    for name, of in cell.inputs.items():
        put(name, True, tuple(s.symbol() for s in of), "input")
    for name, of in cell.signals.items():
        put(name, True, tuple(s.symbol() for s in of), "", cell.labels.get(name, ""))
    for name, parameter in cell.parameters.items():
        shape = tuple(s.symbol() for s in parameter.shape) or (sympy.Integer(1),)
        put(name, False, shape, _kind(cell, name))
    for name, of in cell.arrays.items():
        put(name, False, tuple(s.symbol() for s in of), "array")
    for (varying, shape, kind, label), names in groups.items():
        meaning: Words | Literal | None = say(f"notation.{kind}") if kind else Literal(label) if label else None
        yield Meaning(tuple(names), shape, varying, meaning)
    for name, value in cell.constants.items():
        number = sympy.Integer(int(value)) if value == int(value) else sympy.Float(value)
        yield Meaning((name,), (sympy.Integer(1),), False, say("notation.constant", value=number))


def _kind(cell: Cell, name: str) -> str:
    """What a parameter is: a start, a matrix, a vector or a number."""
    if name in cell.initial.values():
        return "start"
    return {0: "scalar", 1: "vector", 2: "matrix"}[len(cell.parameters[name].shape)]


def _signs(source: Source) -> Iterator[Words]:
    """What signs of the cell's own equations mean, and those of their derivatives, where there are any."""
    equations = [equation.rhs for equation in source.cell.equations]
    derived = [*source.backward.deltas.values(), *source.backward.gradients.values()]
    written = [arranged(body, source.ranks) for body in derived]
    for key, kinds in _SIGNS.items():
        if any(body.has(*kinds) for body in equations):
            yield say(f"notation.{key}")
    if any(body.has(nd.Inner, nd.Pullback) for body in written) or any(e.has(fn.Dot, fn.UnitNorm) for e in equations):
        yield say("notation.inner")
    if any(body.has(nd.ONES) for body in written):
        yield say("notation.ones")
    if any(body.has(fn.Predicate) for body in (*equations, *derived)):
        yield say("notation.condition")


_SIGNS = {"transpose": (sympy.Transpose, OuterProduct), "diagonal": (RowScaled, ColumnScaled), "joined": (Join,)}
