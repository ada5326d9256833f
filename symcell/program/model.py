"""A program as typed data: buffers, references into them, stages, and the regions of time in which stages run.

Rows. A buffer of varying values has a row for every step and sample. Samples are sorted by length, longest first, so
the ``counts[t]`` that still run at step t are the first ones; a sequence's rows follow each other step by step. A
buffer of ``depth`` d has d more steps at its beginning, of ``batch`` rows each. Its *slots* 0, 1, …, d + T start at

    starts[k] = k * batch for k < d,  starts[d + t] = d * batch + counts[0] + … + counts[t - 1]

and step t, reading or writing a reference of ``shift`` s, works on the first ``counts[t]`` rows from ``starts[t + s]``.
(A forward sweep keeps a value of step t in slot t + d, so that lag k has the shift d - k; a backward sweep keeps what
it carries in slot t, the slot of what step t - d reads. Only the planner knows this: everything else sees shifts.)

``ring`` buffers hold d + 1 slots of ``batch`` rows: slot k starts at ``k % (d + 1) * batch``. ``local`` ones hold one
step. ``tape`` ones are like ``whole`` where the tape is kept, else like ``ring`` (of depth 0: like ``local``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, TypeAlias

import sympy

from symcell.cell import Cell, Shape, Size, units
from symcell.graph import Block, Graph, Op, Operand
from symcell.notebook import Table

if TYPE_CHECKING:
    from symcell.program.checkpoints import MemoryUse
    from symcell.program.stretches import Stretches

Role = Literal["forward", "backward", "tangent", "second"]
"""What a program computes: a cell's steps; the gradients of these; the steps and their tangents, in some direction; and
the gradients of the tangents, which are second derivatives."""

Extent = Literal["whole", "tape", "ring", "local", "fixed"]

Origin = Literal["own", "input", "seed", "tape", "params", "directions", "grads", "constant"]
"""Who makes a buffer: the program itself; a caller's input, or gradient by the output (rows in sorted order); the
forward program (it was on the tape); the parameters' flat buffer, that of their tangents and that of their gradients; a
constant array."""


Storage = Literal["stored", "real", "bool"]
"""What a buffer holds: numbers of the parameters' type; numbers of the type that is computed in, which is float32 where
the parameters are of 16 bits, and theirs otherwise; or conditions (:mod:`symcell.program.storage` decides)."""


@dataclass(frozen=True)
class Profile:
    """What a target's planner has to know of it.

    ``registers``: a kernel computes many equations, and what nothing else reads stays in registers; else every equation
    is a call of its own and writes to memory, one call for all equations of one formula whose values lie side by side.

    ``paced``: samples are at different stages of a step at one time, each on its way; so rows of different widths share
    no memory there. ``adds``: a product can be added to what stands where it goes, without room of its own.
    ``stretches``: sweeps run in stretches of steps where that saves memory (:mod:`symcell.program.stretches`).
    ``packs``: products read copies of their matrices (:mod:`symcell.program.packs`). ``wide``: a sweep works on copies
    of what is of 16 bits, in the type that is computed in, and rounds what it leaves; else its buffers are of 16 bits
    themselves where their :data:`Storage` says so. ``on_chip``: threads that share a sample have its matrices at hand
    while steps run; what stays within the rows of one is one pass over it.
    """

    name: str
    registers: bool
    paced: bool = False
    adds: bool = False
    stretches: bool = False
    packs: bool = False
    wide: bool = False
    on_chip: bool = False


@dataclass(frozen=True)
class Member:
    """A value in a buffer: ``units(shape)`` columns of every row, a matrix row by row."""

    name: str
    shape: Shape

    @property
    def width(self) -> Size:
        return units(self.shape)


@dataclass(frozen=True)
class Buffer:
    """Values side by side. ``slot``: the memory it lies in; own buffers whose lifetimes do not meet share one, in which
    each is a contiguous array of its own width. ``zeroed``: all zero before the first stage.

    A buffer of extent ``fixed`` has no rows: its members are arrays of their own shape one after the other (so that
    matrices of one width stack).
    """

    name: str
    members: tuple[Member, ...]
    extent: Extent
    depth: int = 0
    origin: Origin = "own"
    storage: Storage = "real"
    slot: str = ""
    zeroed: bool = False

    def offset(self, index: int) -> Size:
        """The columns (of a fixed buffer: the numbers) before member ``index``."""
        return self._offsets[index]

    @cached_property
    def _offsets(self) -> tuple[Size, ...]:
        return tuple(accumulate((member.width for member in self.members), initial=Size()))

    @property
    def width(self) -> Size:
        return self.offset(len(self.members))


@dataclass(frozen=True)
class Ref:
    """The members ``first`` … ``first + count - 1`` of a buffer, at slot ``t + shift``."""

    buffer: str
    first: int = 0
    count: int = 1
    shift: int = 0


# what a kernel does


@dataclass(frozen=True)
class Temp:
    """An intermediate result of a body, as wide as the statement: room number ``number`` (from 0) of its ``work``."""

    number: int


@dataclass(frozen=True)
class Out:
    """The statement's result."""


@dataclass(frozen=True)
class Mask:
    """Room for a condition."""


Place: TypeAlias = Temp | Out | Mask
Arg: TypeAlias = Operand | sympy.Expr | Place
"""An operand as it stands in the body, a number (Integer, Float, Constant, Count), or an intermediate result."""


@dataclass(frozen=True)
class Call:
    """One call over arrays: ``out = function(*args)``; the function is a row of the table, or arithmetic's own
    (``add subtract multiply divide negative reciprocal square sqrt power copy``; ``select``: args (mask, then) into
    what stands in ``out`` already)."""

    function: type[sympy.Function] | str
    args: tuple[Arg, ...]
    out: Place


@dataclass(frozen=True)
class Statement:
    """One equation of the graph, or several neighbouring ones of one formula, computed as one.

    ``ops``: the equations, in the order in which their results lie; the first stands for all. ``shape``: of one result.
    ``out``: where the result lies, ``len(ops)`` members wide; None: in a register, for later statements of the kernel.
    ``reads``: where the first equation's operands lie. One of ``len(ops)`` members is read along with the result, each
    equation its own: of the result's shape, or smaller (three gates' means, each for the units of its gate, so that the
    statement runs over (rows, equations, *shape)); one of a single member is read by every equation. An operand that is
    missing here is in the register of an earlier statement.
    ``calls``: the body as calls over arrays, in order (only where the profile has no registers), with ``work`` their
    temporaries and ``mask`` a bool buffer, if they need any. ``as_stored``: of what is in registers, that which counts
    as read from memory: where such values are stored in 16 bits it is rounded as if it had been.
    """

    ops: tuple[Op, ...]
    shape: Shape
    out: Ref | None
    reads: Mapping[Operand, Ref]
    calls: tuple[Call, ...] = ()
    work: tuple[Ref, ...] = ()
    mask: Ref | None = None
    as_stored: frozenset[Operand] = frozenset()

    @property
    def op(self) -> Op:
        return self.ops[0]


@dataclass(frozen=True)
class Phase:
    """Part of a kernel. ``scalars``: values of one unit, computed by every thread. ``body``: values of ``span``, unit
    by unit. ``reductions``: over all units of the span (Reduce steps with axis None); their results are scalars known
    to every thread from the next phase on. ``barrier``: threads of a row meet before it, so that it reads what other
    threads stored in earlier phases.

    ``turns``: empty, or the span is a matrix whose rows are walked over one by one. The body then makes elements,
    totals along a row, and values with one unit a row, from what is of that row; for each there stands the loop over
    the columns, counted from 0, that it is in, or comes before (a value of the row). An element that a later loop reads
    lies in memory, where the same thread finds it; a value of the row is known to all threads that have the row.
    """

    span: Shape
    scalars: tuple[Statement, ...] = ()
    body: tuple[Statement, ...] = ()
    reductions: tuple[Statement, ...] = ()
    barrier: bool = False
    turns: tuple[int, ...] = ()

    def of_row(self, statement: Statement) -> bool:
        """Whether a statement of the body makes one unit for each row of the span."""
        return bool(self.turns) and len(statement.shape) < len(self.span)


@dataclass(frozen=True)
class Kernel:
    """Statements that run as one launch (a profile with registers), or one call sequence (without: one phase, one
    statement). ``rowwise``: the units of a row meet in it, so one block of threads has the whole row; else each unit of
    each row is by itself, in a single phase.

    Statements of a body are Pointwise; or a Reduce along an axis or a Contraction of a varying matrix, in which each
    unit of the result walks over the other axis (their operands lie in memory). ``rounds``: what is rounded behind it
    where parameters are of 16 bits, if assigning does not do that.
    """

    name: str
    phases: tuple[Phase, ...]
    rowwise: bool
    rounds: tuple[Ref, ...] = ()

    def statements(self) -> Iterator[Statement]:
        for phase in self.phases:
            yield from (*phase.scalars, *phase.body, *phase.reductions)


# the other stages


@dataclass(frozen=True)
class Gemm:
    """``out = left @ matrix`` over rows, ``matrix`` being members of a fixed buffer stacked one below the other.

    Not ``transposed``: each member is W of ``W @ v``, so rows are multiplied by the stack's transpose, and ``out``
    has a member for each. ``transposed``: each is W of ``W.T @ v``, rows are multiplied by the stack itself, and
    ``left`` has a member for each. ``columns``: of the stored matrices, only these. ``accumulate``: added to what
    stands in ``out``; ``work`` is then room for the product, where the target needs that. ``ops``: the equations.
    """

    ops: tuple[Op, ...]
    out: Ref
    left: Ref
    matrix: Ref
    transposed: bool = False
    columns: Block | None = None
    accumulate: bool = False
    work: Ref | None = None


@dataclass(frozen=True)
class Gradient:
    """``out = leftᵀ @ right`` over all steps and samples: gradients of stacked matrices with one right operand."""

    ops: tuple[Op, ...]
    out: Ref
    left: Ref
    right: Ref


@dataclass(frozen=True)
class Sums:
    """``out = Σ arg`` over all steps and samples."""

    ops: tuple[Op, ...]
    out: Ref
    arg: Ref


@dataclass(frozen=True)
class Fixed:
    """A step over fixed values, once a call: any kind of the graph. ``calls``, ``work``, ``mask`` as in
    :class:`Statement`, for a pointwise one."""

    op: Op
    out: Ref
    reads: Mapping[Operand, Ref]
    calls: tuple[Call, ...] = ()
    work: tuple[Ref, ...] = ()
    mask: Ref | None = None


@dataclass(frozen=True)
class Copy:
    """``out = source``: rows to their slots (whole sequences), or a fixed value to its place (added, if ``add``)."""

    out: Ref
    source: Ref
    add: bool = False


@dataclass(frozen=True)
class EdgeSum:
    """``out = Σ`` of what leaves at ``state``'s edge (its :class:`Leave`, whose buffers are complete by now) over
    steps and samples; zero where the caller passed that state, and a learned start was not used."""

    op: Op
    out: Ref
    state: str


Stage = Kernel | Gemm | Gradient | Sums | Fixed | Copy | EdgeSum


@dataclass(frozen=True)
class Region:
    """Stages that run one after the other: ``sequence``: each over all steps at once; ``steps``: all for one step, then
    all for the next (``direction`` -1: from the last step to the first).

    ``inputs_only``: positions of stages that only gradients by the inputs depend on.
    """

    kind: Literal["sequence", "steps"]
    stages: tuple[Stage, ...]
    direction: Literal[1, -1] = 1
    inputs_only: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Enter:
    """Filled before the first stage: the ``depth`` slots outside the sequence of ``buffer``, from what the caller
    passes for ``state`` (forward: slots 0 … depth-1; backward: the ``depth`` slots from each sample's own end on),
    else from the parameter ``start`` (in every step and sample), else zero. ``unless``: a state; ``start`` is added to
    what the caller passes, unless that state is passed too (the tangent of a learned start, which then is not used)."""

    state: str
    buffer: str
    depth: int
    start: Ref | None = None
    unless: str = ""


@dataclass(frozen=True)
class Leave:
    """What the caller gets back for ``state``, (depth, batch, *shape): the sum over ``buffers``, each with its own
    depth d ≤ ``depth``, of d slots (forward: from each sample's own end on, slots ends … ends + d - 1; backward:
    slots 0 … d-1), which fill the last d places."""

    state: str
    buffers: tuple[tuple[str, int], ...]
    depth: int
    shape: Shape


@dataclass(frozen=True)
class Program:
    """One function of an emitted module. ``graph``: whose equations it computes. ``labels``: of equations, from the
    cell's text. ``results``: forward: the outputs' rows under their names; backward: the gradient by each input (None:
    zero). ``tape``: names of the buffers that the forward program hands to the backward one. ``numbers``: of the
    derivation's formulas, by the values that they compute."""

    role: Role
    profile: Profile
    graph: Graph
    buffers: Mapping[str, Buffer]
    regions: tuple[Region, ...]
    enters: tuple[Enter, ...]
    leaves: tuple[Leave, ...]
    results: Mapping[str, Ref | None]
    tape: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)

    @property
    def ahead(self) -> bool:
        """Whether states enter before the first step, and a tape is made rather than read."""
        return self.role in ("forward", "tangent")

    def stages(self) -> Iterator[tuple[Region, Stage]]:
        for region in self.regions:
            for stage in region.stages:
                yield region, stage

    @cached_property
    def stretches(self) -> Stretches | None:
        """How it runs in stretches of steps; None where it does not."""
        from symcell.program.stretches import stretches

        return stretches(self)

    def window(self, ref: Ref) -> tuple[Member, ...]:
        """The members that a reference names."""
        return self.buffers[ref.buffer].members[ref.first : ref.first + ref.count]


@dataclass(frozen=True)
class Plan(Table):
    """All programs of a cell for one target, and the order of its parameters in the flat buffer.

    ``stash``: values stored at every step for the backward program. ``again``: values that it computes again.
    ``dots``: where there are programs for second derivatives, what the tangent of each parameter, input, state and of
    the output is called there.
    """

    cell: Cell
    programs: Mapping[Role, Program]
    parameters: tuple[str, ...]
    stash: tuple[str, ...]
    again: tuple[str, ...]
    dots: Mapping[str, str] = field(default_factory=dict)

    @property
    def pairs(self) -> tuple[tuple[Program, Program], ...]:
        """The programs, each that makes a tape with the one that reads it."""
        roles: tuple[tuple[Role, Role], ...] = (("forward", "backward"), ("tangent", "second"))
        return tuple((self.programs[one], self.programs[two]) for one, two in roles if two in self.programs)

    @property
    def forward(self) -> Program:
        return self.programs["forward"]

    @property
    def backward(self) -> Program:
        return self.programs["backward"]

    def memory(
        self, steps: int, batch: int, /, *, checkpoint: int | str | None = None, itemsize: int = 4, **sizes: int
    ) -> MemoryUse:
        """What a train step over T steps and B samples holds in memory, and what it computes again: every size of the
        cell is a keyword (``plan.memory(100_000, 1, checkpoint="sqrt", D=256, H=256)``), ``itemsize`` a parameter's
        bytes; numbers that are carried from step to step take 4 at least.

        Raises ValueError for sizes that are not the cell's, or a checkpoint that ``forward`` would not take.
        """
        from symcell.program.checkpoints import memory

        return memory(self, sizes, steps, batch, itemsize, checkpoint)

    def __str__(self) -> str:
        from symcell.program.report import report

        return report(self)

    def _rows(self) -> Iterator[tuple[str, str]]:
        from symcell.program.report import totals

        found = totals(self)
        yield "numbers in the parameters", sympy.latex(found.parameters)
        yield "operations of a step and sample, forward", sympy.latex(found.forward)
        yield "operations of a step and sample, backward", sympy.latex(found.backward)
        yield "numbers kept for each step and sample", sympy.latex(found.stash)
