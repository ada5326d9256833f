"""The lines that make a function's buffers."""

from __future__ import annotations

from symcell.cell import ONE
from symcell.emit.python.scope import Scope
from symcell.program.model import Buffer


def lines(scope: Scope) -> tuple[str, ...]:
    """The buffers that the function has used, in the program's order; those of one slot share an array."""
    own = [b for name, b in scope.program.buffers.items() if name in scope.used and b.origin == "own"]
    slots: dict[str, list[Buffer]] = {}
    for buffer in own:
        slots.setdefault(buffer.slot, []).append(buffer)
    shared = {} if scope.kind == "step" else {s: found for s, found in slots.items() if s and len(found) > 1}
    made: list[str] = []
    arrays: dict[str, str] = {}
    for buffer in own:
        variable = scope.variable(buffer.name)
        if buffer.slot not in shared or buffer.extent == "fixed":
            made.append(f"{variable} = {_array(scope, buffer)}")
            continue
        first = shared[buffer.slot][0]
        if all(_shape(scope, b) == _shape(scope, first) for b in shared[buffer.slot]):
            made.append(f"{variable} = {_array(scope, buffer) if buffer is first else scope.variable(first.name)}")
            continue
        if buffer.slot not in arrays:
            arrays[buffer.slot] = scope.names.fresh("memory")
            made.append(f"{arrays[buffer.slot]} = {_room(scope, shared[buffer.slot])}")
        count, width = rows(scope, buffer), scope.size(buffer.width)
        part = f"{arrays[buffer.slot]}[: {_numbers(scope, buffer)}]"
        made.append(f"{variable} = {part}.reshape({count}, {width})")
        if buffer.zeroed:
            made.append(f"{variable}[...] = 0")
    return (*scope.early, *made)


def _array(scope: Scope, buffer: Buffer) -> str:
    function = f"{scope.xp}.{'zeros' if buffer.zeroed else 'empty'}"
    if buffer.extent == "fixed":
        alone = len(buffer.members) == 1
        shape = scope.shape(buffer.members[0].shape) if alone else scope.size(buffer.width)
    else:
        shape = _shape(scope, buffer)
    return f"{function}({shape}, {scope.type_of(buffer.storage)})"


def _shape(scope: Scope, buffer: Buffer) -> str:
    return f"({rows(scope, buffer)}, {scope.size(buffer.width)})"


def _room(scope: Scope, buffers: list[Buffer]) -> str:
    needs = dict.fromkeys(_numbers(scope, b) for b in buffers)
    size = next(iter(needs)) if len(needs) == 1 else f"max({', '.join(needs)})"
    return f"{scope.xp}.empty({size}, {scope.type_of(buffers[0].storage)})"


def _numbers(scope: Scope, buffer: Buffer) -> str:
    """How many numbers a buffer has, as code."""
    count = rows(scope, buffer)
    return count if buffer.width == ONE else f"{_factor(count)} * {scope.factor(buffer.width)}"


def rows(scope: Scope, buffer: Buffer) -> str:
    """How many rows a buffer has, as code."""
    if scope.kind == "step":
        return "batch"
    if scope.in_stretches(buffer):
        return f"{scope.stretch()} * batch"
    depth = buffer.depth
    some = "batch" if not depth else f"{depth + 1} * batch"
    every = "pack.size" + (" + batch" if depth == 1 else f" + {depth} * batch" if depth else "")
    return {"True": every, "False": some}.get(scope.whole(buffer), f"{every} if keep_tape else {some}")


def _factor(code: str) -> str:
    return f"({code})" if " " in code else code
