"""Views that emitted Python takes of its buffers: where the rows of a reference stand in a region, as code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from symcell.emit.python.scope import Scope, joined
from symcell.graph import Operand
from symcell.program.model import Buffer, Ref
from symcell.symbolic.nodes import At

RegionKind = Literal["sequence", "steps", "single"]
"""All steps at once; step by step; or the one step of ``step``."""


@dataclass
class RegionViews:
    """The views that one region has taken so far. ``lines``: definitions that are not written yet, see :meth:`flush`.
    ``narrowed``: those of buffers that hold one step alone: they change only with the number of samples."""

    scope: Scope
    kind: RegionKind
    lines: list[str] = field(default_factory=list)
    narrowed: list[str] = field(default_factory=list)
    _known: dict[object, dict[str, str]] = field(default_factory=dict)

    def flush(self) -> list[str]:
        """The definitions since the last call, in order."""
        lines, self.lines = self.lines, []
        return lines

    def branch(self) -> RegionViews:
        """The same views, for lines that may not run: what they define is not known after them."""
        known = {key: dict(found) for key, found in self._known.items()}
        return RegionViews(self.scope, self.kind, [], self.narrowed, known)

    @property
    def count(self) -> str:
        """How many rows the region's stages work on, as code."""
        self.scope.counted |= self.kind == "steps"
        return {"sequence": "pack.size", "steps": "n", "single": "batch"}[self.kind]

    def suffix(self, lag: int) -> str:
        """What names of values read ``lag`` steps back end in."""
        if self.kind == "sequence" and not lag:
            return ""
        return "_t" if lag == 0 else f"_t{lag}" if lag > 0 else f"_next{-lag if lag < -1 else ''}"

    # where rows begin: for targets that hand over addresses

    def base(self, ref: Ref) -> tuple[str, str]:
        """An array in which a reference's rows lie one after the other, and the first row of the region's: as code.

        The array has all columns of the buffer. A gathered or sliced one begins with the first row.
        """
        buffer = self.scope.program.buffers[ref.buffer]
        if self.kind == "steps":
            if self._one_step(buffer):
                return self.scope.variable(ref.buffer), "0"
            return self.scope.variable(ref.buffer), f"{self.scope.slot_list(buffer, ref.shift)}[t].start"
        if self.kind == "single":
            return self._slot(buffer, ref.shift), "0"
        if ref.shift == buffer.depth:
            return self.scope.variable(ref.buffer), f"{buffer.depth} * batch" if buffer.depth else "0"
        return self._gathered(ref), "0"

    # arrays of rows

    def rows(self, ref: Ref, values: Sequence[str] = (), lag: int = 0) -> str:
        """The members of a reference as a variable: (rows, columns). ``values``, ``lag``: what they are called."""
        return self._view(ref, values, lag, None)

    def shaped(self, ref: Ref, dims: Sequence[str], values: Sequence[str] = (), lag: int = 0) -> str:
        """The members of a reference as a variable: (rows, *dims), ``dims`` being code."""
        return self._view(ref, values, lag, tuple(dims))

    def operand(self, operand: Operand, ref: Ref, last: Operand | None = None) -> str:
        """An operand as a variable: (rows, columns), or a fixed array; with its neighbours up to ``last``."""
        values = self.names(operand, ref, last)
        if self.scope.program.buffers[ref.buffer].extent == "fixed":
            return self.scope.fixed(ref, values)
        return self.rows(ref, values, operand.lag if isinstance(operand, At) else 0)

    def names(self, operand: Operand, ref: Ref, last: Operand | None = None) -> list[str]:
        """What the members that an operand names are called: by the operand, not by their place."""
        if ref.count == 1:
            return [operand.signal]
        end = last.signal if last is not None else self.scope.program.window(ref)[-1].name
        return [operand.signal, end]

    def _view(self, ref: Ref, values: Sequence[str], lag: int, dims: tuple[str, ...] | None) -> str:
        hint = joined(list(values) or [m.name for m in self.scope.program.window(ref)])
        name = hint + self.suffix(lag)
        found = self._known.setdefault((ref, dims), {})
        if name in found:
            return found[name]
        buffer = self.scope.program.buffers[ref.buffer]
        lines = self.narrowed if self.kind == "steps" and self._one_step(buffer) else self.lines
        code = next(iter(found.values())) if found else self._code(ref, buffer, dims)
        named = (buffer.name, buffer.members[0].name)
        if not found and code.isidentifier() and (hint in named or buffer.origin != "own"):
            found[name] = code
            return code
        found[name] = self.scope.names.fresh(name)
        lines.append(f"{found[name]} = {code}")
        return found[name]

    def _code(self, ref: Ref, buffer: Buffer, dims: tuple[str, ...] | None) -> str:
        scope = self.scope
        columns = self._columns(ref, buffer)
        if self.kind == "steps":
            if self._one_step(buffer):
                return self._cut(scope.variable(ref.buffer), ":n", columns, dims)
            whole = self._cut(scope.variable(ref.buffer), ":", columns, dims)
            if columns or dims:
                # once a call, rather than at every step
                hint = joined([m.name for m in scope.program.window(ref)])
                key = ("columns", ref.buffer, ref.first, ref.count, dims)
                whole = scope.define(key, f"{hint}_{'x'.join(dims)}" if dims else hint, whole)
            return f"{whole}[{scope.slot_list(buffer, ref.shift)}[t]]"
        if self.kind == "single":
            return self._cut(self._slot(buffer, ref.shift), ":", columns, dims)
        if ref.shift == buffer.depth:
            first = f"{buffer.depth} * batch :" if buffer.depth > 1 else "batch :" if buffer.depth else ":"
            return self._cut(scope.variable(ref.buffer), first, columns, dims)
        return self._cut(self._gathered(ref), ":", columns, dims)

    def _one_step(self, buffer: Buffer) -> bool:
        return buffer.extent == "local" or (buffer.extent == "ring" and not buffer.depth)

    def _columns(self, ref: Ref, buffer: Buffer) -> str:
        """The columns of a reference as an index; empty for all."""
        last = ref.first + ref.count
        if ref.first == 0 and last == len(buffer.members):
            return ""
        start = self.scope.size(buffer.offset(ref.first)) + " " if ref.first else ""
        stop = " " + self.scope.size(buffer.offset(last)) if last < len(buffer.members) else ""
        return f"{start}:{stop}"

    def _cut(self, array: str, rows: str, columns: str, dims: tuple[str, ...] | None) -> str:
        index = f"[{rows}, {columns}]" if columns else "" if rows == ":" else f"[{rows}]"
        return array + index + (f".reshape(-1, {', '.join(dims)})" if dims else "")

    def _gathered(self, ref: Ref) -> str:
        """All columns of the rows that lie another number of steps back, as a variable of their own."""
        buffer = self.scope.program.buffers[ref.buffer]
        lag = buffer.depth - ref.shift
        found = self._known.setdefault(("gathered", ref.buffer, ref.shift), {})
        if not found:
            found[""] = self.scope.names.fresh(f"{ref.buffer}{self.suffix(lag)}")
            self.lines.append(f"{found['']} = {self.scope.variable(ref.buffer)}[{self.past(buffer, ref.shift)}]")
        return found[""]

    def past(self, buffer: Buffer, shift: int) -> str:
        """The rows of the slots that a reference of this shift names, of all steps, as an index."""
        self.scope.module.features.add("past")
        return f"pack.past({buffer.depth}, {shift})"

    def _slot(self, buffer: Buffer, shift: int) -> str:
        """The array of a slot in ``step``: of an earlier step, one that the caller passed."""
        if shift == buffer.depth:
            return self.scope.variable(buffer.name)
        return self.before(buffer, shift)

    def before(self, buffer: Buffer, slot: int) -> str:
        """The rows of a slot before the one step, as a variable."""
        state = self.scope.names.get(("before", buffer.name), f"{buffer.name}_before")
        lag = buffer.depth - slot
        return self.scope.define(("slot", buffer.name, slot), f"{buffer.name}{self.suffix(lag)}", f"{state}[{slot}]")
