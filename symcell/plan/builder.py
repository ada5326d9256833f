"""A schedule's stages as a program's: names become references, and bodies calls where a target needs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace

from symcell.cell import Shape, Size, units
from symcell.graph import Graph, Op, Operand, Pointwise, Total, lag_of, name_of
from symcell.plan.phases import KernelPlan, PhasePlan, kernel_plans
from symcell.plan.places import Places
from symcell.plan.rounding import near_first, near_readers
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
            for plan in kernel_plans(stage.steps, self.graph, by_rows=self.profile.on_chip):
                copies: list[Copy] = []
                by_rows = any(phase.turns for phase in plan.phases)
                near = near_readers(stage.steps, self.graph) if by_rows else {}
                made += [self.kernel(plan, near, whole, copies), *copies]
            return made
        for ops in near_first(slabs(stage.steps, self.graph, self.places), self.graph):
            copies = []
            shape = self.graph.shape(ops[0].out)
            statement = self.statement(ops, self.out(ops, whole, copies), frozenset(), whole)
            made += [Kernel(self.next_name(), (Phase(shape, body=(statement,)),), False), *copies]
        return made

    def next_name(self) -> str:
        self.kernels += 1
        return f"{self.role}_{self.kernels}"

    def kernel(self, plan: KernelPlan, near: Mapping[str, Set[str]], whole: bool, copies: list[Copy]) -> Kernel:
        phases = [self.phase(phase, plan, near, whole, copies) for phase in plan.phases]
        return Kernel(self.next_name(), tuple(phases), plan.rowwise)

    def phase(
        self, phase: PhasePlan, plan: KernelPlan, near: Mapping[str, Set[str]], whole: bool, copies: list[Copy]
    ) -> Phase:
        """``near``: for values in rows of a matrix, who finds them in a register of whatever target has these."""
        known = plan.registers(phase)

        def one(op: Step) -> Statement:
            out = self.out((op,), whole, copies) if op.out in self.stored else None
            found = frozenset(o for o in op.operands() if phase.finds(op, o, known))
            made = self.statement((op,), out, found, whole)
            apart = frozenset(o for o in found if phase.turns and op.out not in near.get(name_of(o), ()))
            return replace(made, as_stored=apart) if apart else made

        def made(ops: tuple[Step, ...]) -> tuple[Statement, ...]:
            return tuple(map(one, ops))

        parts = made(phase.scalars), made(phase.body), made(phase.reductions)
        return Phase(phase.span, *parts, phase.barrier, phase.turns)

    def statement(self, ops: tuple[Step, ...], out: Ref | None, found: frozenset[Operand], whole: bool) -> Statement:
        """``found``: the operands that registers have."""
        op, shape = ops[0], self.graph.shape(ops[0].out)
        reads = {o: self.read(ops, o) for o in op.operands() if o not in found}
        if self.profile.registers or not isinstance(op, Pointwise):
            return Statement(ops, shape, out, reads)
        own = self.places.varying[op.out]
        here = [o for o in op.operands() if isinstance(o, At) and not o.lag and o.axis is None]
        moved = frozenset(o for o in here if self.places.varying[o.signal] == own)
        made = calls(op.body, op.order, moved)
        width = units(shape) * Size.of(len(ops))
        work = tuple(self.room(f"work{k + 1}", width, whole) for k in range(made.temporaries))
        mask = self.room("mask", width, whole, "bool") if made.mask else None
        return Statement(ops, shape, out, reads, made.calls, work, mask)

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


def _alike(op: Step, operand: Operand) -> list[Operand]:
    """The operands of ``op`` that can stand for ``operand`` of its neighbour: of the same kind, axis and lag."""
    def kind(o: Operand) -> object:
        return type(o), o.axis, o.lag if isinstance(o, At) else 0
    return [o for o in op.operands() if kind(o) == kind(operand)]
