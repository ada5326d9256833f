"""Schedules with homes → the programs of a cell: buffers, regions, and what enters and leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from symcell.adjoint import Adjoint
from symcell.cell import Cell
from symcell.graph import Edge, Graph, Operand, Total, name_of
from symcell.plan.builder import Builder
from symcell.plan.homes import Homes
from symcell.plan.lifetimes import with_slots
from symcell.plan.order import in_order
from symcell.plan.overwriting import overwriting
from symcell.plan.places import GRADS, PARAMS, Places
from symcell.plan.signature import Signature
from symcell.plan.stages import REGIONS, Gradients, RegionName, Schedule
from symcell.program.access import made as made_by, reads
from symcell.program.model import (
    Buffer,
    Copy,
    Enter,
    Leave,
    Member,
    Profile,
    Program,
    Ref,
    Region,
    Role,
    Stage,
)
from symcell.program.storage import with_storage
from symcell.symbolic.nodes import At, Param


def forward_program(
    signature: Signature, what: Schedule, homes: Homes, profile: Profile, tape: Iterable[str]
) -> Program:
    """The forward program. ``tape``: values that the backward program reads."""
    graph = what.graph
    inputs = {x: Buffer(x, (Member(x, graph.shape(x)),), "whole", d, "input") for x, d in graph.given.items()}
    own, of = _own_fixed(what, {})
    role, _ = signature.roles
    places = Places(
        {**inputs, **signature.fixed, **homes.buffers, **own},
        {**homes.of, **{x: (x, 0) for x in inputs}},
        {**_members(signature.fixed), **of},
    )
    handed = tuple(dict.fromkeys(places.varying[n][0] for n in tape))
    builder = Builder(what, places, profile, role, homes.stored)
    stages = {name: builder.region(name) for name in REGIONS}
    results = {out: places.of(At(out)) for out in graph.outputs}
    states = {e.name: e.value for e in graph.entries}
    enters = tuple(
        Enter(e.value, places.at(places.varying[e.value][0]).buffer, e.depth, _start(places, e.start),
              states[e.unless] if e.adds else "")
        for e in graph.entries
    )  # fmt: skip
    leaves = tuple(
        Leave(e.values[0], tuple((places.at(places.varying[v][0]).buffer, e.depth) for v in e.values), e.depth,
              graph.shape(e.values[0]))
        for e in graph.exits
    )  # fmt: skip
    lasting = {*handed, *(r.buffer for r in results.values()), *(b for leave in leaves for b, _ in leave.buffers)}
    for name in handed:
        places.at(name)
    regions = _regions(stages, graph, places.buffers, lasting)
    return _program(role, profile, graph, places, regions, enters, leaves, results,
                    handed, signature.cell, lasting)  # fmt: skip


def _members(buffers: Mapping[str, Buffer]) -> dict[str, tuple[str, int]]:
    """The buffer and the place of each of their members."""
    return {m.name: (name, k) for name, b in buffers.items() for k, m in enumerate(b.members)}


def _start(places: Places, name: str | None) -> Ref | None:
    return None if name is None else places.of(Param(name))


def backward_program(
    signature: Signature,
    adjoint: Adjoint,
    what: Schedule,
    homes: Homes,
    profile: Profile,
    forward: Program,
    ahead: Mapping[str, tuple[str, int]],
    owner: Mapping[str, str],
) -> Program:
    """The backward program.

    ``ahead``: the homes of the forward program's values. ``owner``: for a gradient the parameter whose place in the
    flat buffer it is made in.
    """
    graph, fixed = what.graph, signature.fixed
    _, role = signature.roles
    parameters = fixed[PARAMS].members
    index = {m.name: k for k, m in enumerate(parameters)}
    taped = {n: replace(forward.buffers[n], origin="tape", extent="whole", slot="") for n in forward.tape}
    seeds = {s: Buffer(s, (Member(s, adjoint.forward.shape(y)),), "whole", origin="seed")
             for y, s in adjoint.seeds.items()}  # fmt: skip
    covered = {owner[v] for v in owner}
    given = {p for p in index if p in adjoint.gradients}
    grads = Buffer(GRADS, parameters, "fixed", origin="grads", zeroed=not given >= set(index) or bool(_summed(graph)))
    own, of = _own_fixed(what, {v: (GRADS, index[p]) for v, p in owner.items()})
    back = frozenset(homes.of[v][0] for v in graph.carried if v in homes.of)
    mine = {n: replace(b, zeroed=True) if n in back else b for n, b in homes.buffers.items()}
    read = {n: (b, k) for n, (b, k) in ahead.items() if b in taped}
    places = Places(
        {**taped, **seeds, **fixed, GRADS: grads, **mine, **own},
        {**read, **{s: (s, 0) for s in seeds}, **homes.of},
        {**_members(fixed), **of},
        back,
    )
    states = {e.name: e.value for e in adjoint.forward.entries}
    builder = Builder(what, places, profile, role, homes.stored, states)
    stages = {name: builder.region(name) for name in REGIONS}
    stages["finish"] += [
        Copy(places.fixed_at(GRADS, index[p]), places.of(Param(adjoint.gradients[p])))
        for p in index if p in given and p not in covered
    ]  # fmt: skip
    results = {x: places.of(At(adjoint.gradients[x])) if x in adjoint.gradients else None
               for x in signature.cell.inputs}  # fmt: skip
    undotted = signature.undotted
    state_of = {e.name: undotted.get(e.values[0], e.values[0]) for e in adjoint.forward.exits}
    enters = tuple(
        Enter(state_of[exit_], places.at(places.varying[e.value][0]).buffer, e.depth)
        for exit_, entry in adjoint.entering.items() for e in graph.entries if e.name == entry
    )  # fmt: skip
    exits = {e.name: e for e in graph.exits}
    leaves = []
    for entry in adjoint.forward.entries:
        if entry.value in undotted:
            continue
        leaving = exits.get(adjoint.leaving.get(entry.name, ""))
        buffers = tuple((places.at(places.varying[v][0]).buffer, graph.carried[v])
                        for v in (leaving.values if leaving else ()))  # fmt: skip
        leaves.append(Leave(entry.value, buffers, entry.depth, adjoint.forward.shape(entry.value)))
    lasting = {*(r.buffer for r in results.values() if r), *(b for leave in leaves for b, _ in leave.buffers)}
    wanted = {v for p, v in adjoint.gradients.items() if p in index} | {v for e in graph.exits for v in e.values}
    regions = _regions(stages, graph, places.buffers, lasting, _run_anyway(graph, stages, wanted))
    return _program(role, profile, graph, places, regions, enters,
                    tuple(leaves), results, forward.tape, signature.cell, lasting)  # fmt: skip


def _own_fixed(
    what: Schedule, owned: Mapping[str, tuple[str, int]]
) -> tuple[dict[str, Buffer], dict[str, tuple[str, int]]]:
    """A buffer for every fixed value that the sweep computes and that has no place elsewhere; one for several that one
    product computes."""
    graph = what.graph
    names = [op.out for op in graph.steps if graph.values[op.out].fixed and op.out not in owned]
    summed = _summed(graph)
    together = [[t.out for t in s.totals] for _, s in what.all() if isinstance(s, Gradients) and len(s.totals) > 1]
    groups = [group for group in together if not owned.keys() & set(group)]
    alone = [[name] for name in names if not any(name in group for group in groups)]
    buffers = {}
    for group in groups + alone:
        title = group[0] if len(group) == 1 else f"{group[0]}_to_{group[-1]}"
        members = tuple(Member(n, graph.shape(n)) for n in group)
        buffers[title] = Buffer(title, members, "fixed", zeroed=not summed.isdisjoint(group))
    return buffers, {**owned, **{m.name: (b.name, k) for b in buffers.values() for k, m in enumerate(b.members)}}


def _summed(graph: Graph) -> frozenset[str]:
    """The fixed values that are added up at the edge, where they have a start."""
    return frozenset(op.out for op in graph.steps if isinstance(op, Total) and isinstance(op.arg, Edge))


def _reaching(graph: Graph, wanted: Iterable[str]) -> frozenset[str]:
    """The values that ``wanted`` ones are computed from, at whatever distance in time."""
    made = graph.producer()
    found = set(wanted)
    pending = sorted(found)
    while pending:
        op = made.get(pending.pop())
        sources: list[Operand] = list(op.operands()) if op else []
        for source in sources:
            if name_of(source) not in found:
                found.add(name_of(source))
                pending.append(name_of(source))
    return frozenset(found)


def _regions(
    stages: Mapping[RegionName, list[Stage]],
    graph: Graph,
    buffers: Mapping[str, Buffer],
    lasting: set[str],
    needed: frozenset[str] = frozenset(),
) -> tuple[Region, ...]:
    """``needed``: values that something besides the gradients by the inputs depends on; empty: all are."""
    loop = tuple(stages["loop"])
    first, last = stages["once"] + stages["before"], stages["after"] + stages["finish"]
    later = {ref.buffer for stage in (*loop, *last) for ref in reads(stage)}
    made = (
        _sequence(in_order(first, buffers, lasting | later), needed),
        Region("steps", loop, graph.direction),
        _sequence(in_order(last, buffers, lasting), needed),
    )
    return tuple(region for region in made if region.stages)


def _sequence(stages: tuple[Stage, ...], needed: frozenset[str]) -> Region:
    only = frozenset(k for k, stage in enumerate(stages) if needed and not _needed(stage, needed))
    return Region("sequence", stages, inputs_only=only)


def _needed(stage: Stage, needed: frozenset[str]) -> bool:
    """Whether a stage makes any of these values; a copy moves what has been found needed already."""
    return isinstance(stage, Copy) or not needed.isdisjoint(made_by(stage))


def _run_anyway(graph: Graph, stages: Mapping[RegionName, list[Stage]], wanted: set[str]) -> frozenset[str]:
    """The values that ``wanted`` ones need, and those that stages need which run for them: a kernel runs whole."""
    found = _reaching(graph, wanted | {name for stage in stages["loop"] for name in made_by(stage)})
    while True:
        run = {name for part in stages.values() for stage in part if _needed(stage, found) for name in made_by(stage)}
        more = _reaching(graph, found | run)
        if more == found:
            return found
        found = more


def _program(
    role: Role,
    profile: Profile,
    graph: Graph,
    places: Places,
    regions: tuple[Region, ...],
    enters: tuple[Enter, ...],
    leaves: tuple[Leave, ...],
    results: Mapping[str, Ref | None],
    tape: tuple[str, ...],
    cell: Cell,
    lasting: set[str],
) -> Program:
    buffers = with_storage({name: b for name, b in places.buffers.items() if name in places.used}, regions)
    regions, moves = overwriting(regions, buffers, lasting)
    program = Program(role, profile, graph, buffers, regions, enters, leaves, results, tape, dict(cell.labels))
    found = program.stretches
    together = (found.first, found.last) if found else None
    return replace(program, buffers=with_slots(buffers, regions, lasting, moves, profile.paced, together))
