"""Neighbouring stages as one C function, which Python calls once: threads share its rows, samples or sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from symcell.cell import Size, units
from symcell.emit.c.calls import Call, Callers, Pack, Packs
from symcell.emit.c.kernels import KernelView
from symcell.emit.c.meetings import Meetings
from symcell.emit.c.places import Places
from symcell.emit.c.record import Member, Record
from symcell.emit.c.runs import Numbered, runs
from symcell.emit.c_family.names import Names
from symcell.emit.python.scope import Scope
from symcell.emit.python.views import RegionViews
from symcell.graph import Pointwise
from symcell.program.access import made, reads, writes
from symcell.program.model import Gemm, Gradient, Kernel, Program, Region, Stage, Sums
from symcell.symbolic import functions as fn

CONTROL = ("total", "batch", "steps", "counts", "uniform", "need_x", "stretch")
"""Members that templates know by name: how many rows there are, the samples and steps, how many samples run at each
step, whether all sequences are of one length, whether gradients by the inputs are asked for, and how many steps a
stretch has."""

InC = Kernel | Gemm | Gradient | Sums
"""The stages that run in C; the others work on fixed values and edges, once a call, in Python."""


@dataclass(frozen=True)
class Part:
    """What threads do between two meetings.

    ``rows``: each its rows of the whole sequence, piece by piece (``split``: a piece lies within one step, where
    sequences have lengths). ``forward``, ``backward``: each its samples, step by step. ``results``: each some of the
    ``count`` rows of a sum, with ``scratch`` numbers of room. ``meets``: all meet before it.
    """

    kind: Literal["rows", "forward", "backward", "results"]
    calls: tuple[Call, ...]
    meets: bool
    split: bool = False
    count: str = ""
    scratch: str = ""


@dataclass(frozen=True)
class Group:
    """Parts that run one after the other; ``direction``: stretch by stretch, in this order of time; 0: once."""

    direction: Literal[1, 0, -1]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class SectionView:
    """A C function. ``offsets``: the first row of each step, if it asks for that; ``work``: operations per row, in
    Python; ``products``: the templates of matrix products that it needs."""

    name: str
    members: tuple[Member, ...]
    packs: tuple[Pack, ...]
    groups: tuple[Group, ...]
    offsets: str
    work: str
    products: frozenset[str]

    @property
    def scratch(self) -> tuple[tuple[str, str], ...]:
        """How many results are shared out, and the room that a thread needs for its own, for every sum that does."""
        return tuple(dict.fromkeys((part.count, part.scratch) for part in self.parts if part.scratch))

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for group in self.groups for part in group.parts)


@dataclass
class Section:
    """A C function while it is being printed. ``made``: the names of the values that it computes."""

    name: str
    scope: Scope
    kernels: Mapping[str, KernelView]
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._names = Names(fn.c_names())
        for name in CONTROL:
            self._names.get(name, name)
        self._record = Record(self.scope, self._names)
        self._packs = Packs(self._names)
        self._parts: list[tuple[bool, Part]] = []
        self._meetings = Meetings(self.scope.program)
        self._work = Size()
        self._products: set[str] = set()
        rows = "batch" if self.scope.kind == "step" else "pack.size"
        self._record.number("total", "total", rows)

    def add(self, region: Region, begins: int, stages: Iterable[Numbered], views: RegionViews) -> None:
        """More stages, of a region whose rows ``views`` finds, and whose first is the program's stage ``begins``."""
        found = self.scope.stretches
        for stretch, some in groupby(stages, lambda n: found is not None and found.has(begins + n[0])):
            self._add(region, list(some), views, stretch)

    def _add(self, region: Region, stages: list[Numbered], views: RegionViews, stretch: bool) -> None:
        self._work = sum((_work(self.scope.program, stage) for _, stage in stages), self._work)
        self._products |= {name for _, stage in stages for name in _products(stage, views.kind == "single")}
        self.made += [name for _, stage in stages for name in made(stage)]
        callers = Callers(Places(self._record, views, stretch), self._packs, self.kernels)
        if views.kind == "steps":
            self._record.number("steps", "steps", "len(pack.counts)")
            self._record.integers("counts", "counts", self._counts())
            calls = tuple(self._call(callers, region, numbered) for numbered in stages)
            meets = self._meets(stages, stretch)
            self._parts.append((stretch, Part("forward" if region.direction == 1 else "backward", calls, meets)))
            return
        for run in runs(callers.places, stages):
            self._parts.append((stretch, self._part(callers, region, run, self._meets(run, stretch))))

    def _meets(self, stages: Iterable[Numbered], stretch: bool) -> bool:
        """Whether threads meet before some stages; those that come before or after all stretches wait for them."""
        begins = bool(self._parts) and self._parts[-1][0] != stretch
        return self._meetings.before((stage for _, stage in stages), begins)

    def view(self) -> SectionView:
        """The function as the template reads it, once all its stages are there."""
        offsets = ""
        split = any(part.split for _, part in self._parts)
        if split:
            self._record.number("uniform", "uniform", "int(pack.order is None)")
        if split or any(stretch for stretch, _ in self._parts):
            offsets = Places(self._record, RegionViews(self.scope, "sequence")).offsets()
        packs, groups = tuple(self._packs.found.values()), self._groups()
        work, products = self.scope.factor(self._work), frozenset(self._products)
        if any(c.inputs_only for _, part in self._parts for c in part.calls):
            self._record.number("need_x", "need_x", "int(need_x)")
        return SectionView(self.name, self._record.members, packs, groups, offsets, work, products)

    def _groups(self) -> tuple[Group, ...]:
        """The parts, those that run in stretches together."""
        groups = []
        for stretch, found in groupby(self._parts, lambda pair: pair[0]):
            parts = tuple(part for _, part in found)
            if stretch:
                self._record.number("stretch", "stretch", self.scope.stretch())
            backward = any(part.kind == "backward" for part in parts)
            groups.append(Group((-1 if backward else 1) if stretch else 0, parts))
        return tuple(groups)

    def _counts(self) -> str:
        return self.scope.define("counts", "counts", "np.array(pack.counts, np.int64)")

    def _call(self, callers: Callers, region: Region, numbered: Numbered) -> Call:
        number, stage = numbered
        only = number in region.inputs_only
        assert isinstance(stage, Kernel | Gemm)
        return Call(callers.kernel(stage) if isinstance(stage, Kernel) else callers.gemm(stage, only), only)

    def _part(self, callers: Callers, region: Region, run: list[Numbered], meets: bool) -> Part:
        number, stage = run[0]
        if isinstance(stage, Gradient | Sums):
            size, scratch, lines = callers.gradient(stage) if isinstance(stage, Gradient) else callers.sums(stage)
            call = Call(lines, number in region.inputs_only)
            return Part("results", (call,), meets, count=self._record.length(size), scratch=scratch)
        split = any(callers.places.shifted(ref) for _, s in run for ref in (*reads(s), *writes(s)))
        return Part("rows", tuple(self._call(callers, region, numbered) for numbered in run), meets, split=split)


def _products(stage: Stage, single: bool) -> tuple[str, ...]:
    """The templates of matrix products that a stage needs, in ``step`` (``single``) or in a sweep."""
    match stage:
        case Gemm():
            return ("products", "plain") if single else ("products",)
        case Gradient() | Sums():
            return ("products", "gradients")
    return ()


def _work(program: Program, stage: Stage) -> Size:
    """About how many operations a stage takes for each row."""
    match stage:
        case Gemm():
            out, left = (sum((m.width for m in program.window(r)), Size()) for r in (stage.out, stage.left))
            return Size.of(2) * out * left
        case Gradient():
            left, right = (sum((m.width for m in program.window(r)), Size()) for r in (stage.left, stage.right))
            return Size.of(2) * left * right
        case Sums():
            return sum((m.width for m in program.window(stage.arg)), Size())
        case Kernel():
            parts = (units(s.shape) * Size.of(_operations(s.op)) for s in stage.statements())
            return sum(parts, Size())
    return Size()


def _operations(op: object) -> int:
    return fn.cost(op.body) if isinstance(op, Pointwise) else 2
