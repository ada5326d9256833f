"""What the templates of Python modules see, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from symcell.emit.program import Block


@dataclass(frozen=True)
class StateView:
    """A state of the forward sweep, or what the backward sweep carries towards one.

    ``depth``: how many steps its buffer reaches beyond the sequence; ``reach``: the same for the state itself;
    ``enters``: gradients that arrive at the last state enter here.
    """

    name: str
    rows: str
    starts: str
    depth: int
    reach: int
    enters: bool = False


@dataclass(frozen=True)
class SweepView:
    """One function's body. ``sizes``: (variable, size name); ``buffers``: (variable, rows, columns)."""

    sizes: tuple[tuple[str, str], ...]
    starts: tuple[tuple[str, int, str], ...]
    buffers: tuple[tuple[str, str, str], ...]
    setup: tuple[str, ...]
    once: tuple[Block, ...]
    before: tuple[Block, ...]
    loop: tuple[Block, ...]
    after: tuple[Block, ...]
    finish: tuple[Block, ...]
    states: tuple[StateView, ...]
    inputs: tuple[tuple[str, str, int], ...]
    output: str


@dataclass(frozen=True)
class ModuleView:
    """What the template of a Python module sees, and nothing else."""

    title: str
    target: str
    cell: str
    heading: str
    description: tuple[str, ...]
    version: str
    stamp: str
    sizes: str
    parameters: tuple[tuple[str, str], ...]
    starts: tuple[tuple[str, str], ...]
    spread: str
    inputs: tuple[tuple[str, str], ...]
    states: tuple[tuple[str, str], ...]
    learned: tuple[tuple[str, str], ...]
    output: str
    output_size: str
    equations: tuple[str, ...]
    helpers: tuple[str, ...]
    kernels: str
    source: str
    tape: tuple[str, ...]
    gradients: tuple[tuple[str, str], ...]
    copies: tuple[tuple[str, str], ...]
    forward: SweepView
    backward: SweepView
