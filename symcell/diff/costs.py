"""What cells cost and what their emitted modules run, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sympy
from sympy import Expr

from symcell.cell import Cell, Size
from symcell.diff.model import Both, Costs, Stage, Stages
from symcell.program.access import made
from symcell.program.costs import NOTHING, counts
from symcell.program.model import Copy, Kernel, Plan, Program, Stage as Planned
from symcell.program.report import BATCH, BYTES, NOMINAL, STEPS, kind_of, parameter_count, peak_memory, placed, rows

Plans = Mapping[str, Plan]
"""By target."""

PARAMETERS, STASH, PEAK = "parameters", "stash bytes", "peak memory bytes"


def costs(old: tuple[Cell, Plans], new: tuple[Cell, Plans]) -> tuple[Costs, ...]:
    """Parameters, and what each target does with a step of one sample; targets of one cost together."""
    found = [Costs(PARAMETERS, (), Both(parameter_count(old[0]), parameter_count(new[0])))]
    by_target = {t: (amounts(old[1][t]), amounts(new[1][t])) for t in old[1]}
    kinds = dict.fromkeys(what for both in by_target.values() for side in both for what in side)
    for what in kinds:
        groups: dict[Both[Expr], list[str]] = {}
        for target, (mine, theirs) in by_target.items():
            if what in mine or what in theirs:
                groups.setdefault(Both(mine.get(what), theirs.get(what)), []).append(target)
        found += [Costs(what, tuple(targets), amount) for amount, targets in groups.items()]
    return tuple(found)


def amounts(plan: Plan) -> dict[str, Expr]:
    """What one target costs, as formulas in the cell's sizes."""
    found: dict[str, Expr] = {}
    totals = {role: sum((row.cost for row in rows(p)), NOTHING) for role, p in plan.programs.items()}
    found |= {f"FLOPs {role}": total.flops for role, total in totals.items()}
    found |= {f"bytes moved {role}": sympy.expand(BYTES * total.numbers) for role, total in totals.items()}
    for role, program in plan.programs.items():
        unit = "launches" if program.profile.registers else "calls"
        found[f"{unit} a step, {role}"] = sympy.Integer(counts(program).launches[0])
    found[STASH] = sympy.expand(BYTES * stored(plan).symbol())
    sizes = dict.fromkeys(plan.cell.sizes, NOMINAL)
    found[PEAK] = sympy.Integer(peak_memory(plan, sizes, STEPS, BATCH, BYTES))
    return found


def stored(plan: Plan) -> Size:
    """How many numbers of each step and sample the forward sweep keeps for the backward one."""
    buffers = [b for name in plan.forward.tape if (b := plan.forward.buffers[name]).origin == "own"]
    return sum((b.width for b in buffers), Size())


def stages(old: Plans, new: Plans) -> tuple[Stages, ...]:
    """Of each target, the stages of all sweeps."""
    return tuple(_stages(target, old[target], new[target]) for target in old)


def _stages(target: str, old: Plan, new: Plan) -> Stages:
    changes: list[Both[Stage]] = []
    unchanged = 0
    for role in dict.fromkeys((*old.programs, *new.programs)):
        sides = [list(_read(plan.programs[role])) if role in plan.programs else [] for plan in (old, new)]
        same = [stage for stage in sides[0] if stage in sides[1]]
        unchanged += len(same)
        changes += _paired(*([stage for stage in side if stage not in same] for side in sides))
    return Stages(target, tuple(changes), unchanged)


def _read(program: Program) -> Iterator[Stage]:
    for where, stage in placed(program):
        yield Stage(program.role, where, kind_of(stage, program), _made(stage, program))


def _made(stage: Planned, program: Program) -> dict[str, str]:
    match stage:
        case Copy():
            return {m.name: "copied" for m in program.window(stage.out)}
        case Kernel():
            return {op.out: str(op) for s in stage.statements() for op in s.ops}
    steps = program.graph.steps
    names = made(stage)
    return {op.out: str(op) for op in steps if op.out in names}


def _paired(old: list[Stage], new: list[Stage]) -> Iterator[Both[Stage]]:
    """Stages of one kind that compute some of the same values are each other's; the largest overlap first."""
    shared = sorted(
        ((len(a.made.keys() & b.made.keys()), -i, -j) for i, a in enumerate(old) for j, b in enumerate(new)
         if a.kind == b.kind and a.made.keys() & b.made.keys()),
        reverse=True,
    )  # fmt: skip
    partner: dict[int, int] = {}
    for _, i, j in shared:
        if -i not in partner and -j not in partner.values():
            partner[-i] = -j
    for i, a in enumerate(old):
        yield Both(a, new[partner[i]] if i in partner else None)
    yield from (Both(None, b) for j, b in enumerate(new) if j not in partner.values())
