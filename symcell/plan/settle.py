"""Stacked stages in memory order, split where their members do not lie side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from symcell.graph import Matrix, Operand, name_of
from symcell.plan.stages import Gradients, Schedule, Stack, Stage
from symcell.symbolic.nodes import At

Place = tuple[object, int] | None
"""A line of memory and the position in it; None for what lies alone."""

_T = TypeVar("_T")


def settled(what: Schedule, flat: Mapping[str, int], chains: list[list[str]], owner: Mapping[str, str]) -> Schedule:
    """The schedule with its stacks cut to what lies side by side.

    ``flat``: the parameters' places; ``chains``: values that lie in one buffer; ``owner``: for a gradient the parameter
    whose place in the flat buffer it takes.
    """
    settler = _Settler(what, flat,
                       {name: (f"chain {c}", k) for c, chain in enumerate(chains) for k, name in enumerate(chain)},
                       owner)  # fmt: skip
    stages = {name: tuple(s for stage in stages for s in settler.stage(stage)) for name, stages in what.stages.items()}
    return Schedule(what.graph, stages, what.region)


@dataclass(frozen=True)
class _Settler:
    schedule: Schedule
    flat: Mapping[str, int]
    chained: Mapping[str, tuple[str, int]]
    owner: Mapping[str, str]

    def matrix(self, matrix: Matrix) -> Place:
        if matrix.name not in self.flat:
            return None
        return (matrix.transposed, str(matrix.block), str(self.schedule.graph.shape(matrix.name)[1])), self.flat[
            matrix.name
        ]

    def gradient(self, out: str, left: Operand) -> Place:
        """A parameter's place; what is none's lies as what it is made from."""
        owner = self.owner.get(out)
        kind = tuple(map(str, self.schedule.graph.shape(out)[1:]))
        if owner is not None:
            return (kind, self.flat[owner])
        place = self.vector(left)
        return None if place is None else ((kind, place[0]), place[1])

    def vector(self, operand: Operand) -> Place:
        return self.chained.get(name_of(operand)) if isinstance(operand, At) and not operand.lag else None

    def stage(self, stage: Stage) -> list[Stage]:
        match stage:
            case Stack(ops, matrices, operands) if len(ops) > 1:
                runs = _runs([(self.matrix(m),) for m in matrices])
                return [Stack(_picked(ops, run), _picked(matrices, run), operands) for run in runs]
            case Stack(ops, matrices, operands) if len(operands) > 1:
                runs = _runs([(self.matrix(m), self.vector(v)) for m, v in zip(matrices, operands, strict=True)])
                return [Stack(ops, _picked(matrices, run), _picked(operands, run), accumulate=k > 0)
                        for k, run in enumerate(runs)]  # fmt: skip
            case Gradients(totals, outers):
                pairs = zip(totals, outers, strict=True)
                runs = _runs([(self.gradient(t.out, o.left), self.vector(o.left)) for t, o in pairs])
                return [Gradients(_picked(totals, run), _picked(outers, run)) for run in runs]
        return [stage]


def _picked(items: Sequence[_T], run: list[int]) -> tuple[_T, ...]:
    return tuple(items[k] for k in run)


def _runs(places: Sequence[tuple[Place, ...]]) -> list[list[int]]:
    """Positions sorted by place, cut wherever one of their places does not follow the one before."""
    ranked = sorted(range(len(places)), key=lambda k: [(str(p[0]), p[1]) if p else ("~", 0) for p in places[k]])
    runs: list[list[int]] = []
    for before, k in zip([None, *ranked], ranked, strict=False):
        if before is not None and all(map(_follows, places[before], places[k])):
            runs[-1].append(k)
        else:
            runs.append([k])
    return runs


def _follows(before: Place, after: Place) -> bool:
    return before is not None and after is not None and after == (before[0], before[1] + 1)
