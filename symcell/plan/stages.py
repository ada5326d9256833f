"""What planning passes hand to each other: the stages of a sweep over names of values, before these have places."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from symcell.graph import Contraction, Graph, Matrix, Op, Operand, Outer, Pointwise, Reduce, Total, name_of
from symcell.symbolic.nodes import At

Step = Pointwise | Reduce | Contraction
"""What fuses: unit by unit, over the units of a row, or a varying matrix times a vector."""


def fuses(op: Op) -> bool:
    """Whether a varying step runs in a kernel: all but products with fixed matrices, and outer products for totals."""
    return isinstance(op, Pointwise | Reduce) or (
        isinstance(op, Contraction) and all(isinstance(m.of, At) for m, _ in op.terms)
    )


@dataclass(frozen=True)
class Fused:
    """Steps that can run together."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Stack:
    """One product with fixed matrices: several results of one operand (matrices stacked by rows), or several operands
    into one result (stacked by columns). ``accumulate``: added to what an earlier product left there."""

    ops: tuple[Contraction, ...]
    matrices: tuple[Matrix, ...]
    operands: tuple[Operand, ...]
    accumulate: bool = False


@dataclass(frozen=True)
class Gradients:
    """Totals of outer products with the same right operand: one product over all steps and samples."""

    totals: tuple[Total, ...]
    outers: tuple[Outer, ...]


@dataclass(frozen=True)
class Totals:
    """Sums over all steps and samples."""

    ops: tuple[Total, ...]


@dataclass(frozen=True)
class Once:
    """A step over fixed values, or a sum over an edge."""

    op: Op


Stage = Fused | Stack | Gradients | Totals | Once

RegionName = Literal["once", "before", "loop", "after", "finish"]
"""``once``: fixed values, before all. ``before``, ``after``: whole sequences. ``loop``: step by step. ``finish``:
gradients of parameters, after all."""

REGIONS: tuple[RegionName, ...] = ("once", "before", "loop", "after", "finish")


@dataclass(frozen=True)
class Schedule:
    """The stages of one sweep by region, and the region of each computed value."""

    graph: Graph
    stages: dict[RegionName, tuple[Stage, ...]]
    region: dict[str, RegionName] = field(default_factory=dict)

    def all(self) -> tuple[tuple[RegionName, Stage], ...]:
        return tuple((r, s) for r in REGIONS for s in self.stages.get(r, ()))


def outs_of(stage: Stage) -> tuple[str, ...]:
    """The values that a stage makes."""
    match stage:
        case Fused():
            return tuple(op.out for op in stage.steps)
        case Stack() | Totals():
            return tuple(op.out for op in stage.ops)
        case Gradients():
            return tuple(op.out for op in stage.totals)
        case Once():
            return (stage.op.out,)


def operands_of(stage: Stage) -> tuple[Operand, ...]:
    """What a stage reads."""
    match stage:
        case Fused():
            return tuple(o for op in stage.steps for o in op.operands())
        case Stack():
            return stage.operands + tuple(m.of for m in stage.matrices)
        case Gradients():
            return (*(o.left for o in stage.outers), stage.outers[0].right)
        case Totals():
            return tuple(op.arg for op in stage.ops if isinstance(op.arg, At))
        case Once():
            return stage.op.operands()


def by_dependency(steps: list[Op]) -> list[Op]:
    """The steps in an order in which each comes after those it reads; as they are, where that allows it."""
    made = {op.out: op for op in steps}
    done: dict[str, None] = {}
    for op in steps:
        pending = [op]
        while pending:
            top = pending[-1]
            missing = [made[n] for o in top.operands() if (n := name_of(o)) in made and n not in done and n != top.out]
            if missing:
                pending.append(missing[0])
            else:
                done.setdefault(pending.pop().out)
    return [made[name] for name in done]
