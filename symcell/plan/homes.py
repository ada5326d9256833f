"""Where each varying value lives: which buffer, and which of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import sympy

from symcell.cell import Size
from symcell.fresh import Names
from symcell.graph import Op, Operand, Pointwise, name_of
from symcell.plan.schedule import Gemm, Schedule, Stage, operands_of, outs_of
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At

Extent = Literal["whole", "tape", "step", "carried"]


@dataclass(frozen=True)
class Buffer:
    """Values side by side, one row per sample.

    ``extent``: ``whole`` holds all steps; ``tape`` all steps where the tape is kept, else one; ``step`` one step;
    ``carried`` the ``depth`` steps outside the sequence and either all inside it (``history``) or as many as are read.
    """

    name: str
    members: tuple[str, ...]
    extent: Extent
    depth: int = 0
    history: Extent = "step"


@dataclass(frozen=True)
class Home:
    """A value's place: the columns from ``column`` on of a buffer."""

    buffer: str
    column: Size


@dataclass(frozen=True)
class Homes:
    """The buffers of a sweep, and the home of every value in it (given ones included)."""

    buffers: tuple[Buffer, ...]
    of: Mapping[str, Home]

    def buffer(self, value: str) -> Buffer:
        return next(b for b in self.buffers if b.name == self.of[value].buffer)


def assign(
    schedule: Schedule, kept: Iterable[str], outputs: Iterable[str], chains: list[list[str]], given: Mapping[str, Home]
) -> Homes:
    """Give every computed varying value of ``schedule`` a home.

    ``kept`` are stored for another sweep, ``outputs`` are returned whole, ``chains`` are to lie side by side in this
    order. A value that only the next step of its formula reads is computed in the place of that step's result.
    """
    return _Assigner(schedule, set(kept), set(outputs), chains, given).homes()


class _Assigner:
    def __init__(
        self, schedule: Schedule, kept: set[str], outputs: set[str], chains: list[list[str]], given: Mapping[str, Home]
    ) -> None:
        self.schedule, self.graph = schedule, schedule.graph
        self.kept, self.outputs, self.chains, self.given = kept, outputs, chains, given
        self.region = schedule.region
        self.made_by: dict[str, Stage] = {}
        self.readers: dict[str, list[tuple[str, Stage, Operand]]] = {}
        for region, stage in schedule.stages():
            for out in outs_of(stage):
                self.made_by[out] = stage
            for operand in operands_of(stage):
                self.readers.setdefault(name_of(operand), []).append((region, stage, operand))
        self.used_by: dict[str, list[Op]] = {}
        for op in self.graph.steps:
            for name in {name_of(o) for o in op.operands()}:
                self.used_by.setdefault(name, []).append(op)
        self.varying = [op.out for op in self.graph.steps if not self.graph.values[op.out].fixed]
        self.alone: set[str] = set()
        self.alone = {name for stage in self.made_by.values() for name in self._torn(stage)}

    def extent(self, name: str) -> Extent:
        if name in self.graph.carried:
            return "carried"
        abroad = any(region != self.region[name] for region, _, _ in self.readers.get(name, ()))
        if abroad or name in self.outputs or self.region[name] in ("before", "after"):
            return "whole"
        return "tape" if name in self.kept else "step"

    def root(self, name: str) -> str:
        """The value in whose place ``name`` is computed: the last of a chain of steps that overwrite each other."""
        while name not in self.alone and (reader := self._only_reader(name)) is not None:
            name = reader
        return name

    def _only_reader(self, name: str) -> str | None:
        """The step that ``name`` may be overwritten by; of several values it could overwrite, it takes one."""
        ops = self.used_by.get(name, [])
        if len(ops) != 1 or not self._may_move(name, ops[0]):
            return None
        rivals = [name_of(o) for o in ops[0].operands() if isinstance(o, At) and self._may_move(name_of(o), ops[0])]
        rivals.sort(key=lambda n: (not isinstance(self.made_by[n], Gemm), n))
        return ops[0].out if rivals[0] == name else None

    def _may_move(self, name: str, op: Op) -> bool:
        if (
            name not in self.made_by
            or name in self.alone
            or len(self.used_by[name]) != 1
            or not isinstance(op, Pointwise)
        ):
            return False
        if name in self.kept or name in self.outputs or name in self.graph.carried:
            return False
        if self.region[op.out] != self.region[name] or self.graph.size(op.out) != self.graph.size(name):
            return False
        whole_carried = op.out in self.graph.carried and self.region[name] != "loop"
        return not whole_carried and in_place(op.body, At(name))

    def _torn(self, stage: Stage) -> tuple[str, ...]:
        """Outputs of a stacked product whose roots cannot lie side by side."""
        if not isinstance(stage, Gemm) or len(stage.outs) == 1:
            return ()
        roots = [self.root(o) for o in stage.outs]
        fits = len(set(roots)) == len(roots) and len({self.extent(r) for r in roots}) == 1
        fits = fits and not any(r in self.graph.carried for r in roots)
        return () if fits else stage.outs

    def homes(self) -> Homes:
        groups, taken = self._groups()
        for name in self.varying:
            root = self.root(name)
            if root not in taken:
                taken.add(root)
                groups.append([root])
        names = Names({*self.graph.values, *(h.buffer for h in self.given.values())} - set(self.varying))
        buffers, of = [], dict(self.given)
        for group in groups:
            buffer = self._buffer(names.fresh(_title(group)), group)
            buffers.append(buffer)
            column = Size()
            for member in group:
                of[member] = Home(buffer.name, column)
                column = column + self.graph.size(member)
        for name in self.varying:
            of[name] = of[self.root(name)]
        return Homes(tuple(buffers), of)

    def _groups(self) -> tuple[list[list[str]], set[str]]:
        groups: list[list[str]] = [list(chain) for chain in self.chains]
        taken = {name for chain in self.chains for name in chain}
        for stage in dict.fromkeys(self.made_by.values()):
            if isinstance(stage, Gemm) and len(stage.outs) > 1:
                roots = [self.root(o) for o in stage.outs]
                if taken & set(roots):
                    self.alone |= set(stage.outs)
                    roots = list(stage.outs)
                groups.append(roots)
                taken |= set(roots)
        return groups, taken

    def _buffer(self, name: str, group: list[str]) -> Buffer:
        extents = {self.extent(m) for m in group}
        if "carried" in extents:
            (member,) = group
            kinds: tuple[Extent, ...] = (
                ("whole",) if self._read_whole(member) else ("tape",) if member in self.kept else ("step",)
            )
            return Buffer(name, (member,), "carried", self.graph.carried[member], kinds[0])
        extent: Extent = next(e for e in ("whole", "tape", "step") if e in extents)
        return Buffer(name, tuple(group), extent)

    def _read_whole(self, name: str) -> bool:
        abroad = any(region != self.region[name] for region, _, _ in self.readers.get(name, ()))
        return abroad or name in self.outputs or self.region[name] != "loop"


def _title(group: list[str]) -> str:
    joined = "_".join(group)
    return joined if len(joined) <= 24 else f"{group[0]}_to_{group[-1]}"


def in_place(body: sympy.Expr, atom: At) -> bool:
    """Whether ``body`` can be computed in the place of ``atom``: it is read once, along a path of plain arithmetic."""
    if body == atom:
        return True
    holding = [a for a in body.args if a.has(atom)]
    if len(holding) != 1:
        return False
    plain = isinstance(body, sympy.Add | sympy.Mul) or (isinstance(body, sympy.Pow) and body.exp.is_number)
    return (plain or isinstance(body, IN_PLACE)) and in_place(holding[0], atom)


IN_PLACE = (
    fn.Sigmoid,
    fn.Tanh,
    fn.Relu,
    fn.Exp,
    fn.Log,
    fn.Sqrt,
    fn.Abs,
    fn.Sin,
    fn.Cos,
    fn.HardTanh,
    fn.HardSigmoid,
    fn.Sign,
)
"""Functions of one argument that every target computes without reading it twice."""
