"""The one-step Jacobian by blocks, ∂s[t]/∂r[t-k] for all states s and r: each a sum of chains of local derivatives.

A block is no longer than it needs to be: where several ways meet in a value that several others read, that value has a
block of its own and chains end in it (``∂h[t]/∂c[t-1] = diag(…) ∂c[t]/∂c[t-1]``). So the size of a whole Jacobian grows
with the number of equations and not with the number of ways through them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from symcell.cell import Cell
from symcell.graph import Graph
from symcell.jacobian.local import Edge, Folded
from symcell.jacobian.paths import Kind, kind_of
from symcell.jacobian.walk import Between, between, recurrent
from symcell.language import as_cell
from symcell.lower import lower
from symcell.symbolic.nodes import At

MANY = 6
"""A value that more chains than these lead to has a block of its own, whoever reads it."""


@dataclass(frozen=True)
class Chain:
    """A product of local derivatives, from the block's target down. Its last operand is the block's source, or, where
    ``through`` says so, a value at this step whose own block by that source is the last factor."""

    edges: tuple[Edge, ...]
    through: str | None = None

    @property
    def kind(self) -> Kind:
        """What the chain meets at most, as far as it goes."""
        return max((kind_of(edge) for edge in self.edges), default=Kind.ADDITIVE)


@dataclass(frozen=True)
class Block:
    """``∂target[t]/∂source``: the sum of its chains, those that do least first."""

    target: str
    source: At
    chains: tuple[Chain, ...]


@dataclass(frozen=True, eq=False)
class OneStep:
    """``blocks``: by target and source, each behind those that its chains end in. A pair that is missing is zero.

    ``sources``: the states before a step, by state and lag; ``targets``: the states behind it.
    """

    cell: Cell
    graph: Graph
    sources: tuple[At, ...]
    targets: tuple[str, ...]
    blocks: Mapping[tuple[str, At], Block]


def one_step(
    cell: Cell | str | Path,
    graph: Graph | None = None,
    *,
    shown: Collection[str] | None = None,
    output: bool = False,
    folded: Mapping[str, Folded] | None = None,
) -> OneStep:
    """The one-step Jacobian of a cell.

    ``graph``: of the cell, where it is lowered already. ``shown``: the values that may have a block of their own (None:
    all). ``folded``: values whose steps are taken for one.
    ``output``: with the blocks of the cell's output, even where that is no state. Raises CellError for no cell.
    """
    cell = as_cell(cell)
    graph = lower(cell) if graph is None else graph
    targets = recurrent(cell)
    wanted = (*targets, cell.output) if output and cell.output not in targets else targets
    parts = between(cell, graph, folded)
    blocks: dict[tuple[str, At], Block] = {}
    for part in parts:
        blocks |= _blocks(part, wanted, shown)
    return OneStep(cell, graph, tuple(part.source for part in parts), wanted, blocks)


def _blocks(part: Between, targets: Collection[str], shown: Collection[str] | None) -> dict[tuple[str, At], Block]:
    found: dict[str, Block] = {}
    own: set[str] = set()
    for name, into in part.into.items():
        chains: list[Chain] = []
        for edge in into:
            before = edge.operand.signal
            if edge.operand == part.source:
                chains.append(Chain((edge,)))
            elif before in own:
                chains.append(Chain((edge,), before))
            else:
                chains += [Chain((edge, *c.edges), c.through) for c in found[before].chains]
        found[name] = Block(name, part.source, tuple(sorted(chains, key=lambda chain: chain.kind)))
        if name in targets or ((shown is None or name in shown) and _deserves(len(chains), part.readers.get(name, 0))):
            own.add(name)
    used = _used(found, targets)
    return {(name, part.source): block for name, block in found.items() if name in used}


def _deserves(chains: int, readers: int) -> bool:
    return chains > MANY or (chains > 1 and readers > 1)


def _used(found: Mapping[str, Block], targets: Collection[str]) -> set[str]:
    """The targets, and the values that chains end in."""
    pending = [t for t in targets if t in found]
    used = set(pending)
    while pending:
        for chain in found[pending.pop()].chains:
            if chain.through is not None and chain.through not in used:
                used.add(chain.through)
                pending.append(chain.through)
    return used
