"""Graph → Schedule: steps by region, fused as far as they go, products of one operand stacked."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from symcell.graph import (
    Contraction,
    Graph,
    GraphError,
    Op,
    Operand,
    Outer,
    Total,
    lag_of,
    name_of,
)
from symcell.plan.phases import kernel_plans
from symcell.plan.regions import regions
from symcell.plan.stages import (
    REGIONS,
    Fused,
    Gradients,
    Once,
    RegionName,
    Schedule,
    Stack,
    Stage,
    Step,
    Totals,
    by_dependency,
    fuses,
)
from symcell.symbolic.nodes import At


def schedule(graph: Graph, near: frozenset[str] = frozenset()) -> Schedule:
    """Assign every step of a normal graph (:mod:`symcell.plan.normal`) a region and a stage; see :func:`regions`.
    What reads a matrix that the loop makes where the units of a sample meet runs in the loop, too."""
    region = regions(graph, near)
    loop = _stages(graph, [op for op in graph.steps if region[op.out] == "loop"], whole=False)
    region |= dict.fromkeys(_drawn_in(graph, region, _meeting(graph, loop)), "loop")
    steps: dict[RegionName, list[Op]] = {name: [] for name in REGIONS}
    for op in graph.steps:
        steps[region[op.out]].append(op)
    stages: dict[RegionName, tuple[Stage, ...]] = {
        "once": tuple(Once(op) for op in by_dependency(steps["once"])),
        "before": _stages(graph, steps["before"], whole=True),
        "loop": _stages(graph, steps["loop"], whole=False),
        "after": _stages(graph, steps["after"], whole=True),
        "finish": _finish(graph, by_dependency(steps["finish"])),
    }
    return Schedule(graph, stages, region)


def _meeting(graph: Graph, loop: tuple[Stage, ...]) -> set[str]:
    """What a loop makes where the units of a sample meet."""
    fused = [stage.steps for stage in loop if isinstance(stage, Fused)]
    plans = [plan for steps in fused for plan in kernel_plans(steps, graph) if plan.rowwise]
    return {op.out for plan in plans for op in plan.steps}


def _drawn_in(graph: Graph, region: Mapping[str, RegionName], made: Collection[str]) -> set[str]:
    """The steps behind a loop that read matrices which are ``made`` in it, or by another of these steps, with what else
    behind the loop they need; but for those that need a product with a fixed matrix."""
    found: set[str] = set()
    needs: dict[str, set[str]] = {}
    for op in by_dependency([op for op in graph.steps if region[op.out] == "after"]):
        behind = [o for o in op.operands() if region.get(name_of(o)) == "after"]
        if not fuses(op) or any(lag_of(o) or name_of(o) not in needs for o in behind):
            continue
        needs[op.out] = {op.out}.union(*(needs[name_of(o)] for o in behind))
        if any(_at_hand(o, graph, found.union(made)) for o in op.operands()):
            found |= needs[op.out]
    return found


def _at_hand(operand: Operand, graph: Graph, made: Collection[str]) -> bool:
    """Whether an operand is a matrix of those ``made``, of this step or an earlier one of the sweep."""
    matrix = name_of(operand) in made and len(graph.shape(name_of(operand))) == 2
    return matrix and lag_of(operand) * graph.direction >= 0


def _stages(graph: Graph, steps: list[Op], whole: bool) -> tuple[Stage, ...]:
    """All that fuses and is ready, then all products that are ready, and so on."""
    waiting = _Waiting([op for op in steps if not isinstance(op, Outer)], whole)
    stages: list[Stage] = []
    while waiting.left:
        fused = waiting.take_fused()
        if fused:
            stages.append(Fused(tuple(fused)))
        products = waiting.take_products()
        if not fused and not products:
            left = "; ".join(map(str, waiting.left.values()))
            raise GraphError(f"{graph.name}: nothing can run next of {left}")
        stages += _stacks(graph, products)
    return tuple(stages)


class _Waiting:
    """The steps of a region that have not run, with how many of their operands are still missing."""

    def __init__(self, steps: list[Op], whole: bool) -> None:
        self.whole = whole
        self.left = {op.out: op for op in steps}
        self.position = {op.out: k for k, op in enumerate(steps)}
        self.readers: dict[str, list[Op]] = {}
        self.missing: dict[str, int] = {}
        for op in steps:
            sources = {name_of(o) for o in op.operands() if name_of(o) in self.left and (whole or not lag_of(o))}
            sources -= {op.out}
            self.missing[op.out] = len(sources)
            for source in sources:
                self.readers.setdefault(source, []).append(op)
        self.ready = [op for op in steps if not self.missing[op.out]]

    def _done(self, op: Op) -> list[Op]:
        """The steps that become ready with this one."""
        del self.left[op.out]
        found = []
        for reader in self.readers.get(op.out, ()):
            self.missing[reader.out] -= 1
            if not self.missing[reader.out]:
                found.append(reader)
        return found

    def take_fused(self) -> list[Step]:
        """Over whole sequences, a value read at another step is complete before the kernel that reads it starts."""
        fused: list[Step] = []
        here: set[str] = set()
        pending, self.ready = sorted(self.ready, key=lambda op: self.position[op.out]), []
        while pending:
            later: list[Op] = []
            for op in pending:
                across = self.whole and any(lag_of(o) and name_of(o) in here for o in op.operands())
                if fuses(op) and not across:
                    assert isinstance(op, Step)
                    fused.append(op)
                    here.add(op.out)
                    later += self._done(op)
                else:
                    self.ready.append(op)
            pending = sorted(later, key=lambda op: self.position[op.out])
        return fused

    def take_products(self) -> list[Contraction]:
        products = [op for op in self.ready if isinstance(op, Contraction) and not fuses(op)]
        self.ready = [op for op in self.ready if op not in products]
        for op in products:
            self.ready += self._done(op)
        return products


def _stacks(graph: Graph, products: list[Contraction]) -> list[Stage]:
    """Products of one operand stack by rows, but for carried values (they have buffers of their own); a sum of products
    stacks by columns."""
    groups: dict[object, list[Contraction]] = {}
    for op in products:
        matrix, operand = op.terms[0]
        stacks = len(op.terms) == 1 and not matrix.transposed and op.out not in graph.carried
        key = (operand, matrix.block, graph.shape(matrix.name)[1]) if stacks else op.out
        groups.setdefault(key, []).append(op)
    stages: list[Stage] = []
    for group in groups.values():
        terms = group[0].terms
        if len(group) == 1:
            stages.append(Stack((group[0],), tuple(m for m, _ in terms), tuple(v for _, v in terms)))
        else:
            stages.append(Stack(tuple(group), tuple(op.terms[0][0] for op in group), (terms[0][1],)))
    return stages


def _finish(graph: Graph, steps: list[Op]) -> tuple[Stage, ...]:
    """Weight gradients with the same right operand as one product; the sums for vectors; then what is fixed."""
    made = graph.producer()
    pairs: dict[Operand, list[tuple[Total, Outer]]] = {}
    totals: list[Total] = []
    rest: list[Op] = []
    for op in steps:
        if isinstance(op, Total) and isinstance(op.arg, At):
            outer = made.get(op.arg.signal)
            if isinstance(outer, Outer):
                pairs.setdefault(outer.right, []).append((op, outer))
            else:
                totals.append(op)
        else:
            rest.append(op)
    gradients = tuple(Gradients(*(tuple(column) for column in zip(*group, strict=True))) for group in pairs.values())
    sums = (Totals(tuple(totals)),) if totals else ()
    return gradients + sums + tuple(Once(op) for op in rest)
