"""What holds of every program. :func:`check` is run over what the planner makes; each rule finds one kind of fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from symcell.program.access import ProgramError as ProgramError, references, title, whole
from symcell.program.call_rules import calls_find_their_operands
from symcell.program.lifetimes import slots_are_disjoint
from symcell.program.model import EdgeSum, Fixed, Gradient, Kernel, Plan, Program, Ref, Sums
from symcell.program.order import handed_over, written_before_read
from symcell.program.races import no_races
from symcell.program.shape_rules import shapes_agree
from symcell.program.storage import conditions_lie_in_masks, storage_fits, tapes_agree

Rule = Callable[[Program], Iterator[str]]


def check(program: Program) -> Program:
    """This program, if it keeps the rules; else ProgramError naming the stage and what is wrong with it."""
    for problem in problems(program):
        raise ProgramError(f"{program.role}: {problem}")
    return program


def check_plan(plan: Plan) -> Plan:
    """This plan, if its programs keep the rules and the tapes hold what is read from them; else ProgramError."""
    for program in plan.programs.values():
        check(program)
    for one, two in plan.pairs:
        for problem in (*handed_over(one, two), *tapes_agree(one, two)):
            raise ProgramError(f"{two.role}: {problem}")
    return plan


def problems(program: Program) -> Iterator[str]:
    """What is wrong with a program. Rules that presume others come after them, and only where these hold."""
    for group in RULES:
        found = [problem for rule in group for problem in rule(program)]
        yield from found
        if found:
            return


def located(program: Program) -> Iterator[tuple[str, Ref]]:
    """Every reference of the program and where it stands."""
    for region, stage in program.stages():
        for ref in references(stage):
            yield f"{region.kind}, {title(stage)}", ref
    for entering in program.enters:
        if entering.start is not None:
            yield f"what enters for {entering.state}", entering.start
    for name, result in program.results.items():
        if result is not None:
            yield f"the result {name}", result


def references_lie_in_their_buffers(program: Program) -> Iterator[str]:
    for name, buffer in program.buffers.items():
        if buffer.name != name:
            yield f"buffer {buffer.name} is kept as {name}"
    for where, ref in located(program):
        if ref.buffer not in program.buffers:
            yield f"{where}: there is no buffer {ref.buffer}"
            continue
        count, last = len(program.buffers[ref.buffer].members), ref.first + ref.count - 1
        if ref.first < 0 or ref.count < 1 or last >= count:
            yield f"{where}: {ref.buffer} has {count} members, not those from {ref.first} to {last}"


def extents_cover_shifts(program: Program) -> Iterator[str]:
    for buffer in program.buffers.values():
        if buffer.depth and buffer.extent in ("local", "fixed"):
            yield f"buffer {buffer.name}: a {buffer.extent} one has no slots, but its depth is {buffer.depth}"
    for where, ref in located(program):
        depth = program.buffers[ref.buffer].depth
        if not 0 <= ref.shift <= depth:
            yield f"{where}: {ref.buffer} at shift {ref.shift}, but its depth is {depth}"
    for edge in program.enters:
        if edge.depth > program.buffers[edge.buffer].depth:
            yield f"{edge.depth} steps enter {edge.buffer}, but its depth is {program.buffers[edge.buffer].depth}"
    for leaving in program.leaves:
        for name, depth in leaving.buffers:
            if depth > min(leaving.depth, program.buffers[name].depth):
                yield f"{depth} steps of {name} leave for {leaving.state}, more than it keeps or than are asked for"


def edges_name_buffers(program: Program) -> Iterator[str]:
    names = [(f"what enters for {e.state}", e.buffer) for e in program.enters]
    names += [(f"what leaves for {e.state}", name) for e in program.leaves for name, _ in e.buffers]
    names += [("the tape", name) for name in program.tape]
    for where, name in names:
        if name not in program.buffers:
            yield f"{where}: there is no buffer {name}"
        elif program.buffers[name].extent in ("local", "fixed"):
            yield f"{where}: {name} is {program.buffers[name].extent}"
    states = {leaving.state for leaving in program.leaves}
    for _, stage in program.stages():
        if isinstance(stage, EdgeSum) and stage.state not in states:
            yield f"{title(stage)}: nothing leaves for {stage.state}"


def tape_is_kept(program: Program) -> Iterator[str]:
    for name in program.tape:
        if program.ahead and program.buffers[name].extent not in ("tape", "whole"):
            yield f"the tape: {name} has no rows for every step"
    for name, buffer in program.buffers.items():
        if buffer.origin == "tape" and name not in program.tape:
            yield f"buffer {name} comes from the tape, which does not hold it"


def sequences_have_rows(program: Program) -> Iterator[str]:
    for region, stage in program.stages():
        for ref in references(stage):
            fixed = program.buffers[ref.buffer].extent == "fixed"
            if region.kind == "sequence" and not fixed and not whole(program, ref.buffer, kept=False):
                yield f"{region.kind}, {title(stage)}: {ref.buffer} has no rows for every step"
    for name, result in program.results.items():
        if result is not None and not whole(program, result.buffer, kept=False):
            yield f"the result {name}: {result.buffer} has no rows for every step"


def fixed_values_have_fixed_places(program: Program) -> Iterator[str]:
    """Parameters are read from fixed buffers, varying values from others, and each kind of stage writes its own."""
    for region, stage in program.stages():
        where = f"{region.kind}, {title(stage)}"
        parts = stage.statements() if isinstance(stage, Kernel) else [stage] if isinstance(stage, Fixed) else []
        for part in parts:
            for operand, ref in part.reads.items():
                if _fixed(program, ref) != program.graph.values[operand.signal].fixed:
                    yield f"{where}: {operand} is read from {ref.buffer}, which is {program.buffers[ref.buffer].extent}"
        once = isinstance(stage, Fixed | Gradient | Sums | EdgeSum)
        for ref in _written(stage):
            if _fixed(program, ref) != once:
                yield f"{where}: written to {ref.buffer}, which is {program.buffers[ref.buffer].extent}"


def _fixed(program: Program, ref: Ref) -> bool:
    return program.buffers[ref.buffer].extent == "fixed"


def _written(stage: object) -> Iterator[Ref]:
    if isinstance(stage, Kernel):
        yield from (s.out for s in stage.statements() if s.out is not None)
    elif isinstance(stage, Fixed | Gradient | Sums | EdgeSum):
        yield stage.out


RULES: tuple[tuple[Rule, ...], ...] = (
    (references_lie_in_their_buffers, edges_name_buffers),
    (extents_cover_shifts, tape_is_kept, sequences_have_rows, fixed_values_have_fixed_places, conditions_lie_in_masks),
    (shapes_agree, calls_find_their_operands),
    (written_before_read, no_races, slots_are_disjoint, storage_fits),
)
