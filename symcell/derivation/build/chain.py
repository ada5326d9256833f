"""Section 5: the chain rule in the form in which the rest uses it."""

from __future__ import annotations

from collections.abc import Iterator

import sympy

from symcell.derivation.build.numbering import Numbering
from symcell.derivation.build.source import Source
from symcell.derivation.model import Block, Display, Group, Paragraph, Section, say
from symcell.derivation.nodes import Delta, Diagonal, Over, Partial, TransposeOf, When
from symcell.symbolic.nodes import At, Hadamard, MatVec, Param


def chain_section(source: Source, numbering: Numbering) -> Section:
    return Section("chain", say("chain.title"), (Group(None, tuple(_blocks(source, numbering))),))


def _blocks(source: Source, numbering: Numbering) -> Iterator[Block]:
    letters = source.letters
    value, reader, back = At(letters.value), At(letters.reader), sympy.Symbol(letters.back)
    later = f"t+{letters.back}"
    yield Paragraph(say("chain.reads", value=value, reader=When(reader, later), back=back))
    path = MatVec(TransposeOf(Partial(When(reader, later), value)), When(Delta(reader.signal), later))
    right = Over(path, sympy.Symbol(letters.reader), back)
    yield Display((numbering.formula(("chain",), Delta(value.signal), right, [("meaning",)]),))
    yield Paragraph(say("chain.direct", value=value))
    slope, matrix = Param(letters.slope), _matrix(letters.matrix)
    yield Paragraph(say("chain.unitwise", jacobian=Diagonal(slope), slope=slope))
    product = MatVec(TransposeOf(Diagonal(slope)), Delta(reader.signal))
    yield Display((numbering.formula(("chain", "unitwise"), product, Hadamard(Delta(reader.signal), slope)),))
    if source.graph.fixed and any(body.has(MatVec) for body in source.forward.named.values()):
        told = say("chain.matrix", reader=reader, product=MatVec(matrix, value), matrix=matrix,
                   back=MatVec(sympy.Transpose(matrix), Delta(reader.signal)))  # fmt: skip
        yield Paragraph(told)


def _matrix(name: str) -> sympy.MatrixSymbol:
    return sympy.MatrixSymbol(name, *sympy.symbols("rows columns", positive=True, integer=True))
