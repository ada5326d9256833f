"""What buffers hold where the parameters are of 16 bits: numbers of that type, which are rounded when they are stored,
or of the type that is computed in, which loses nothing from one step to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby

from symcell.program.access import reads, scratch, title, writes
from symcell.program.model import Buffer, Fixed, Gemm, Kernel, Program, Ref, Region, Stage, Storage

REAL = 4
"""Bytes of the narrowest type that is computed in: numbers of 16 bits are computed with as float32."""


def item(storage: Storage, itemsize: int) -> int:
    """The bytes of a number, of parameters of ``itemsize`` bytes each."""
    return {"bool": 1, "stored": itemsize, "real": max(itemsize, REAL)}[storage]


def storage_of(buffer: Buffer, carried: frozenset[str], multiplied: frozenset[str]) -> Storage:
    """What a buffer holds. ``carried``: those whose rounding would add up from step to step, as :func:`carries` finds
    them; ``multiplied``: those whose matrices are rounded in any case, as :func:`matrices` does.

    What a caller hands in is stored, and so is what has rows for every step: the tape, what comes before the loop and
    what is left for products behind it. Gradients are rounded when they are complete. A tape's buffers are decided
    where they are made.
    """
    if buffer.storage == "bool" or buffer.origin == "tape":
        return buffer.storage
    if buffer.origin != "own":
        return "real" if buffer.origin == "grads" else "stored"
    if buffer.extent == "fixed":
        return "stored" if buffer.name in multiplied else "real"
    return "stored" if buffer.extent in ("tape", "whole") and buffer.name not in carried else "real"


def carries(regions: Iterable[Region]) -> frozenset[str]:
    """The buffers that a kernel reads at another step than the one that writes them. What only products read so is
    rounded by these anyway, and their sums begin anew at every step."""
    found: set[str] = set()
    for region in regions:
        if region.kind == "steps":
            shifts: dict[str, set[int]] = {}
            for ref in _refs(region.stages, writes):
                shifts.setdefault(ref.buffer, set()).add(ref.shift)
            kernels = [stage for stage in region.stages if isinstance(stage, Kernel)]
            found |= {r.buffer for r in _refs(kernels, reads) if shifts.get(r.buffer, {r.shift}) != {r.shift}}
    return frozenset(found)


def matrices(regions: Iterable[Region]) -> frozenset[str]:
    """The buffers whose members products multiply by."""
    return frozenset(s.matrix.buffer for region in regions for s in region.stages if isinstance(s, Gemm))


def settled(program: Program, ref: Ref) -> bool:
    """Whether what is written to a reference is rounded to the parameters' type: a sweep's own values that are stored,
    row by row."""
    buffer = program.buffers[ref.buffer]
    return buffer.storage == "stored" and buffer.origin == "own" and buffer.extent != "fixed"


def made_in_loops(program: Program) -> frozenset[tuple[str, int]]:
    """What stages write step by step: buffers with their members' numbers."""
    return _members(writes, (s for region in program.regions if region.kind == "steps" for s in region.stages))


def _members(of: Callable[[Stage], Iterator[Ref]], stages: Iterable[Stage]) -> frozenset[tuple[str, int]]:
    refs = _refs(stages, of)
    return frozenset((ref.buffer, k) for ref in refs for k in range(ref.first, ref.first + ref.count))


def side_by_side(refs: Iterable[Ref]) -> Iterator[Ref]:
    """References to the same members, in order: neighbouring ones are one."""
    alone = {replace(ref, first=ref.first + k, count=1) for ref in refs for k in range(ref.count)}
    ordered = sorted(alone, key=lambda ref: (ref.buffer, ref.shift, ref.first))
    for _, found in groupby(enumerate(ordered), lambda pair: (pair[1].buffer, pair[1].shift, pair[1].first - pair[0])):
        several = [ref for _, ref in found]
        yield replace(several[0], count=len(several))


def rounds(program: Program, sequence: bool, ref: Ref) -> bool:
    """Whether an operand of a product has yet to be rounded where sweeps are ``wide``; ``sequence``: the product is one
    over all steps. What callers hand in, stored tapes, what a loop has left behind and fixed values have been."""
    buffer = program.buffers[ref.buffer]
    if buffer.storage == "real":
        return True
    if buffer.origin != "own" or buffer.extent == "fixed":
        return False
    made = made_in_loops(program)
    return not sequence or any((ref.buffer, k) not in made for k in range(ref.first, ref.first + ref.count))


def _refs(stages: Iterable[Stage], of: Callable[[Stage], Iterator[Ref]]) -> Iterator[Ref]:
    for stage in stages:
        yield from of(stage)


def with_storage(buffers: Mapping[str, Buffer], regions: Iterable[Region]) -> dict[str, Buffer]:
    """The buffers of some regions, each with its storage."""
    regions = tuple(regions)
    carried, multiplied = carries(regions), matrices(regions)
    return {name: replace(b, storage=storage_of(b, carried, multiplied)) for name, b in buffers.items()}


# rules


def conditions_lie_in_masks(program: Program) -> Iterator[str]:
    """Conditions lie in bool buffers, numbers in others."""
    masks = {ref for _, stage in program.stages() for ref in _masks(stage)}
    for region, stage in program.stages():
        for ref in (*reads(stage), *writes(stage), *scratch(stage)):
            storage = program.buffers[ref.buffer].storage
            if (storage == "bool") != (ref in masks):
                yield f"{region.kind}, {title(stage)}: {ref.buffer} holds {storage} numbers"


def storage_fits(program: Program) -> Iterator[str]:
    """What has rows for every step is stored as the parameters are, but for carries; what lasts no longer than a step,
    and gradients, are of the type that is computed in."""
    carried, multiplied = carries(program.regions), matrices(program.regions)
    for name, buffer in program.buffers.items():
        wanted = storage_of(buffer, carried, multiplied)
        if buffer.storage != wanted:
            yield f"buffer {name}: it is {buffer.storage}, where {wanted} numbers are expected"


def _masks(stage: object) -> Iterator[Ref]:
    parts = [*stage.statements()] if isinstance(stage, Kernel) else [stage] if isinstance(stage, Fixed) else []
    yield from (part.mask for part in parts if part.mask is not None)


def tapes_agree(forward: Program, backward: Program) -> Iterator[str]:
    """What is on the tape is of one storage on both sides."""
    for name in forward.tape:
        kinds = {program.buffers[name].storage for program in (forward, backward) if name in program.buffers}
        if len(kinds) > 1:
            yield f"the tape: {name} is {forward.buffers[name].storage} where it is made and not where it is read"
