"""Where the rows of references lie, as C: in a step, in a piece of the whole sequence, or in the one step of ``step``.

The lines that use them have the variables ``first``, the piece's first row (in a step: its first sample), and ``t``.
"""

from __future__ import annotations

from dataclasses import dataclass

from symcell.emit.c.record import Record
from symcell.emit.python.views import RegionViews
from symcell.program.model import Buffer, Ref


@dataclass(frozen=True)
class Places:
    """References of one region, as members of the record and arithmetic on them. ``stretch``: the lines are part of a
    stretch of steps, whose first row is ``base``."""

    record: Record
    views: RegionViews
    stretch: bool = False

    def start(self, ref: Ref) -> str:
        """The first of a reference's numbers: an address."""
        buffer = self._buffer(ref)
        offset = self.record.length(buffer.offset(ref.first))
        if buffer.extent == "fixed":
            return self._fixed(ref)
        row, width = self._row(ref, buffer), self.record.factor(buffer.width)
        terms = [self._array(ref), "" if row == "0" else f"({row})*{width}" if " " in row else f"{row}*{width}"]
        return " + ".join([*filter(None, terms), *([offset] if offset != "0" else [])])

    def slot(self, ref: Ref) -> str:
        """The first number of the row that a reference lies in."""
        return self.start(Ref(ref.buffer, shift=ref.shift) if self._buffer(ref).extent != "fixed" else ref)

    def every(self, ref: Ref) -> tuple[str, str, str]:
        """The first of a reference's numbers in the sequence, its rows as an index (NULL: all in order), and the first
        of those to be worked on."""
        buffer = self._buffer(ref)
        offset, width = self.record.length(buffer.offset(ref.first)), self.record.factor(buffer.width)
        start = f" + {offset}" if offset != "0" else ""
        array = self._array(ref)
        base = "base" if self.stretch and not self.views.scope.in_stretches(buffer) else "0"
        if ref.shift == buffer.depth:
            lead = f" + {buffer.depth}*{self._batch()}*{width}" if buffer.depth else ""
            return array + lead + start, "NULL", base
        scope = self.views.scope
        scope.module.features |= {"past", "index"}
        key = ("past", buffer.depth, ref.shift)
        past = scope.define(key, f"past_{buffer.depth}_{ref.shift}", f"_past(pack, {buffer.depth}, {ref.shift})")
        first = self.record.number((*key, "first"), f"past_{buffer.depth}_{ref.shift}_first", f"{past}[0]")
        index = self.record.integers((*key, "index"), f"past_{buffer.depth}_{ref.shift}", f"{past}[1]")
        return f"{array} + {first}*{width}{start}", index, base

    def width(self, ref: Ref) -> str:
        """How far apart a reference's rows are; those of a fixed value are one and the same."""
        buffer = self._buffer(ref)
        return "0" if buffer.extent == "fixed" else self.record.length(buffer.width)

    def shifted(self, ref: Ref) -> bool:
        """Whether a reference's rows are those of other steps than the ones in hand, and so not always in one piece."""
        buffer = self._buffer(ref)
        return self.views.kind == "sequence" and buffer.extent != "fixed" and ref.shift != buffer.depth

    def _buffer(self, ref: Ref) -> Buffer:
        return self.views.scope.program.buffers[ref.buffer]

    def _batch(self) -> str:
        return self.record.number("batch", "batch", "batch")

    def _fixed(self, ref: Ref) -> str:
        scope = self.views.scope
        member = scope.program.window(ref)[0].name
        return self.record.array(("fixed", ref.buffer, ref.first), member, scope.fixed(Ref(ref.buffer, ref.first)))

    def _array(self, ref: Ref) -> str:
        if self.views.kind != "single":
            variable = self.views.scope.variable(ref.buffer)
            return self.record.array(("buffer", ref.buffer), ref.buffer, variable)
        variable, _ = self.views.base(ref)
        return self.record.array(("buffer", ref.buffer, ref.shift), f"{ref.buffer}{self._lag(ref)}", variable)

    def _lag(self, ref: Ref) -> str:
        lag = self._buffer(ref).depth - ref.shift
        return f"_{lag}" if lag else ""

    def _row(self, ref: Ref, buffer: Buffer) -> str:
        kind = self.views.kind
        if self.views.scope.in_stretches(buffer):
            return "first - base" if kind == "sequence" else f"{self.offsets()}[t] - base + first"
        if kind == "single" or (kind == "sequence" and not buffer.depth):
            return "first"
        if kind == "sequence" and ref.shift == buffer.depth:
            return f"{buffer.depth}*{self._batch()} + first"
        if kind == "steps" and (buffer.extent == "local" or (buffer.extent == "ring" and not buffer.depth)):
            return "first"
        starts = self._starts(buffer.depth, self.views.scope.whole(buffer))
        step = f"t + {ref.shift}" if ref.shift else "t"
        if kind == "steps":
            return f"{starts}[{step}] + first"
        return f"{starts}[{step}] - {self.offsets()}[t] + first"

    def _starts(self, depth: int, whole: str) -> str:
        scope = self.views.scope
        scope.module.features.add("starts")
        hint = {"True": "starts", "False": "ring", "keep_tape": "kept"}[whole] + f"_{depth}"
        variable = scope.define(("starts", depth, whole), hint, f"np.array(pack.starts({depth}, {whole}), np.int64)")
        return self.record.integers(("starts", depth, whole), hint, variable)

    def offsets(self) -> str:
        """The first row of each step."""
        return self._starts(0, "True")
