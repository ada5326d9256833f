"""Room besides buffers that a target takes which packs matrices: the packed copies, and what sums over rows need."""

from __future__ import annotations

from collections.abc import Iterator

from symcell.cell import Size
from symcell.program.memory_use import Piece, Room
from symcell.program.model import Gemm, Gradient, Program

PANEL = 32
"""Columns of a packed matrix are rounded up to a multiple of this many, on the processors with the widest vectors."""

BLOCK = 256
"""How many rows of the left side are at hand for a sum."""


def packed(program: Program) -> Iterator[Room]:
    """A program's packed matrices, and room for the widest of its sums, at most; nothing on targets that pack none."""
    if not program.profile.packs:
        return
    sizes = {}
    for _, stage in program.stages():
        if isinstance(stage, Gemm):
            inner, columns = inside(program, stage)
            sizes[stage.matrix, stage.columns, stage.transposed] = inner * columns + inner * Size.of(PANEL - 1)
    yield from ((Piece(size, fixed=True),) for size in sizes.values())
    gradients = [stage for _, stage in program.stages() if isinstance(stage, Gradient)]
    widths = (sum((m.width for m in program.window(stage.left)), Size()) for stage in gradients)
    sums = tuple(dict.fromkeys(Piece(width * Size.of(BLOCK), fixed=True) for width in widths))
    if sums:
        yield sums


def inside(program: Program, stage: Gemm) -> tuple[Size, Size]:
    """How many numbers are multiplied and added for each result of a product, and how many results a row has."""
    members = program.window(stage.matrix)
    down = sum((m.shape[0] for m in members), Size())
    across = members[0].shape[1] if stage.columns is None else stage.columns.width
    return (down, across) if stage.transposed else (across, down)
