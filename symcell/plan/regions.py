"""Where each step of a graph runs: once per call, over the whole sequence, or inside the time loop."""

from __future__ import annotations

from symcell.graph import Component, Edge, Graph, Op, Total, name_of
from symcell.plan.stages import RegionName
from symcell.symbolic.nodes import At


def regions(graph: Graph, near: frozenset[str] = frozenset()) -> dict[str, RegionName]:
    """The region of every step: what no carried value reaches runs before the loop, what reaches none after it.

    Values in ``near`` (those computed again) go to where they are read instead, so that they live in registers.
    """
    parts = graph.components()
    cyclic = {op.out for part in parts if part.cyclic for op in part.steps}
    varying, behind = _reached(graph, parts, cyclic)
    readers: dict[str, list[Op]] = {}
    ahead: set[str] = set()
    region: dict[str, RegionName] = {}
    for part in reversed(parts):
        for op in part.steps:
            if op.out in cyclic or any(r.out in ahead for r in readers.get(op.out, ())):
                ahead.add(op.out)
            for operand in op.operands():
                readers.setdefault(name_of(operand), []).append(op)
    for part in reversed(parts):
        for op in part.steps:
            fixed = graph.values[op.out].fixed
            region[op.out] = _region(op.out, fixed, varying, behind, ahead)
            if op.out in near and op.out not in behind and not fixed:
                at = {region[r.out] for r in readers.get(op.out, ()) if not graph.values[r.out].fixed}
                region[op.out] = "before" if "before" in at else "loop" if "loop" in at else "after"
    return region


def _reached(graph: Graph, parts: tuple[Component, ...], cyclic: set[str]) -> tuple[set[str], set[str]]:
    """What depends on anything that varies, and what depends on a carried value."""
    made = graph.producer()
    varying: set[str] = set()
    behind: set[str] = set()
    for part in parts:
        for op in part.steps:
            sources = {name_of(o) for o in op.operands() if name_of(o) in made}
            edge = isinstance(op, Total) and isinstance(op.arg, Edge)
            if (
                edge
                or any(isinstance(o, At) for o in op.operands())
                or not graph.values[op.out].fixed
                or varying & sources
            ):
                varying.add(op.out)
            if op.out in cyclic or behind & sources:
                behind.add(op.out)
    return varying, behind


def _region(name: str, fixed: bool, varying: set[str], behind: set[str], ahead: set[str]) -> RegionName:
    if fixed:
        return "finish" if name in varying else "once"
    if name not in behind:
        return "before"
    return "loop" if name in ahead else "after"
