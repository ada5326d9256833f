"""Where each step runs: once per cell, over the whole sequence, or inside the time loop; and in which kernel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import sympy

from symcell.fresh import Names
from symcell.graph import (
    Component,
    Graph,
    GraphError,
    Matrix,
    Op,
    Operand,
    Outer,
    Pointwise,
    Product,
    Reduce,
    Total,
    Value,
    lag_of,
    name_of,
)
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True)
class Fused:
    """Pointwise steps and reductions over units that make one kernel."""

    steps: tuple[Pointwise | Reduce, ...]


@dataclass(frozen=True)
class Gemm:
    """One matrix product: several outputs of one operand (matrices stacked by rows), or several operands into one
    output (stacked by columns). ``accumulate``: added to what an earlier product left there."""

    outs: tuple[str, ...]
    matrices: tuple[Matrix, ...]
    operands: tuple[Operand, ...]
    accumulate: bool = False


@dataclass(frozen=True)
class Gradient:
    """Gradients of matrices with the same right operand: one product over all steps and samples."""

    outs: tuple[str, ...]
    lefts: tuple[Operand, ...]
    right: Operand


@dataclass(frozen=True)
class Sums:
    """Gradients of vectors: sums over all steps and samples."""

    outs: tuple[str, ...]
    args: tuple[At, ...]


@dataclass(frozen=True)
class Once:
    """A step over fixed values only."""

    op: Op


Stage = Fused | Gemm | Gradient | Sums | Once


@dataclass(frozen=True)
class Schedule:
    """The stages of one sweep. ``once``: before all. ``before`` and ``after``: whole sequences. ``loop``: per step.
    ``finish``: gradients of parameters, after all."""

    graph: Graph
    once: tuple[Stage, ...] = ()
    before: tuple[Stage, ...] = ()
    loop: tuple[Stage, ...] = ()
    after: tuple[Stage, ...] = ()
    finish: tuple[Stage, ...] = ()
    region: dict[str, str] = field(default_factory=dict)

    def stages(self) -> tuple[tuple[str, Stage], ...]:
        return tuple((r, s) for r in ("once", "before", "loop", "after", "finish") for s in getattr(self, r))


def outs_of(stage: Stage) -> tuple[str, ...]:
    match stage:
        case Fused():
            return tuple(op.out for op in stage.steps)
        case Once():
            return (stage.op.out,)
        case _:
            return stage.outs


def operands_of(stage: Stage) -> tuple[Operand, ...]:
    match stage:
        case Fused():
            return tuple(o for op in stage.steps for o in op.operands())
        case Gemm():
            return stage.operands + tuple(Param(m.name) for m in stage.matrices)
        case Gradient():
            return (*stage.lefts, stage.right)
        case Sums():
            return stage.args
        case Once():
            return stage.op.operands()


def schedule(graph: Graph, near: frozenset[str] = frozenset()) -> Schedule:
    """Assign every step of ``graph`` a region and a stage.

    What no carried value reaches runs before the loop, what reaches no carried value after it. Values in ``near``
    (those computed again) go to where they are read instead, so that they live in registers.
    """
    parts = graph.components()
    region = _regions(graph, parts, near)
    order = {op.out: k for k, op in enumerate(graph.steps)}
    ranked = sorted((op for part in parts for op in part.steps), key=lambda op: order[op.out])

    def steps(name: str) -> list[Op]:
        return [op for op in ranked if region[op.out] == name]

    return Schedule(
        graph,
        tuple(Once(op) for op in _by_dependency(steps("once"))),
        _stages(graph, steps("before"), whole=True),
        _stages(graph, steps("loop"), whole=False),
        _stages(graph, steps("after"), whole=True),
        _finish(_by_dependency(steps("finish"))),
        region,
    )


def _regions(graph: Graph, parts: tuple[Component, ...], near: frozenset[str]) -> dict[str, str]:
    made = graph.producer()
    cyclic = {op.out for part in parts if part.cyclic for op in part.steps}
    varying: set[str] = set()
    after_cycle: set[str] = set()
    for part in parts:
        for op in part.steps:
            sources = [name_of(o) for o in op.operands() if name_of(o) in made]
            if (
                any(isinstance(o, At) for o in op.operands())
                or not graph.values[op.out].fixed
                or varying & set(sources)
            ):
                varying.add(op.out)
            if op.out in cyclic or after_cycle & set(sources):
                after_cycle.add(op.out)
    before_cycle: set[str] = set()
    readers: dict[str, list[Op]] = {}
    for part in reversed(parts):
        for op in part.steps:
            if op.out in cyclic or any(r.out in before_cycle for r in readers.get(op.out, ())):
                before_cycle.add(op.out)
            for operand in op.operands():
                readers.setdefault(name_of(operand), []).append(op)
    region = {}
    for part in reversed(parts):
        for op in part.steps:
            region[op.out] = _region(graph, op.out, varying, after_cycle, before_cycle)
            if op.out in near and op.out not in after_cycle and not graph.values[op.out].fixed:
                at = {region[r.out] for r in readers.get(op.out, ()) if not graph.values[r.out].fixed}
                region[op.out] = next((place for place in ("before", "loop") if place in at), "after")
    return region


def _region(graph: Graph, name: str, varying: set[str], after_cycle: set[str], before_cycle: set[str]) -> str:
    if graph.values[name].fixed:
        return "finish" if name in varying else "once"
    if name not in after_cycle:
        return "before"
    return "loop" if name in before_cycle else "after"


def _by_dependency(steps: list[Op]) -> list[Op]:
    """The steps in an order in which each comes after those it reads."""
    left, made, out = list(steps), {op.out for op in steps}, []
    done: set[str] = set()
    while left:
        ready = [op for op in left if all(name_of(o) in done or name_of(o) not in made for o in op.operands())]
        out += ready
        done |= {op.out for op in ready}
        left = [op for op in left if op.out not in done]
    return out


def _stages(graph: Graph, steps: list[Op], whole: bool) -> tuple[Stage, ...]:
    """Pointwise steps fused as far as they go, then all products that are ready, and so on."""
    made = {op.out for op in steps}
    done: set[str] = set()

    def ready(op: Op) -> bool:
        return all(
            name_of(o) in done or name_of(o) not in made or (lag_of(o) != 0 and not whole) for o in op.operands()
        )

    stages: list[Stage] = []
    left = list(steps)
    while left:
        fused: list[Pointwise | Reduce] = []
        while found := [
            op for op in left if isinstance(op, Pointwise | Reduce) and ready(op) and _near(op, fused, whole)
        ]:
            fused += found
            done |= {op.out for op in found}
            left = [op for op in left if op.out not in done]
        if fused:
            stages.append(Fused(tuple(fused)))
        products = [op for op in left if isinstance(op, Product) and ready(op)]
        if not fused and not products:
            raise GraphError(f"{graph.name}: nothing can run next of {'; '.join(map(str, left))}")
        stages += _gemms(graph, products)
        done |= {op.out for op in products}
        left = [op for op in left if op.out not in done]
    return tuple(stages)


def _near(op: Op, fused: list[Pointwise | Reduce], whole: bool) -> bool:
    """Over whole sequences, a value read at another step must be complete before the kernel that reads it starts."""
    here = {f.out for f in fused}
    return not (whole and any(lag_of(o) and name_of(o) in here for o in op.operands()))


def _gemms(graph: Graph, products: list[Product]) -> list[Stage]:
    """Products of one operand stack by rows, but for carried values (they have buffers of their own); a sum of products
    stacks by columns."""
    groups: dict[object, list[Product]] = {}
    for op in products:
        matrix, operand = op.terms[0]
        columns = graph.values[matrix.name].shape[1]
        stacks = len(op.terms) == 1 and not matrix.transposed and op.out not in graph.carried
        key = (operand, matrix.block, columns) if stacks else op.out
        groups.setdefault(key, []).append(op)
    stages: list[Stage] = []
    for group in groups.values():
        first = group[0]
        if len(group) == 1:
            stages.append(Gemm((first.out,), tuple(m for m, _ in first.terms), tuple(v for _, v in first.terms)))
        else:
            stages.append(
                Gemm(tuple(op.out for op in group), tuple(op.terms[0][0] for op in group), (first.terms[0][1],))
            )
    return stages


def _finish(steps: list[Op]) -> tuple[Stage, ...]:
    """Weight gradients with the same right operand as one product; the sums for vectors; then what is fixed."""
    outers: dict[Operand, list[Outer]] = {}
    totals: list[Total] = []
    rest: list[Op] = []
    for op in steps:
        if isinstance(op, Outer) and not isinstance(op.left, Param):
            outers.setdefault(op.right, []).append(op)
        elif isinstance(op, Total):
            totals.append(op)
        else:
            rest.append(op)
    gradients = tuple(Gradient(tuple(o.out for o in group), tuple(o.left for o in group), right)
                      for right, group in outers.items())  # fmt: skip
    sums = (Sums(tuple(o.out for o in totals), tuple(o.arg for o in totals)),) if totals else ()
    return gradients + sums + tuple(Once(op) for op in rest)


def hoist(graph: Graph) -> Graph:
    """Split the terms that no carried value reaches off the sums inside the loop: ``W @ x[t] + b`` runs before it."""
    region = schedule(graph).region
    names = Names(set(graph.values))
    values = dict(graph.values)
    steps: list[Op] = []
    for op in graph.steps:
        if isinstance(op, Pointwise) and region[op.out] == "loop" and isinstance(op.body, sympy.Add):
            ahead = [a for a in op.body.args if _is_ahead(a, graph, region)]
            part = sympy.Add(*ahead)
            if len(ahead) > 1 and part.atoms(At):
                size = max((values[name_of(a)].size for a in part.atoms(At, Param)), key=lambda s: (s.names, s.fixed))
                name = names.fresh(f"{op.out}_in")
                values[name] = Value(name, (size,))
                steps.append(Pointwise(name, part))
                op = Pointwise(op.out, sympy.Add(At(name), *(a for a in op.body.args if a not in ahead)))
        steps.append(op)
    return replace(graph, values=values, steps=tuple(steps)).check()


def _is_ahead(expr: sympy.Expr, graph: Graph, region: dict[str, str]) -> bool:
    atoms: Iterable[Operand] = expr.atoms(At, Param)
    return not expr.is_number and all(region.get(name_of(a), "before") in ("before", "once") for a in atoms)
