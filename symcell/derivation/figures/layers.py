"""A layered layout: nodes in columns from left to right, few crossings, arrows that bend little. Deterministic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 12
GAP = 14.0
"""Between two nodes of a column."""
LANE = 16.0
"""Height of an arrow that passes a column."""


@dataclass(frozen=True)
class Layout:
    """``columns[n]`` and ``heights[n]``: where node n is. ``lanes[e]``: the heights at which edge e passes the columns
    between its ends."""

    columns: tuple[int, ...]
    heights: tuple[float, ...]
    lanes: tuple[tuple[float, ...], ...]
    extent: float


def layered(sizes: Sequence[float], edges: Sequence[tuple[int, int]], first: Sequence[int]) -> Layout:
    """Lay out an acyclic graph. ``sizes``: the height of each node; ``first``: the nodes of the first column."""
    columns = _columns(len(sizes), edges, frozenset(first))
    chains, tall, column = _chains(sizes, edges, columns)
    links = [link for chain in chains for link in pairwise(chain)]
    order = _ordered(_by_column(column), links)
    heights = _placed(order, links, tall)
    low = min((heights[n] - tall[n] / 2 for n in range(len(tall))), default=0.0)
    high = max((heights[n] + tall[n] / 2 for n in range(len(tall))), default=0.0)
    at = [h - low for h in heights]
    lanes = tuple(tuple(at[n] for n in chain[1:-1]) for chain in chains)
    return Layout(tuple(columns), tuple(at[: len(sizes)]), lanes, high - low)


def _columns(count: int, edges: Sequence[tuple[int, int]], first: frozenset[int]) -> list[int]:
    """How far each node is from the left: one column more than what it reads."""
    columns = [0 if n in first else 1 for n in range(count)]
    reads = sorted(edges, key=lambda e: e[1])
    for _ in range(count):
        changed = False
        for source, target in reads:
            if columns[target] <= columns[source]:
                columns[target], changed = columns[source] + 1, True
        if not changed:
            break
    return columns


def _chains(
    sizes: Sequence[float], edges: Sequence[tuple[int, int]], columns: list[int]
) -> tuple[list[list[int]], list[float], list[int]]:
    """Each edge as a chain with a point in every column that it passes; edges of one source share their points as long
    as they go the same way."""
    tall, column = list(sizes), list(columns)
    shared: dict[tuple[int, int], int] = {}
    chains = []
    for source, target in edges:
        chain = [source]
        for between in range(columns[source] + 1, columns[target]):
            if (source, between) not in shared:
                shared[source, between] = len(tall)
                tall.append(LANE)
                column.append(between)
            chain.append(shared[source, between])
        chains.append([*chain, target])
    return chains, tall, column


def _by_column(column: Sequence[int]) -> list[list[int]]:
    order: list[list[int]] = [[] for _ in range(max(column, default=-1) + 1)]
    for node, k in enumerate(column):
        order[k].append(node)
    return order


def _ordered(order: list[list[int]], links: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The order in each column: by the mean place of the neighbours, forwards and backwards; the best one seen."""
    before, after = _neighbours(links)
    best, fewest = [list(c) for c in order], _crossings(order, links)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for k in range(len(order)) if forward else reversed(range(len(order))):
            order[k] = _sorted(order, k, before if forward else after)
        if (count := _crossings(order, links)) < fewest:
            best, fewest = [list(c) for c in order], count
    return best


def _sorted(order: list[list[int]], k: int, near: Mapping[int, Sequence[int]]) -> list[int]:
    """Column ``k`` by the mean place of each node's neighbours."""
    place = {n: i for column in order for i, n in enumerate(column)}
    return sorted(order[k], key=lambda n: _mean([place[m] for m in near.get(n, ())], place[n]))


def _neighbours(links: Sequence[tuple[int, int]]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for a, b in dict.fromkeys(links):
        after.setdefault(a, []).append(b)
        before.setdefault(b, []).append(a)
    return before, after


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(order: list[list[int]], links: Sequence[tuple[int, int]]) -> int:
    place = {n: (k, i) for k, column in enumerate(order) for i, n in enumerate(column)}
    count = 0
    by_column: dict[int, list[tuple[int, int]]] = {}
    for a, b in dict.fromkeys(links):
        by_column.setdefault(place[a][0], []).append((place[a][1], place[b][1]))
    for pairs in by_column.values():
        pairs.sort()
        count += sum(1 for i, (_, b) in enumerate(pairs) for _, d in pairs[:i] if d > b)
    return count


def _placed(order: list[list[int]], links: Sequence[tuple[int, int]], tall: Sequence[float]) -> list[float]:
    """Heights: each node where its neighbours are on average, as far as the order and the gaps allow."""
    heights = [0.0] * len(tall)
    for column in order:
        _stack(column, [0.0] * len(column), tall, heights)
    before, after = _neighbours(links)
    for sweep in range(2 * SWEEPS):
        forward = sweep % 2 == 0
        near = before if forward else after
        for column in order if forward else reversed(order):
            both = sweep > SWEEPS
            wanted = [_mean([heights[m] for m in (*near.get(n, ()), *((after if forward else before).get(n, ())
                             if both else ()))], heights[n]) for n in column]  # fmt: skip
            _stack(column, wanted, tall, heights)
    return heights


def _stack(column: Sequence[int], wanted: Sequence[float], tall: Sequence[float], heights: list[float]) -> None:
    """Least squares under the gaps: neighbours that want to overlap become one block (pool adjacent violators)."""
    offsets, total = [], 0.0
    for above, node in zip((None, *column), column, strict=False):
        total += 0.0 if above is None else (tall[above] + tall[node]) / 2 + GAP
        offsets.append(total)
    blocks: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        mean, count = want - offset, 1
        while blocks and blocks[-1][0] > mean:
            other, size = blocks.pop()
            mean, count = (mean * count + other * size) / (count + size), count + size
        blocks.append((mean, count))
    level = [mean for mean, count in blocks for _ in range(count)]
    for node, mean, offset in zip(column, level, offsets, strict=True):
        heights[node] = mean + offset
