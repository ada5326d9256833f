"""A kernel of the program as CUDA: what one thread does for a unit, or one block for a row where its units meet; and
the launch of it over rows that lie anywhere in their arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from symcell.cell import Shape, Size, units
from symcell.emit.c_family.arguments import Argument, Arguments, Length, Pointer
from symcell.emit.c_family.names import Names
from symcell.emit.c_family.rowwise import PhaseLines, Rowwise
from symcell.emit.c_family.units import ALONE, INDEX, Line, Load, Loop, Units, Walk, along_rows
from symcell.emit.cupy.matrix_rows import MatrixRows, RowsView, kind_of
from symcell.graph import Op, Reduce
from symcell.program.model import Buffer, Kernel, Phase, Program, Ref, Statement, Storage

OWN = (
    "warp_sum", "warp_max", "block_sum", "block_max", "in", "kept",
    "stored", "narrowed", "widened", "rounded", "NARROW", "lanes", "row_lanes", "row_mask", "row_sum", "row_max",
)  # fmt: skip
"""Device functions that put threads together, a unit's operands, whether memory keeps what it leaves, and how numbers
lie there."""


@dataclass(frozen=True)
class PhaseView:
    """Part of a kernel: ``before`` the loop over ``units`` (C code), in the loop, ``after`` it. ``walks``: the
    steps for which the threads of a warp share a unit. ``indices``: the lines that say where in a matrix a unit is.
    ``rows``: units are rows of a matrix, and this is done with each instead of a ``body``."""

    barrier: bool
    before: tuple[Line, ...]
    units: str
    walks: tuple[Op, ...]
    indices: tuple[Line, ...]
    body: tuple[Line, ...]
    after: tuple[Line, ...]
    rows: RowsView | None = None

    @property
    def lanes(self) -> bool:
        """Whether a warp has one unit, else a thread."""
        return bool(self.walks)


@dataclass(frozen=True)
class Start:
    """The first row of a reference in its array."""

    name: str
    ref: Ref


@dataclass(frozen=True)
class KernelView:
    """A kernel in CUDA: a function for one unit or one row of blocks of rows, and its launch over all of them.

    ``arguments``: of the function, behind the row and, where each unit is by itself, the unit; ``loads``: what such a
    unit reads, before anything is computed. ``starts``: of the
    launch alone, by pointer: the row at which those that it works on begin. ``strides``: by pointer, how far apart
    rows are. ``widths``: the threads that its loops have work for; ``most``: the threads of a block at most. ``ops``:
    what it computes. ``results``: what the function calls values, ``stores`` the lines that store these; ``leaves``:
    those of a unit that it returns; ``spares``: those that it stores only if it is told to.
    """

    name: str
    rowwise: bool
    arguments: tuple[Argument, ...]
    starts: Mapping[str, Start]
    strides: Mapping[str, str]
    constants: tuple[Line, ...]
    rows: tuple[Line, ...]
    loads: tuple[Load, ...]
    phases: tuple[PhaseView, ...]
    widths: tuple[Size, ...]
    most: int
    ops: tuple[Op, ...]
    results: Mapping[str, str]
    stores: Mapping[str, str]
    leaves: tuple[str, ...] = ()
    spares: tuple[str, ...] = ()

    @property
    def function(self) -> str:
        """What does one row or unit."""
        return body_name(self.name, self.rowwise)

    @property
    def reader(self) -> str:
        """What reads a unit's operands; the structure that they are members of is called ``…_in``, that of what a unit
        leaves ``…_out``."""
        return f"{self.name}_read"

    @property
    def unit_lines(self) -> tuple[Line, ...]:
        """What the function does for a unit that is by itself."""
        spared = {self.stores[name] for name in self.spares}
        lines = self.phases[0].body
        return tuple(Line(f"if (kept) {line.code}") if line.code in spared else line for line in lines)

    @property
    def warps(self) -> frozenset[str]:
        """The kinds of reductions for which the threads of a warp meet."""
        return frozenset(kind_of(op) for phase in self.phases for op in phase.walks)

    @property
    def passes(self) -> tuple[RowsView, ...]:
        """The phases that go over a matrix row by row."""
        return tuple(phase.rows for phase in self.phases if phase.rows is not None)

    @property
    def blocks(self) -> frozenset[str]:
        """The kinds of reductions for which the threads of a block meet."""
        return frozenset(op.kind for op in self.ops if isinstance(op, Reduce) and op.axis is None)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Declarations of all that the function is called with."""
        unit = () if self.rowwise else ("const int unit",)
        return ("const long long row", *unit, *(_declaration(a) for a in self.arguments))

    @property
    def launched(self) -> tuple[str, ...]:
        """Declarations of all that the launch is called with."""
        rows = () if self.rowwise else ("long long rows",)
        return (*rows, *(_declaration(a, alone=True) for a in self.all_arguments))

    @property
    def all_arguments(self) -> tuple[Argument | Start, ...]:
        """The launch's arguments, behind the number of rows, where a block may have several."""
        pairs = ((a, self.starts.get(a.name)) for a in self.arguments)
        return tuple(found for pair in pairs for found in pair if found is not None)

    @property
    def passed(self) -> tuple[str, ...]:
        """What the launch hands to the function."""
        unit = () if self.rowwise else ("unit",)
        return ("row", *unit, *(self._passed(a) for a in self.arguments))

    @property
    def pointers(self) -> tuple[str, ...]:
        """The names of the function's parameters, all but the operands."""
        return ("row", "unit", *(a.name for a in self.arguments))

    def _passed(self, argument: Argument) -> str:
        start = self.starts.get(argument.name)
        return argument.name if start is None else f"{argument.name} + {start.name}{self.strides[argument.name]}"


def body_name(kernel: str, rowwise: bool) -> str:
    """The function that does one row or unit of a kernel."""
    return f"{kernel}_row" if rowwise else f"{kernel}_unit"


def functions_of(kernel: str) -> tuple[str, ...]:
    """All names that a kernel's functions and structures have."""
    return tuple(f"{kernel}_{part}" for part in ("row", "unit", "read", "in", "out", "early", "ahead"))


def number_type(storage: Storage) -> str:
    """The type in CUDA of numbers in memory: they are computed with as ``real``."""
    return "stored" if storage == "stored" else "real"


def _declaration(argument: Argument | Start, *, alone: bool = False) -> str:
    """``alone``: compilers may be told what no other pointer reaches."""
    if not isinstance(argument, Pointer):
        return f"const long long {argument.name}"
    kind = f"{'' if argument.written else 'const '}{number_type(argument.storage)}*"
    return f"{kind} __restrict__ {argument.name}" if alone and argument.alone else f"{kind} {argument.name}"


def kernel(
    made: Kernel, program: Program, equation: Callable[[Op], str], taken: Iterable[str], *, steps: bool
) -> KernelView:
    """The kernel as CUDA. ``equation``: the comment for a step; ``taken``: names that the kernels' functions have;
    ``steps``: whether it computes one step of the sequence, or all at once."""
    names = Names((*taken, *OWN, *functions_of(made.name)))
    arguments = Arguments(made, program, names, direct=not made.rowwise, stored=number_type("stored"))
    writer = _Writer(made, Units(program, arguments, names, equation, "" if made.rowwise else "in."))
    phases = writer.rowwise(steps=steps) if made.rowwise else (writer.unitwise(made.phases[0]),)
    pointers = [a for a in arguments if isinstance(a, Pointer)]
    strides = {a.name: arguments.stride(a.ref) for a in pointers if program.buffers[a.ref.buffer].extent != "fixed"}
    begins = _in_step if steps else _in_sequence
    moved = [a for a in pointers if a.name in strides and begins(program.buffers[a.ref.buffer], a.ref.shift)]
    lengths = sorted((a for a in arguments if isinstance(a, Length)), key=lambda a: a.size)
    constants = tuple(map(Line, writer.units.constants.values()))
    widths = dict.fromkeys(_threads(phase) for phase in made.phases)
    # registers last for more threads only where compilers are told; matrices need these to keep memory busy, and 512
    # are as many as leave each so many registers that nothing spills
    most = 512 if made.rowwise and any(len(p.span) == 2 for p in made.phases) else 256
    return KernelView(
        made.name,
        made.rowwise,
        (*lengths, *pointers),
        {a.name: Start(names.get(("start", a.ref), f"{a.name.removesuffix('_rows')}_at"), a.ref) for a in moved},
        strides,
        constants,
        tuple(map(Line, arguments.rows)),
        tuple(writer.loads),
        phases,
        tuple(widths),
        most,
        tuple(op for statement in made.statements() for op in statement.ops),
        writer.units.registers,
        {} if made.rowwise else writer.stored(made.phases[0]),
    )


def _in_step(buffer: Buffer, shift: int) -> bool:
    """Whether rows of one step may begin elsewhere than where their array does."""
    return buffer.extent != "local" and (buffer.extent != "ring" or buffer.depth > 0)


def _in_sequence(buffer: Buffer, shift: int) -> bool:
    """The same for the rows of all steps; those of other shifts are gathered."""
    return buffer.depth > 0 and shift == buffer.depth


def _threads(phase: Phase) -> Size:
    """How many threads a phase has work for."""
    by_warps = phase.turns or _walks(phase)
    return units(phase.span[:1] if phase.turns else phase.span) * Size.of(32 if by_warps else 1)


def _walks(phase: Phase) -> tuple[Op, ...]:
    """The steps for which the threads of a warp share a unit: where all that the units of a phase walk over are rows of
    matrices, so that neighbouring threads read neighbouring numbers."""
    walks = {s.op.out: along_rows(s.op) for s in phase.body if along_rows(s.op) is not None}
    return tuple(s.op for s in phase.body if s.op.out in walks) if all(walks.values()) else ()


WARP = Walk("lane", "k += 32", joined=lambda kind: f"warp_{kind}")
"""The threads of a warp, each a ``lane``, share a unit and its walks."""


@dataclass
class _Writer:
    """Prints a kernel. Threads of a block meet where the units of a row do."""

    kernel: Kernel
    units: Units
    loads: list[Load] = field(default_factory=list)

    def unitwise(self, phase: Phase) -> PhaseView:
        """Every unit by itself: one loop, over all units of all rows. Operands are read by a function of their own."""
        loop = self.units.loop((*phase.scalars, *phase.body), walk=_walk(phase))
        self.loads, loop.loads = loop.loads, []
        return self._view(phase, PhaseLines((), loop, (), (), ()))

    def rowwise(self, *, steps: bool) -> tuple[PhaseView, ...]:
        """Every row by itself."""
        rows = Rowwise(self.units, self)
        views = [self._phase(phase, rows, steps) for phase in self.kernel.phases]
        # a unit that was a thread's is a warp's now, or the other way round: others have stored what it reads
        for (_, before), (k, view) in pairwise((k, view) for k, view in enumerate(views) if view.rows is None):
            views[k] = replace(view, barrier=view.barrier or before.lanes != view.lanes)
        return tuple(views)

    def _phase(self, phase: Phase, rows: Rowwise, steps: bool) -> PhaseView:
        if not phase.turns:
            return self._view(phase, rows.phase(phase, _walk(phase)))
        found = MatrixRows(self.units, rows, phase, steps=steps).view()
        length = self.units.arguments.length(phase.span[0])
        return PhaseView(phase.barrier, found.around.before, length, (), (), (), found.around.after, found)

    def stored(self, phase: Phase) -> dict[str, str]:
        """The line that stores each result of units."""
        statements = (*phase.scalars, *phase.body)
        return {self.units.registers[s.op.out]: line for s in statements for line in self.units.store(s)}

    def joined(self, kind: str, partial: str) -> str:
        return f"block_{kind}({partial})"

    def stores(self, statements: tuple[Statement, ...]) -> list[Line]:
        """One thread stores what every thread computed; where others may read from that place, once all have."""
        stores = [Line(f"if (threadIdx.x == 0) {store}") for s in statements for store in self.units.store(s)]
        places = [s.out for s in statements if s.out is not None and not isinstance(s.op, Reduce)]
        meet = any(self.units.arguments.reread(ref) for ref in places)
        return [*([Line("__syncthreads();")] if meet else []), *stores]

    def _view(self, phase: Phase, lines: PhaseLines) -> PhaseView:
        loop, walks = lines.loop, _walks(phase)
        alone = "if (lane == 0) " if walks else ""
        ends = [f"{alone}{line}" for line in (*(line.code for line in lines.sums), *loop.stores)]
        read = [Line("__syncwarp();")] if walks and ends else []  # all lanes have read what one may write over
        body = (*loop.loads, *loop.lines, *read, *map(Line, ends))
        length = self.units.arguments.length(units(phase.span))
        indices = self._indices(phase.span, loop)
        return PhaseView(phase.barrier, lines.before, length, walks, indices, body, lines.after)

    def _indices(self, span: Shape, loop: Loop) -> tuple[Line, ...]:
        """Row and column of a unit, in 32 bits since longer divisions are slow."""
        if not loop.indices:
            return ()
        columns = self.units.length(span[1])
        lines = {INDEX[0]: f"const int i = unit / (int){columns};", INDEX[1]: f"const int j = unit % (int){columns};"}
        return tuple(Line(code) for index, code in lines.items() if index in loop.indices)


def _walk(phase: Phase) -> Walk:
    return WARP if _walks(phase) else ALONE
