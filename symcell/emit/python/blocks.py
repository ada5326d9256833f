"""Pieces of a function's body, as the templates write them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """A few lines of code and, as comments, the equations they compute. ``inputs_only``: only gradients by the inputs
    depend on them."""

    comments: tuple[str, ...]
    lines: tuple[str, ...]
    inputs_only: bool = False


@dataclass(frozen=True)
class RegionView:
    """Blocks that run one after the other; ``loop``: its head, where they run step by step, empty elsewhere.
    ``narrowed``: views of what holds one step alone, taken when the number of samples changes."""

    loop: str
    narrowed: tuple[str, ...]
    groups: tuple[tuple[bool, tuple[Block, ...]], ...]


def grouped(blocks: list[Block]) -> tuple[tuple[bool, tuple[Block, ...]], ...]:
    """Neighbours that are alike in ``inputs_only``, together."""
    groups: list[tuple[bool, list[Block]]] = []
    for block in blocks:
        if groups and groups[-1][0] == block.inputs_only:
            groups[-1][1].append(block)
        else:
            groups.append((block.inputs_only, [block]))
    return tuple((only, tuple(found)) for only, found in groups)


@dataclass(frozen=True)
class FunctionView:
    """One function's body.

    ``sizes``: (variable, size's name). ``slots``: (variable, its arguments): lists of slices by step. ``inputs``,
    ``taped``: what it takes apart: (variable, name, shape of a row as code, steps before the first); lines that take
    arrays from the tape. ``memory``, ``arrays``, ``enters``, ``setup``: lines. ``kept``: (state's name, array, start),
    as code: where ``step`` copies states to in memory that it keeps. ``left``, ``results``: (name, code) of what it
    returns, results of a sweep as rows. ``shared``: of each output whether its rows belong to something else too, as
    code. ``tape``: lines of a dict of what it hands on. ``computes``: whether it names the type that is
    computed in.
    """

    sizes: tuple[tuple[str, str], ...]
    slots: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, str, str, int], ...]
    taped: tuple[str, ...]
    memory: tuple[str, ...]
    arrays: tuple[str, ...]
    enters: tuple[str, ...]
    kept: tuple[tuple[str, str, str], ...]
    setup: tuple[str, ...]
    regions: tuple[RegionView, ...]
    left: tuple[tuple[str, str], ...]
    results: tuple[tuple[str, str], ...]
    shared: tuple[str, ...]
    tape: tuple[str, ...]
    computes: bool
