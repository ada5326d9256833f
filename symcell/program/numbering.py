"""Which formula of the derivation each step of a program computes, for the comments of what is emitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from symcell.graph import Graph, name_of
from symcell.program.model import Plan


def numbered(plan: Plan, numbers: Mapping[str, int]) -> Plan:
    """The plan with the numbers of formulas by the values that they define, in the programs of first derivatives.

    What backward computes again has the number that it has in forward.
    """
    ahead = spread(plan.forward.graph, numbers)
    back = spread(plan.backward.graph, {**ahead, **numbers})
    programs = dict(plan.programs)
    programs["forward"] = replace(plan.forward, numbers=ahead)
    programs["backward"] = replace(plan.backward, numbers=back)
    return replace(plan, programs=programs)


def spread(graph: Graph, numbers: Mapping[str, int]) -> dict[str, int]:
    """The number of each step: its own formula's, else that of what reads it, since it stands inside that formula."""
    reads = {op.out: [name_of(o) for o in op.operands()] for op in graph.steps}
    found = {out: numbers[out] for out in reads if out in numbers}
    waiting = list(found)
    for reader in waiting:
        for value in reads[reader]:
            if value in reads and value not in found:
                found[value] = found[reader]
                waiting.append(value)
    return found
