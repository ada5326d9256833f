"""A schedule's stages as a program's: names become references, and bodies calls where a target needs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from symcell.cell import Shape, Size, units
from symcell.graph import Contraction, Graph, Op, Operand, Pointwise, Total, lag_of, name_of
from symcell.plan.phases import KernelPlan, PhasePlan, kernel_plans
from symcell.plan.places import Places
from symcell.plan.slabs import slabs
from symcell.plan.stages import Fused, Gradients, Once, RegionName, Schedule, Stack, Stage, Step, Totals
from symcell.program import model
from symcell.program.calls import calls
from symcell.program.model import (
    Buffer,
    Copy,
    EdgeSum,
    Fixed,
    Gemm,
    Gradient,
    Kernel,
    Member,
    Phase,
    Ref,
    Statement,
    Sums,
)
from symcell.symbolic.nodes import At, Param


@dataclass
class Builder:
    """Makes the stages of one program.

    ``stored``: the varying values that have a place in memory. ``states``: the state that enters by each boundary value
    of the forward graph.
    """

    schedule: Schedule
    places: Places
    profile: model.Profile
    role: model.Role
    stored: frozenset[str]
    states: Mapping[str, str] = field(default_factory=dict)
    kernels: int = 0

    @property
    def graph(self) -> Graph:
        return self.schedule.graph

    def region(self, name: RegionName) -> list[model.Stage]:
        """The program's stages of one region of the schedule."""
        return [made for stage in self.schedule.stages[name] for made in self.stage(stage, name != "loop")]

    def stage(self, stage: Stage, whole: bool) -> list[model.Stage]:
        match stage:
            case Fused():
                return self.fused(stage, whole)
            case Stack():
                return self.stacked(stage, whole)
            case Gradients():
                outs = self.places.window(Param(t.out) for t in stage.totals)
                left = self.places.window(o.left for o in stage.outers)
                return [Gradient(stage.totals, outs, left, self.places.of(stage.outers[0].right))]
            case Totals():
                return [self.summed(ops) for ops in self.side_by_side(stage.ops)]
            case Once(op=op):
                return [self.once(op)]

    # kernels

    def fused(self, stage: Fused, whole: bool) -> list[model.Stage]:
        made: list[model.Stage] = []
        if self.profile.registers:
            for plan in kernel_plans(stage.steps, self.graph):
                copies: list[Copy] = []
                made += [self.kernel(plan, whole, copies), *copies]
            return made
        for ops in slabs(stage.steps, self.graph, self.places):
            copies = []
            shape = self.graph.shape(ops[0].out)
            statement = self.statement(ops, self.out(ops, whole, copies), frozenset(), whole)
            made += [Kernel(self.next_name(), (Phase(shape, body=(statement,)),), False), *copies]
        return made

    def next_name(self) -> str:
        self.kernels += 1
        return f"{self.role}_{self.kernels}"

    def kernel(self, plan: KernelPlan, whole: bool, copies: list[Copy]) -> Kernel:
        phases = [self.phase(phase, plan, whole, copies) for phase in plan.phases]
        return Kernel(self.next_name(), tuple(phases), plan.rowwise)

    def phase(self, phase: PhasePlan, plan: KernelPlan, whole: bool, copies: list[Copy]) -> Phase:
        """Registers hold what is computed in this phase, and the scalars of earlier ones."""
        scalars = {op.out for p in plan.phases for op in (*p.scalars, *p.reductions)}
        known = frozenset(scalars | {op.out for op in phase.body})

        def made(ops: tuple[Step, ...]) -> tuple[Statement, ...]:
            return tuple(
                self.statement((op,), self.out((op,), whole, copies) if op.out in self.stored else None, known, whole)
                for op in ops
            )

        return Phase(phase.span, made(phase.scalars), made(phase.body), made(phase.reductions), phase.barrier)

    def statement(self, ops: tuple[Step, ...], out: Ref | None, registers: frozenset[str], whole: bool) -> Statement:
        op, shape = ops[0], self.graph.shape(ops[0].out)
        reads = {
            o: self.read(ops, o) for o in op.operands()
            if not (isinstance(o, At) and o.lag == 0 and o.axis is None and o.signal in registers and not _walks(op))
        }  # fmt: skip
        if self.profile.registers or not isinstance(op, Pointwise):
            return Statement(ops, shape, out, reads)
        own = self.places.varying[op.out]
        here = [o for o in op.operands() if isinstance(o, At) and not o.lag and o.axis is None]
        moved = frozenset(o for o in here if self.places.varying[o.signal] == own)
        found = calls(op.body, op.order, moved)
        width = units(shape) * Size.of(len(ops))
        work = tuple(self.room(f"work{k + 1}", width, whole) for k in range(found.temporaries))
        mask = self.room("mask", width, whole, "bool") if found.mask else None
        return Statement(ops, shape, out, reads, found.calls, work, mask)

    def read(self, ops: tuple[Step, ...], operand: Operand) -> Ref:
        """An operand of the first of ``ops``: with those of the others, where they lie behind it."""
        if len(ops) == 1:
            return self.places.of(operand)
        buffer, first = self.places.where(operand)
        along = self.graph.shape(name_of(operand)) == self.graph.shape(ops[0].out) and operand.axis is None
        moving = along or any(
            self.places.where(o) == (buffer, first + 1) for o in _alike(ops[1], operand)
        )  # fmt: skip
        return self.places.of(operand, len(ops) if moving else 1)

    def room(self, hint: str, width: Size, whole: bool, storage: model.Storage = "real") -> Ref:
        """Room for an intermediate result as wide as a statement; statements of one width share it."""
        name = f"{hint}[{width}]{'[whole]' if whole else ''}"
        extent: model.Extent = "whole" if whole else "local"
        self.places.add(Buffer(name, (Member(hint, (width,)),), extent, storage=storage))
        return self.places.at(name)

    def out(self, ops: tuple[Step, ...], whole: bool, copies: list[Copy]) -> Ref:
        return self.target(self.places.window(At(op.out) for op in ops), tuple(op.out for op in ops), whole, copies)

    def target(self, ref: Ref, outs: tuple[str, ...], whole: bool, copies: list[Copy]) -> Ref:
        """Where results are computed: in their place; or, where a whole sequence of that is no run of rows, in an array
        of their own that is then copied."""
        if not whole or self.places.aligned(ref):
            return ref
        members = tuple(Member(out, self.graph.shape(out)) for out in outs)
        self.places.add(Buffer(name := f"{outs[0]}_sent", members, "whole"))
        sent = self.places.at(name, 0, len(outs))
        copies.append(Copy(ref, sent))
        return sent

    # products

    def stacked(self, stage: Stack, whole: bool) -> list[model.Stage]:
        copies: list[Copy] = []
        outs = tuple(op.out for op in stage.ops)
        out = self.target(self.places.window(At(o) for o in outs), outs, whole, copies)
        left = self.places.window(stage.operands)
        matrix = self.places.window(m.of for m in stage.matrices)
        first = stage.matrices[0]
        work = None
        if stage.accumulate and not self.profile.adds:
            work = self.room("partial", self.width(outs), whole)
        return [Gemm(stage.ops, out, left, matrix, first.transposed, first.block, stage.accumulate, work), *copies]

    def width(self, outs: Iterable[str]) -> Size:
        return sum((units(self.graph.shape(o)) for o in outs), Size())

    # sums

    def side_by_side(self, ops: tuple[Total, ...]) -> list[list[Total]]:
        """Totals in runs of which both the results and what is summed lie side by side."""
        where = self.places.where
        places = {op: (where(Param(op.out)), where(op.arg)) for op in ops if isinstance(op.arg, At)}
        runs: list[list[Total]] = []
        for op in sorted(ops, key=lambda op: places[op]):
            before = runs[-1][-1] if runs else None
            joined = before is not None and all(
                (line, k) == (other, m + 1)
                for (line, k), (other, m) in zip(places[op], places[before], strict=True)
            )  # fmt: skip
            if joined and before is not None and lag_of(op.arg) == lag_of(before.arg):
                runs[-1].append(op)
            else:
                runs.append([op])
        return runs

    def summed(self, ops: list[Total]) -> Sums:
        outs = self.places.window(Param(op.out) for op in ops)
        arguments = self.places.window(op.arg for op in ops if isinstance(op.arg, At))
        return Sums(tuple(ops), outs, arguments)

    # fixed values

    def once(self, op: Op) -> model.Stage:
        out = self.places.of(Param(op.out))
        if isinstance(op, Total):
            return EdgeSum(op, out, self.states[op.unless])
        reads = {o: self.places.of(o) for o in op.operands()}
        if not isinstance(op, Pointwise):
            return Fixed(op, out, reads)
        found = calls(op.body, op.order, frozenset())
        shape = self.graph.shape(op.out)
        work = tuple(self.fixed_room(f"work{k + 1}", shape) for k in range(found.temporaries))
        mask = self.fixed_room("mask", shape, "bool") if found.mask else None
        return Fixed(op, out, reads, found.calls, work, mask)

    def fixed_room(self, hint: str, shape: Shape, storage: model.Storage = "real") -> Ref:
        name = f"{hint}[{', '.join(map(str, shape))}][fixed]"
        self.places.add(Buffer(name, (Member(hint, shape),), "fixed", storage=storage))
        return self.places.fixed_at(name)


def _walks(op: Step) -> bool:
    """Whether each unit of a step reads many units of its operands."""
    return isinstance(op, Contraction) or (not isinstance(op, Pointwise) and op.axis is not None)


def _alike(op: Step, operand: Operand) -> list[Operand]:
    """The operands of ``op`` that can stand for ``operand`` of its neighbour: of the same kind, axis and lag."""
    def kind(o: Operand) -> object:
        return type(o), o.axis, o.lag if isinstance(o, At) else 0
    return [o for o in op.operands() if kind(o) == kind(operand)]
