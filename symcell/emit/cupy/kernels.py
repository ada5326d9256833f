"""A kernel of the program as CUDA: one thread per unit, or one block per row where the units of a row meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from symcell.cell import Shape, Size, units
from symcell.emit.c_family.arguments import Argument, Arguments, Length, Pointer
from symcell.emit.c_family.names import Names
from symcell.emit.c_family.units import INDEX, START, Line, Loop, Units, along_rows, grown
from symcell.graph import Op, Reduce
from symcell.program.model import Kernel, Phase, Program, Statement

OWN = ("warp_sum", "warp_max", "block_sum", "block_max")
"""Device functions that put threads together."""


@dataclass(frozen=True)
class PhaseView:
    """Part of a kernel: ``before`` the loop over ``units`` (C code), in the loop, ``after`` it. ``walks``: the
    steps for which the threads of a warp share a unit. ``indices``: the lines that say where in a matrix a unit is."""

    barrier: bool
    before: tuple[Line, ...]
    units: str
    walks: tuple[Op, ...]
    indices: tuple[Line, ...]
    body: tuple[Line, ...]
    after: tuple[Line, ...]

    @property
    def lanes(self) -> bool:
        """Whether a warp has one unit, else a thread."""
        return bool(self.walks)


@dataclass(frozen=True)
class KernelView:
    """A CUDA kernel. ``arguments``: behind the number of rows, where a block may have several; ``widths``: the threads
    that its loops have work for; ``most``: the threads of a block at most. ``ops``: what it
    computes."""

    name: str
    rowwise: bool
    arguments: tuple[Argument, ...]
    constants: tuple[Line, ...]
    rows: tuple[Line, ...]
    phases: tuple[PhaseView, ...]
    widths: tuple[Size, ...]
    most: int
    ops: tuple[Op, ...]

    @property
    def warps(self) -> frozenset[str]:
        """The kinds of reductions for which the threads of a warp meet."""
        walking = (op for phase in self.phases for op in phase.walks)
        return frozenset(op.kind if isinstance(op, Reduce) else "sum" for op in walking)

    @property
    def blocks(self) -> frozenset[str]:
        """The kinds of reductions for which the threads of a block meet."""
        return frozenset(op.kind for op in self.ops if isinstance(op, Reduce) and op.axis is None)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Declarations of all that it is called with."""
        rows = () if self.rowwise else ("long long rows",)
        return (*rows, *(_declaration(a) for a in self.arguments))


def _declaration(argument: Argument) -> str:
    if not isinstance(argument, Pointer):
        return f"long long {argument.name}"
    kind = "real*" if argument.written else "const real*"
    return f"{kind} __restrict__ {argument.name}" if argument.alone else f"{kind} {argument.name}"


def kernel(
    made: Kernel, program: Program, equation: Callable[[Op], str], taken: Iterable[str], *, steps: bool
) -> KernelView:
    """The kernel as CUDA. ``equation``: the comment for a step; ``taken``: names that the kernels' functions have;
    ``steps``: whether it computes one step of the sequence, or all at once."""
    names = Names((*taken, *OWN))
    arguments = Arguments(made, program, names, steps=steps)
    writer = _Writer(made, Units(program, arguments, names, equation))
    phases = writer.rowwise() if made.rowwise else (writer.unitwise(made.phases[0]),)
    lengths = sorted((a for a in arguments if isinstance(a, Length)), key=lambda a: a.size)
    ordered = (*lengths, *(a for a in arguments if not isinstance(a, Length)))
    constants = tuple(map(Line, writer.units.constants.values()))
    widths = dict.fromkeys(units(p.span) * Size.of(32 if _walks(p) else 1) for p in made.phases)
    # registers last for more threads only where compilers are told; matrices need them to keep memory busy
    most = 1024 if made.rowwise and any(len(p.span) == 2 for p in made.phases) else 256
    return KernelView(
        made.name,
        made.rowwise,
        ordered,
        constants,
        tuple(map(Line, arguments.rows)),
        phases,
        tuple(widths),
        most,
        tuple(op for statement in made.statements() for op in statement.ops),
    )


def _walks(phase: Phase) -> tuple[Op, ...]:
    """The steps for which the threads of a warp share a unit: where all that the units of a phase walk over are rows of
    matrices, so that neighbouring threads read neighbouring numbers."""
    walks = {s.op.out: along_rows(s.op) for s in phase.body if along_rows(s.op) is not None}
    return tuple(s.op for s in phase.body if s.op.out in walks) if all(walks.values()) else ()


@dataclass
class _Writer:
    kernel: Kernel
    units: Units

    def unitwise(self, phase: Phase) -> PhaseView:
        """Every unit by itself: one loop, over all units of all rows."""
        loop = self.units.loop((*phase.scalars, *phase.body), lanes=bool(_walks(phase)))
        return self._view(phase, (), loop, (), ())

    def rowwise(self) -> tuple[PhaseView, ...]:
        """Every row by itself. What is read and computed outside of loops is known to later phases."""
        scalars = self.units.loop(())
        views = [self._phase(phase, scalars) for phase in self.kernel.phases]
        # a unit that was a thread's is a warp's now, or the other way round: others have stored what it reads
        moved = (before.lanes != view.lanes for before, view in pairwise(views))
        return (views[0], *(replace(v, barrier=v.barrier or m) for v, m in zip(views[1:], moved, strict=True)))

    def _phase(self, phase: Phase, scalars: Loop) -> PhaseView:
        for statement in phase.scalars:
            scalars.compute(statement)
            self.units.everywhere.add(statement.op.out)
        loop = self.units.loop(phase.body, scalars, lanes=bool(_walks(phase)))
        reductions = [self._reduction(statement, loop) for statement in phase.reductions]
        before = [*scalars.loads, *scalars.lines, *self._scalar_stores(phase.scalars)]
        scalars.loads, scalars.lines, scalars.stores = [], [], []
        before += [declared for declared, _, _ in reductions]
        sums = tuple(grown for _, grown, _ in reductions)
        after = [line for _, _, line in reductions]
        after += [_by_one(store) for s in phase.reductions for store in self.units.store(s)]
        return self._view(phase, before, loop, sums, after)

    def _view(
        self, phase: Phase, before: Iterable[Line], loop: Loop, sums: Iterable[Line], after: Iterable[Line]
    ) -> PhaseView:
        alone = "if (lane == 0) " if loop.lanes else ""
        ends = [f"{alone}{line}" for line in (*(line.code for line in sums), *loop.stores)]
        body = (*loop.loads, *loop.lines, *map(Line, ends))
        length = self.units.arguments.length(units(phase.span))
        return PhaseView(
            phase.barrier, tuple(before), length, _walks(phase), self._indices(phase.span, loop), body, tuple(after)
        )

    def _indices(self, span: Shape, loop: Loop) -> tuple[Line, ...]:
        """Row and column of a unit, in 32 bits since longer divisions are slow."""
        if not loop.indices:
            return ()
        columns = self.units.length(span[1])
        lines = {INDEX[0]: f"const int i = unit / (int){columns};", INDEX[1]: f"const int j = unit % (int){columns};"}
        return tuple(Line(code) for index, code in lines.items() if index in loop.indices)

    def _reduction(self, statement: Statement, loop: Loop) -> tuple[Line, Line, Line]:
        """A reduction over all units: where a thread begins, its next value, and the result of all threads."""
        op = statement.op
        assert isinstance(op, Reduce)
        partial = self.units.names.get(("partial", op.out), f"partial_{op.out}")
        value = loop.operand(statement, op.arg)
        result = self.units.names.get(("value", op.out, 0, None), f"{op.out}_t")
        self.units.registers[op.out] = result
        self.units.everywhere.add(op.out)
        return (
            Line(f"real {partial} = {START[op.kind]};"),
            Line(grown(op.kind, partial, value)),
            Line(f"const real {result} = block_{op.kind}({partial});", self.units.equation(op)),
        )

    def _scalar_stores(self, statements: tuple[Statement, ...]) -> list[Line]:
        """One thread stores what every thread computed; where others may read from that place, once all have."""
        stores = [_by_one(store) for s in statements for store in self.units.store(s)]
        places = [s.out for s in statements if s.out is not None]
        meet = any(self.units.arguments.reread(ref) for ref in places)
        return [*([Line("__syncthreads();")] if meet else []), *stores]


def _by_one(store: str) -> Line:
    return Line(f"if (threadIdx.x == 0) {store}")
