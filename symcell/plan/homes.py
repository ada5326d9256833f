"""Where each varying value lives: which buffer, and which of its members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

import sympy

from symcell.cell import ONE, units
from symcell.fresh import Names
from symcell.graph import Contraction, Op, Pointwise, lag_of, name_of
from symcell.plan.layout import formula
from symcell.plan.stages import Fused, Schedule, Stack, Stage, operands_of, outs_of
from symcell.program.model import Buffer, Extent, Member
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At


@dataclass(frozen=True)
class Homes:
    """The buffers that a sweep makes, by name, and for every value that is stored the buffer and the member it is."""

    buffers: Mapping[str, Buffer]
    of: Mapping[str, tuple[str, int]]
    stored: frozenset[str]


def assign(
    schedule: Schedule,
    kept: Iterable[str],
    outputs: Iterable[str],
    chains: list[list[str]],
    taken: Iterable[str],
    stored: frozenset[str],
    registers: bool,
    order: Mapping[str, tuple[int, int]],
) -> Homes:
    """Give every varying value of ``schedule`` that is ``stored`` in memory a home.

    ``kept`` are stored for another sweep, ``outputs`` are returned whole, ``chains`` are to lie side by side in this
    order, ``taken`` are names that buffers may not have, ``order`` says of values that are summed in which stack of
    results, and where in it. A value that only the next step of its formula reads is computed in the place of that
    step's result; not so one of one unit where the target has ``registers``.
    """
    return _Assigner(schedule, set(kept), set(outputs), chains, stored, registers, order).homes(set(taken))


class _Assigner:
    def __init__(
        self,
        schedule: Schedule,
        kept: set[str],
        outputs: set[str],
        chains: list[list[str]],
        stored: frozenset[str],
        registers: bool,
        order: Mapping[str, tuple[int, int]],
    ) -> None:
        self.registers, self.order = registers, order
        self.schedule, self.graph = schedule, schedule.graph
        self.kept, self.outputs, self.chains = kept, outputs, chains
        self.region = schedule.region
        self.stages = [stage for _, stage in schedule.all()]
        self.stacked: set[str] = set()
        self.computed: set[str] = set()
        self.readers: dict[str, set[str]] = {}
        for region, stage in schedule.all():
            self.computed.update(outs_of(stage))
            if isinstance(stage, Stack):
                self.stacked.update(outs_of(stage))
            for operand in operands_of(stage):
                self.readers.setdefault(name_of(operand), set()).add(region)
        self.used_by: dict[str, list[Op]] = {}
        for op in self.graph.steps:
            for name in {name_of(o): None for o in op.operands()}:
                self.used_by.setdefault(name, []).append(op)
        self.varying = [op.out for op in self.graph.steps if op.out in stored]
        self.stored = stored
        self.made = self.graph.producer()
        self.alone: set[str] = set()
        self._next: dict[str, str | None] = {}
        self._root: dict[str, str] = {}
        # where one value may not move, another may that was its rival, so until nothing changes
        while not (torn := {name for stage in self.stages for name in self._torn(stage)}) <= self.alone:
            self._set_alone(self.alone | torn)

    def _set_alone(self, names: set[str]) -> None:
        """Values that are not computed in the place of others, whatever they could be."""
        self.alone = names
        self._next.clear()
        self._root.clear()

    def extent(self, name: str) -> Extent:
        """How much of a value is kept at once; a carried one as much as is read of it."""
        abroad = any(region != self.region[name] for region in self.readers.get(name, ()))
        if abroad or name in self.outputs or self.region[name] != "loop":
            return "whole"
        if name in self.kept:
            return "tape"
        return "ring" if name in self.graph.carried else "local"

    def root(self, name: str) -> str:
        """The value in whose place ``name`` is computed: the last of a chain of steps that overwrite each other."""
        chain = []
        while name not in self._root and name not in self.alone and (reader := self._only_reader(name)) is not None:
            chain.append(name)
            name = reader
        root = self._root.get(name, name)
        self._root |= dict.fromkeys(chain, root)
        return root

    def _only_reader(self, name: str) -> str | None:
        """The step that ``name`` may be overwritten by; of several values it could overwrite, it takes one."""
        if name not in self._next:
            self._next[name] = self._find_only_reader(name)
        return self._next[name]

    def _find_only_reader(self, name: str) -> str | None:
        ops = self.used_by.get(name, [])
        if len(ops) != 1 or not self._may_move(name, ops[0]):
            return None
        rivals = [name_of(o) for o in ops[0].operands() if isinstance(o, At) and self._may_move(name_of(o), ops[0])]
        rivals.sort(key=lambda n: (n not in self.stacked, n))
        return ops[0].out if rivals[0] == name else None

    def _may_move(self, name: str, op: Op) -> bool:
        if not isinstance(op, Pointwise) or name not in self.computed or name in self.alone:
            return False
        if len(self.used_by[name]) != 1 or name in self.kept or name in self.outputs or name in self.graph.carried:
            return False
        shape = self.graph.shape(name)
        if self.region[op.out] != self.region[name] or self.graph.shape(op.out) != shape:
            return False
        if self.registers and units(shape) == ONE:
            return False  # every thread of a row reads it, and one writes the result
        whole_carried = op.out in self.graph.carried and self.region[name] != "loop"
        return not whole_carried and in_place(op.body, At(name))

    def _torn(self, stage: Stage) -> tuple[str, ...]:
        """Outputs of a stacked product whose roots cannot lie side by side."""
        if not isinstance(stage, Stack) or len(stage.ops) == 1:
            return ()
        outs = outs_of(stage)
        roots = [self.root(o) for o in outs]
        fits = len(set(roots)) == len(roots) and len({self.extent(r) for r in roots}) == 1
        fits = fits and not any(r in self.graph.carried for r in roots)
        return () if fits else outs

    def homes(self, taken: set[str]) -> Homes:
        groups, placed = self._groups()
        groups += self._alike(groups, placed)
        for name in self.varying:
            root = self.root(name)
            if root not in placed:
                placed.add(root)
                groups.append([root])
        names = Names((set(self.graph.values) | taken) - set(self.varying))
        buffers: dict[str, Buffer] = {}
        of: dict[str, tuple[str, int]] = {}
        for group in groups:
            buffer = self._buffer(names.fresh(_title(group)), group)
            buffers[buffer.name] = buffer
            of |= {member: (buffer.name, k) for k, member in enumerate(group)}
        for name in self.varying:
            of[name] = of[self.root(name)]
        return Homes(buffers, of, self.stored)

    def _groups(self) -> tuple[list[list[str]], set[str]]:
        groups: list[list[str]] = [list(chain) for chain in self.chains]
        taken = {name for chain in self.chains for name in chain}
        for stage in self.stages:
            if isinstance(stage, Stack) and len(stage.ops) > 1:
                outs = list(outs_of(stage))
                roots = [self.root(o) for o in outs]
                if taken & set(roots):
                    self._set_alone(self.alone | set(outs))
                    roots = outs
                groups.append(roots)
                taken |= set(roots)
        return groups, taken

    def _alike(self, groups: list[list[str]], placed: set[str]) -> list[list[str]]:
        """Values of one formula that can be computed at once side by side, in the order of what they come from."""
        index = {name: k for group in groups for k, name in enumerate(group)}
        ahead = self._read_for(index)
        alike: list[list[str]] = []
        for stage in self.stages:
            if isinstance(stage, Fused):
                alike += self._alike_in(stage, index, ahead, placed)
        return alike

    def _read_for(self, index: Mapping[str, int]) -> dict[str, int]:
        """For each value the first place among those that have one and are computed from it, at whatever remove."""
        found = dict(index)
        for stage in reversed(self.stages):
            for op in reversed(stage.steps) if isinstance(stage, Fused) else ():
                if op.out in found:
                    for operand in op.operands():
                        if not lag_of(operand) and name_of(operand) not in index:
                            found[name_of(operand)] = min(found[op.out], found.get(name_of(operand), found[op.out]))
        return found

    def _alike_in(
        self, stage: Fused, index: dict[str, int], ahead: Mapping[str, int], placed: set[str]
    ) -> list[list[str]]:
        found: dict[object, list[tuple[list[str], set[int]]]] = {}
        behind: dict[str, int] = {}
        for k, op in enumerate(stage.steps):
            sources = [name_of(o) for o in op.operands() if not lag_of(o) and name_of(o) in behind]
            behind[op.out] = (1 << k) | reduce(or_, (behind[s] for s in sources), 0)
            root = self.root(op.out)
            known = root in placed or root in self.graph.carried or op.out not in self.stored
            if isinstance(op, Contraction) or known or root != op.out:
                continue
            line, _ = self.order.get(root, (-1, 0))
            key = (line, formula(op), self.graph.shape(root), self.extent(root))
            groups = found.setdefault(key, [])
            group = next((g for g in groups if not any(behind[op.out] >> m & 1 for m in g[1])), None)
            if group is None:
                groups.append(group := ([], set()))
            group[0].append(root)
            group[1].add(k)
            placed.add(root)
            known_sources = [index[r] for o in op.operands() if (r := self.root(name_of(o))) in index]
            index[root] = known_sources[0] if known_sources else len(index)
        last = len(ahead)
        alike = [sorted(names, key=lambda n: (self.order.get(n, (-1, -1)), ahead.get(n, last), index[n]))
                 for groups in found.values() for names, _ in groups]  # fmt: skip
        for names in alike:
            index |= {name: k for k, name in enumerate(names)}
        return alike

    def _buffer(self, name: str, group: list[str]) -> Buffer:
        members = tuple(Member(m, self.graph.shape(m)) for m in group)
        order: tuple[Extent, ...] = ("whole", "tape", "ring", "local")
        extents = {self.extent(m) for m in group}
        extent = next(e for e in order if e in extents)
        return Buffer(name, members, extent, max(self.graph.carried.get(m, 0) for m in group))


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
    return (plain or overwrites(body)) and in_place(holding[0], atom)


def overwrites(body: sympy.Expr) -> bool:
    """Whether a function of one argument may write where that argument stands, on every target."""
    return isinstance(body, fn.Elementwise) and len(body.args) == 1 and 0 in body.row.overwrites
