"""What enters a function before its first step and leaves it after its last."""

from __future__ import annotations

from symcell.cell import Shape, units
from symcell.emit.python.scope import Scope
from symcell.emit.python.text import literal
from symcell.emit.python.views import RegionViews
from symcell.program.model import Enter, Leave


def enter(found: Enter, scope: Scope) -> str:
    """The line that fills what a state enters by: what the caller passes, else its start, else zero."""
    buffer = scope.program.buffers[found.buffer]
    index = _first(found.depth, scope) if scope.program.ahead else _last(found.buffer, found.depth, scope)
    scope.module.features.add("sort")
    place = f"{scope.variable(buffer.name)}[{index}]"
    state, start = literal(found.state), _start(found, scope)
    passed = f"pack.sort(given[{state}])"
    if not found.unless:
        return f"{place} = {passed} if {state} in given else {start}"
    passed, start = _widened(passed, scope), _widened(start, scope)
    return f"{place} = ({passed} if {state} in given else 0) + (0 if {literal(found.unless)} in given else {start})"


def _widened(array: str, scope: Scope) -> str:
    """An array in the type that is computed in, as code; sweeps that work on copies have it so."""
    return array if scope.program.profile.wide else f"_as({array}, {scope.real})"


def _start(found: Enter, scope: Scope) -> str:
    """Where a state starts that the caller does not pass, as code: rows, or what broadcasts to them."""
    if found.start is None:
        return "0"
    start = scope.program.window(found.start)[0]
    name = scope.module.plan.parameters[found.start.first]
    array = f"{scope.program.buffers[found.start.buffer].origin}[{literal(name)}]"
    return f"{array}.reshape(-1)" if len(start.shape) == 2 else array


def _first(depth: int, scope: Scope) -> str:
    scope.module.features.add("first")
    return f"pack.first({depth})"


def _last(buffer: str, depth: int, scope: Scope) -> str:
    scope.module.features.add("last")
    of = scope.program.buffers[buffer]
    return f"pack.last({of.depth}, {depth}, {scope.whole(of)})"


def leave(state: str, views: RegionViews) -> str:
    """What the caller gets back for a state, in the order of the rows, as a variable: (depth, batch, columns)."""
    scope = views.scope
    found = next(leaving for leaving in scope.program.leaves if leaving.state == state)
    forward = scope.program.ahead
    name = scope.names.get(("leave", state), f"{state}_last" if forward else f"d{state}_first")
    if state in scope.left:
        return name
    scope.left.add(state)
    parts = []
    for buffer, depth in found.buffers:
        index = _last(buffer, depth, scope) if forward else _first(depth, scope)
        parts.append((f"{scope.variable(buffer)}[{index}]", depth))
    if len(parts) == 1 and parts[0][1] == found.depth:
        views.lines.append(f"{name} = {parts[0][0]}")
        return name
    width = scope.size(units(found.shape))
    views.lines.append(f"{name} = {scope.xp}.zeros(({found.depth}, batch, {width}), {scope.real})")
    for code, depth in parts:
        place = f"[{found.depth - depth} :]" if depth < found.depth else ""
        views.lines.append(f"{name}{place} += {code}")
    return name


def returned(found: Leave, rows: str, scope: Scope) -> str:
    """Rows of (depth, batch, columns) as the caller gets them."""
    scope.module.features.add("unsort")
    return f"pack.unsort({rows}){_outside(found.depth, found.shape, scope)}"


def _outside(depth: int, shape: Shape, scope: Scope) -> str:
    """What makes (depth, batch, columns) the caller's (batch, *shape), or (depth, batch, *shape) of several steps."""
    if len(shape) == 2:
        lead = f"{depth}, batch" if depth > 1 else "batch"
        return f".reshape({lead}, {', '.join(scope.size(s) for s in shape)})"
    return "" if depth > 1 else "[0]"


# the same for a single step


def read_before(scope: Scope) -> list[Enter]:
    """The states of which ``step`` has read earlier steps."""
    return [found for found in scope.program.enters if scope.names.has(("before", found.buffer))]


def before(found: Enter, scope: Scope) -> str:
    """The line that finds the earlier steps of a state, or, where it is kept, makes the memory that they are copied
    to."""
    variable, buffer = _before(found.buffer, scope), scope.program.buffers[found.buffer]
    shape, kind = f"({found.depth}, batch, {scope.size(buffer.width)})", scope.type_of(buffer.storage)
    if scope.keeps:
        return f"{variable} = {scope.xp}.empty({shape}, {kind})"
    if found.start is None:
        start = f"{scope.xp}.zeros({shape}, {kind})"
    else:
        scope.module.features.add("filled")
        start = f"_filled({_start(found, scope)}, {shape}, {kind})"
    state = literal(found.state)
    passed = f"given[{state}]" if kind == "dtype" else f"_as(given[{state}], {kind})"
    return f"{variable} = {passed} if {state} in given else {start}"


def kept(found: Enter, scope: Scope) -> tuple[str, str, str]:
    """A state's name, that memory in the caller's shape, and where the state starts: as code."""
    shape = scope.module.plan.cell.shape_of(found.state)
    return (
        literal(found.state),
        _before(found.buffer, scope) + _outside(found.depth, shape, scope),
        "0" if found.start is None else f"params[{literal(scope.program.window(found.start)[0].name)}]",
    )


def _before(buffer: str, scope: Scope) -> str:
    return scope.names.get(("before", buffer), f"{buffer}_before")


def after(found: Leave, scope: Scope) -> str:
    """A state behind the one step, as the caller gets it: the earlier steps that it keeps, and the new one."""
    buffer = scope.program.buffers[found.buffers[0][0]]
    variable = scope.variable(buffer.name)
    shape = ", ".join(scope.size(s) for s in found.shape)
    if found.depth > 1:
        parts = f"[{_before(buffer.name, scope)}[1:], {variable}[None]]"
        return f"{scope.xp}.concatenate({parts}).reshape({found.depth}, batch, {shape})"
    if len(found.shape) == 2:
        variable += f".reshape(batch, {shape})"
    return f"{variable}.copy()" if scope.keeps or buffer.origin == "input" else variable
