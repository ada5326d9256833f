"""Where the rows of a value stand at a step, as code: the views that emitted Python takes of its buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from symcell.cell import Size
from symcell.emit.names import Identifiers, size_code
from symcell.graph import Graph
from symcell.plan.homes import Buffer, Homes


@dataclass(frozen=True)
class Sweep:
    """What the views of one sweep refer to: its graph, all buffers it can see, and the identifiers of its function.

    ``own``: buffers this sweep allocates; the others come from outside. ``backward``: carried values are stored under
    the step that reads them, and read ahead.
    """

    graph: Graph
    homes: Homes
    buffers: Mapping[str, Buffer]
    own: frozenset[str]
    names: Identifiers
    backward: bool
    sizes: Mapping[str, Size]

    def variable(self, buffer: str) -> str:
        """The Python variable of a buffer."""
        suffix = "" if buffer in self.own else "_rows"
        return self.names.get(("buffer", buffer), f"{buffer}{suffix}")

    def starts(self, buffer: Buffer) -> str:
        """The list of first rows by step of a buffer's kind, as a variable."""
        whole = self.whole(buffer)
        hint = {"True": "at", "False": "ring", "keep_tape": "kept"}[whole] + f"_{buffer.depth}"
        return self.names.get(("starts", buffer.depth, whole), hint)

    def whole(self, buffer: Buffer) -> str:
        """Whether a buffer holds all steps, as code."""
        extent = buffer.history if buffer.extent == "carried" else buffer.extent
        kept_already = self.backward and buffer.name not in self.own
        return "True" if extent == "whole" or kept_already else "keep_tape" if extent == "tape" else "False"

    def offset(self, buffer: Buffer, index: int) -> Size:
        """The columns of a buffer before its member ``index``."""
        total = Size()
        for member in buffer.members[:index]:
            total = total + self.sizes[member]
        return total

    def place(self, value: str) -> tuple[str, int]:
        """The buffer of a value and its index among the members."""
        home = self.homes.of[value]
        buffer = self.buffers[home.buffer]
        columns = [self.offset(buffer, k) for k in range(len(buffer.members))]
        return buffer.name, columns.index(home.column)

    def width(self, buffer: Buffer) -> str:
        """The columns of a buffer, as code."""
        return size_code(self.offset(buffer, len(buffer.members)), self.names)


@dataclass
class Rows:
    """The views that one region has taken so far; ``lines`` are their definitions, in order, not yet written."""

    sweep: Sweep
    loop: bool
    lines: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    _known: dict[object, str] = field(default_factory=dict)

    def flush(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    def define(self, key: object, hint: str, code: str) -> str:
        """A variable of this region, defined where it is first needed."""
        if key not in self._known:
            self._known[key] = self.sweep.names.fresh(hint)
            self.lines.append(f"{self._known[key]} = {code}")
        return self._known[key]

    def _suffix(self, lag: int) -> str:
        return "_t" if lag == 0 else f"_t{lag}" if lag > 0 else f"_next{-lag if lag < -1 else ''}"

    def _step(self, buffer: Buffer, lag: int) -> str:
        """The index of the step in the buffer's list of first rows."""
        own_carry = self.sweep.backward and buffer.extent == "carried" and buffer.name in self.sweep.own
        ahead = -lag if own_carry else buffer.depth - lag
        return f"t + {ahead}" if ahead else "t"

    def start(self, name: str, lag: int) -> str:
        """The first row of a buffer at this step, as code."""
        buffer = self.sweep.buffers[name]
        if not self.loop or (self.sweep.whole(buffer) == "False" and buffer.extent != "carried"):
            return "0"
        return f"{self.sweep.starts(buffer)}[{self._step(buffer, lag)}]"

    def rows(self, name: str, lag: int) -> str:
        """A view of all columns of a buffer's rows at ``t - lag``, as a variable."""
        buffer = self.sweep.buffers[name]
        variable = self.sweep.variable(name)
        self.used.add(name)
        if self.loop:
            first = self.start(name, lag)
            code = f"{variable}[:n]" if first == "0" else f"{variable}[{first} : {first} + n]"
            return self.define((name, lag), f"{name}{self._suffix(lag)}", code)
        if buffer.extent != "carried":
            if lag:
                raise NotImplementedError(f"{name} is read {lag} steps back but keeps no earlier steps")
            return variable
        own_carry = self.sweep.backward and name in self.sweep.own
        if own_carry or lag == 0:
            return self.define((name, lag), f"{name}_all", f"{variable}[{buffer.depth} * batch :]")
        code = f"{variable}[pack.past({buffer.depth}, {lag})]"
        return self.define((name, lag), f"{name}{self._suffix(lag)}", code)

    def columns(self, name: str, first: int, last: int, lag: int, hint: str) -> str:
        """A view of the members ``first`` to ``last`` of a buffer at ``t - lag``, as a variable."""
        buffer = self.sweep.buffers[name]
        rows = self.rows(name, lag)
        if first == 0 and last == len(buffer.members) - 1:
            return rows
        start = self.column(buffer, first)
        stop = self.column(buffer, last + 1)
        code = f"{rows}[:, {'' if first == 0 else start + ' '}:{'' if last == len(buffer.members) - 1 else ' ' + stop}]"
        return self.define((name, lag, first, last), hint + (self._suffix(lag) if self.loop else ""), code)

    def column(self, buffer: Buffer, index: int) -> str:
        """The first column of a member, as code."""
        return size_code(self.sweep.offset(buffer, index), self.sweep.names)

    def offset(self, name: str, index: int) -> Size:
        """The first column of a member."""
        return self.sweep.offset(self.sweep.buffers[name], index)

    def width(self, name: str) -> Size:
        """The columns of a buffer."""
        buffer = self.sweep.buffers[name]
        return self.sweep.offset(buffer, len(buffer.members))

    def suffixed(self, name: str, lag: int) -> str:
        """What to call the rows of ``name`` at ``t - lag``."""
        return f"{name}{self._suffix(lag)}"

    def value(self, value: str, lag: int) -> str:
        """A view of one value at ``t - lag``."""
        name, k = self.sweep.place(value)
        return self.columns(name, k, k, lag, value)

    def window(self, values: tuple[str, ...], lag: int) -> str:
        """A view of values that lie side by side in this order."""
        places = [self.sweep.place(v) for v in values]
        (name, first), (_, last) = places[0], places[-1]
        if places != [(name, first + k) for k in range(len(values))]:
            raise AssertionError(f"{values} do not lie side by side: {places}")
        hint = values[0] if len(values) == 1 else f"{values[0]}_to_{values[-1]}"
        return self.columns(name, first, last, lag, hint)
