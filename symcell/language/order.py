"""The order in which equations can be computed within one step."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from symcell.language.problems import Problems
from symcell.language.roles import Definition
from symcell.language.tree import Read, walk

Reads = Mapping[str, Mapping[str, Read]]


def find_order(definitions: Mapping[str, Definition], problems: Problems) -> tuple[str, ...]:
    """The signals, each after those it reads at the same step, else as written; a cycle goes to ``problems``."""
    reads: dict[str, dict[str, Read]] = {name: {} for name in definitions}
    for name, definition in definitions.items():
        for tree in walk(definition.tree):
            if isinstance(tree, Read) and tree.lag == 0 and tree.name in definitions:
                reads[name].setdefault(tree.name, tree)
    order = _sorted(reads)
    if len(order) < len(definitions):
        _report(reads, set(order), definitions, problems)
    return order


def _sorted(reads: Reads) -> tuple[str, ...]:
    """Kahn's algorithm; among equations that are ready, the first one written goes first."""
    names = list(reads)
    place = {name: k for k, name in enumerate(names)}
    readers: dict[str, list[str]] = {name: [] for name in names}
    missing = {name: len(reads[name]) for name in names}
    for name in names:
        for other in reads[name]:
            readers[other].append(name)
    ready = [place[name] for name in names if not missing[name]]
    order = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for reader in readers[name]:
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, place[reader])
    return tuple(order)


def _report(reads: Reads, done: set[str], definitions: Mapping[str, Definition], problems: Problems) -> None:
    """Reports one cycle among the equations that could not be sorted, starting with the first one written."""
    path: list[str] = [next(name for name in reads if name not in done)]
    while path.count(path[-1]) < 2:
        path.append(next(name for name in reads[path[-1]] if name not in done))
    cycle = path[path.index(path[-1]) :]
    start = min(range(len(cycle) - 1), key=lambda k: definitions[cycle[k]].span.line)
    cycle = [*cycle[start:-1], *cycle[: start + 1]]
    shown = cycle if len(cycle) <= 12 else [*cycle[:6], "...", *cycle[-5:]]
    lines = ", ".join(str(definitions[name].span.line) for name in cycle[:-1][:12])
    read = reads[cycle[0]][cycle[1]]
    message = f"a cycle within one step: {' → '.join(f'{n}[t]' if n != '...' else n for n in shown)} (lines {lines})"
    if len(cycle) == 2:
        message = f"{cycle[0]}[t] needs itself"
    problems.add(read.span, message, f"read an earlier step somewhere on the way, such as {cycle[1]}[t-1]")
