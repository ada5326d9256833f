"""The adjoint of a graph: back-propagation through time as a graph of the same kinds, swept the other way.

One rule per kind of step (:data:`symcell.adjoint.rules.RULES`), each turning the cotangent of a step's result into
contributions to the cotangents of its operands. What a step sends to a value ``k`` steps back is carried: the adjoint
of ``h[t-1]`` is read by the adjoint of ``h`` one step later in the backward sweep, at ``t+1`` (Werbos 1990). The
boundary is part of it: what leaves the sweep at its end has a cotangent that enters the adjoint, and what enters it at
its beginning has one that leaves; so the result can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from symcell.adjoint.parts import Parts
from symcell.adjoint.rules import RULES, sent_to
from symcell.cell import Shape
from symcell.graph import (
    Contraction,
    Edge,
    Entry,
    Exit,
    Graph,
    Op,
    Operand,
    Outer,
    Total,
    Value,
    alive,
    lag_of,
    name_of,
)
from symcell.symbolic.nodes import Param


@dataclass(frozen=True)
class Carry:
    """What a step sends to the cotangent of ``value`` at ``t - lag``."""

    value: str
    lag: int


@dataclass(frozen=True, eq=False)
class Adjoint:
    """The backward sweep of ``forward``.

    ``seeds``: for each output the given value that holds its incoming cotangent. ``carries``: the carried values and
    where they go. ``gradients``: for each fixed and each given value of the forward graph the value that holds its
    gradient; one that no output or exit depends on is missing. ``cotangents``: the same for every value, as it is read.

    ``entering``: for each exit of the forward graph the boundary value by which its cotangent enters. ``leaving``: for
    each entry of the forward graph the one by which its cotangent leaves; for a given value that is read outside of the
    sequence and has no entry, the same under its own name.
    """

    forward: Graph
    graph: Graph
    seeds: Mapping[str, str]
    carries: Mapping[str, Carry]
    gradients: Mapping[str, str]
    cotangents: Mapping[str, Operand]
    entering: Mapping[str, str]
    leaving: Mapping[str, str]


def adjoint(forward: Graph, of: Collection[str] | None = None, by: Collection[str] | None = None) -> Adjoint:
    """Differentiate a graph: the derived backward sweep, checked.

    ``of``: the outputs and exits that are differentiated (None: all); the cotangents of others are zero, and not asked
    for. ``by``: the given and fixed values and the entries whose gradients are wanted (None: all but constants).
    """
    return Sweep(forward, of, by).build()


Key = tuple[str, int, str]
"""A carry: the value, the lag at which it is read, and whether products send to it or other steps."""


class Sweep(Parts):
    """Walks the steps backwards; what flows to each value is collected and added up in :class:`Parts`."""

    def __init__(self, forward: Graph, of: Collection[str] | None, by: Collection[str] | None) -> None:
        super().__init__(forward, [*(e.name for e in forward.entries), *(e.name for e in forward.exits)])
        self.outputs = [o for o in forward.outputs if of is None or o in of]
        summed = {op.arg.name for op in forward.steps if isinstance(op, Total) and isinstance(op.arg, Edge)}
        self.left = [e for e in forward.exits if of is None or e.name in {*of, *summed}]
        self.by = by
        self.unmoved = self._unmoved()
        self.live = self._live()
        self.seeds = {o: self._seed(forward.values[o]) for o in self.outputs}
        self.carry = {key: self._carried(key) for key in self._wanted()}
        for (name, lag, _), out in self.carry.items():
            self.carried_to.setdefault(name, []).append((lag, out))
        self.exits: dict[str, Exit] = {}
        self._declare_exits()

    def _live(self) -> set[str]:
        """The values whose cotangent is not zero, whatever arrives."""
        pending = [*self.outputs, *(v for e in self.left for v in e.values)]
        live = set(pending)
        while pending:
            op = self.producers.get(pending.pop())
            for operand in self._sent_to(op) if op else ():
                if name_of(operand) not in live:
                    live.add(name_of(operand))
                    pending.append(name_of(operand))
        return live

    def _sent_to(self, op: Op) -> Iterable[Operand]:
        return (o for o in sent_to(op, self.partials) if name_of(o) not in self.unmoved)

    def _wants(self, name: str) -> bool:
        return self.by is None or name in self.by

    def _unmoved(self) -> frozenset[str]:
        """The values that depend on nothing whose gradient is wanted: what flows to them ends there."""
        if self.by is None:
            return frozenset()
        forward = self.forward
        moved = {*self.by, *(e.value for e in forward.entries if e.name in self.by)}
        moved |= {op.out for op in forward.steps if isinstance(op, Total) and isinstance(op.arg, Edge)}
        moving = True
        while moving:
            before = len(moved)
            moved |= {op.out for op in forward.steps if any(name_of(o) in moved for o in sent_to(op, self.partials))}
            moved |= {e.value for e in forward.entries if e.start in moved}
            moving = len(moved) > before
        return frozenset(forward.values.keys() - moved)

    def _seed(self, output: Value) -> str:
        hint = "dy" if len(self.outputs) == 1 else f"dy_{output.name}"
        return self.declare(hint, output.shape, output.fixed)

    def _wanted(self) -> dict[Key, None]:
        """A carried value for each value read at another step: one for what products send, one for the rest.

        Each value that leaves has one of its whole depth, by which what arrives there enters.
        """
        wanted: dict[Key, None] = {}
        for op in self.forward.steps:
            for operand in self._sent_to(op) if op.out in self.live else ():
                if lag_of(operand):
                    vector = isinstance(op, Outer) or (isinstance(op, Contraction) and len(self.shape(operand)) == 1)
                    wanted[name_of(operand), lag_of(operand), "product" if vector else "pointwise"] = None
        reached = {(name, lag) for name, lag, _ in wanted}
        for leaving in self.left:
            for name in leaving.values:
                if (name, self._reach(leaving, name)) not in reached:
                    wanted[name, self._reach(leaving, name), "pointwise"] = None
        return wanted

    def _reach(self, leaving: Exit, name: str) -> int:
        """The lag at which a value's places outside the sequence are its steps at the end inside of it."""
        return self.forward.depth(leaving, name) * self.forward.direction * (-1 if leaving.far else 1)

    def _carried(self, key: Key) -> str:
        name, lag, kind = key
        hint = f"d{name}_{'back' if kind == 'product' else 'via'}"
        return self.declare(hint if abs(lag) == 1 else f"{hint}{abs(lag)}", self.values[name].shape)

    def build(self) -> Adjoint:
        self._send_starts()
        for op in reversed(self.forward.steps):
            cotangent = self.cotangent(op.out)
            if cotangent is not None:
                RULES[type(op)](self, op, cotangent)
        gradients = {
            name: c
            for name in (*self.forward.given, *self.forward.fixed)
            if self._wants(name) and not self.values[name].constant and (c := self.cotangent(name)) is not None
        }
        for (name, lag, kind), out in self.carry.items():
            self.finish_carry(out, (name, lag), kind)
        computed = {name_of(c) for c in gradients.values()}
        entries = self._entries()
        self.steps = alive(self.steps, {*computed, *self._kept(entries)})
        graph = self._graph(computed, entries).check()
        carries = {out: Carry(name, lag) for (name, lag, _), out in self.carry.items()}
        return Adjoint(
            self.forward, graph, self.seeds, carries,
            {k: name_of(v) for k, v in gradients.items()},
            {k: v for k, v in self.cotangents.items() if name_of(v) in graph.values},
            {leaving.name: self.entering[leaving.name] for leaving in self.left},
            {of: e.name for of, e in self.exits.items()},
        )  # fmt: skip

    # the boundary

    def _declare_exits(self) -> None:
        """What leaves: for each entry of the forward graph, all that is carried to its values."""
        direction = self.forward.direction
        for entry in self.forward.entries:
            if self._wants(entry.name) or (entry.start is not None and not self.ends(entry.start)):
                self._declare_exit(entry.name, f"d{entry.name}", entry.value, direction * (-1 if entry.far else 1))
        entered = {e.value for e in self.forward.entries}
        for name in self.forward.given:
            for sign, edge in ((1, "first"), (-1, "last")):
                if name not in entered and self._wants(name):
                    self._declare_exit(name, f"d{name}_{edge}", name, sign)

    def _declare_exit(self, of: str, hint: str, value: str, sign: int) -> None:
        carried = [(lag, out) for lag, out in self.carried_to.get(value, ()) if lag * sign > 0]
        if not carried:
            return
        known = self.exits.get(of)
        values = (*(known.values if known else ()), *(out for _, out in carried))
        depths = (*(abs(lag) for lag, _ in carried), *(e.depth for e in self.forward.entries if e.name == of))
        depth = max(*depths, known.depth if known else 0)
        name = known.name if known else self.names.fresh(hint)
        each = (*(known.depths if known else ()), *(abs(lag) for lag, _ in carried))
        self.exits[of] = Exit(name, values, depth, sign != self.forward.direction, each)

    def _send_starts(self) -> None:
        """The gradient of a fixed value that stands outside the sequence: the total of what leaves there."""
        for entry in {e.name: e for e in self.forward.entries}.values():
            if entry.name not in self.exits or entry.start is None or self.ends(entry.start):
                continue
            shape = self.values[entry.value].shape
            out = self.declare(f"d{entry.start}", shape, fixed=True)
            unless = entry.unless if entry.adds else entry.name
            self.steps.append(Total(out, Edge(self.exits[entry.name].name), unless))
            self.send(Param(entry.start), shape, Param(out), (Param(out),))

    def _entries(self) -> tuple[Entry, ...]:
        """What arrives: into the carry of the longest reach of each value that leaves."""
        out: list[Entry] = []
        for leaving in self.left:
            name = self.entering[leaving.name] = self.names.fresh(f"d{leaving.name}")
            start, unless = self.edge_start(leaving.name)
            for value in leaving.values:
                reach = self._reach(leaving, value)
                carry = next(c for lag, c in self.carried_to[value] if lag == reach)
                out.append(Entry(carry, name, abs(reach), start, start is not None, unless, leaving.far))
        return tuple(out)

    def _kept(self, entries: tuple[Entry, ...]) -> set[str]:
        """What must be computed though no gradient may depend on it: what leaves, and at what distance that is read."""
        read = {e.value for e in entries} | {name_of(o) for op in self.steps for o in op.operands() if lag_of(o)}
        unread = [name for (name, _, _), out in self.carry.items() if out not in read]
        starts = {e.start for e in entries if e.start is not None}
        return {*self.carry.values(), *starts, *(name_of(self.cotangents[name]) for name in unread)}

    # what the graph is made of

    def shape(self, operand: Operand) -> Shape:
        return self.values[name_of(operand)].shape

    def _graph(self, computed: set[str], entries: tuple[Entry, ...]) -> Graph:
        made = {op.out for op in self.steps}
        depth: dict[str, int] = {e.start: 0 for e in entries if e.start is not None}
        for op in self.steps:
            for operand in op.operands():
                depth[name_of(operand)] = max(abs(lag_of(operand)), depth.get(name_of(operand), 0))
        outside = {n: depth[n] for n in sorted(depth) if n not in made}
        seeds = dict.fromkeys((s for s in self.seeds.values() if not self.values[s].fixed), 0)
        given = {**seeds, **{n: d for n, d in outside.items() if not self.values[n].fixed}}
        fixed = {*(n for n in outside if self.values[n].fixed), *(s for s in self.seeds.values() if s not in seeds)}
        kept = {*depth, *made, *self.seeds.values()}
        return Graph(
            f"adjoint of {self.forward.name}",
            {n: v for n, v in self.values.items() if n in kept},
            given,
            tuple(sorted(fixed)),
            tuple(self.steps),
            tuple(sorted(computed)),
            -1 if self.forward.direction > 0 else 1,
            entries,
            tuple(self.exits.values()),
        )
