"""Stages as calls of C functions on the rows in hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from symcell.cell import Size
from symcell.emit.c.kernels import KernelView
from symcell.emit.c.places import Places
from symcell.emit.c_family.arguments import Length
from symcell.emit.c_family.names import Names
from symcell.emit.c_family.units import Line
from symcell.emit.comments import equation, numbered
from symcell.graph import Block, Total
from symcell.program.model import Gemm, Gradient, Kernel, Program, Ref, Sums
from symcell.program.storage import settled

WIDTH = 100
"""How wide a call may be before it is indented."""


@dataclass(frozen=True)
class Pack:
    """A matrix as products read it, packed once a call. ``source``: where it lies and how far apart its numbers are:
    along what is summed over, and along the result; ``inner``, ``columns``: how many there are of each."""

    name: str
    source: tuple[str, str, str]
    inner: str
    columns: str
    inputs_only: bool

    @property
    def size(self) -> str:
        """How many numbers it has."""
        return f"rounded(packed_size({self.inner}, {self.columns}))"

    @property
    def code(self) -> str:
        """The call that packs the panels from ``lo`` to ``hi``."""
        when = "if (a->need_x) " if self.inputs_only else ""
        return f"{when}pack(call->{self.name}, {', '.join(self.source)}, {self.inner}, {self.columns}, lo, hi);"


@dataclass
class Packs:
    """The packed matrices of one section."""

    names: Names
    found: dict[tuple[Ref, Block | None, bool], Pack] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """Lines that run a stage, and whether only gradients by the inputs depend on it."""

    lines: tuple[Line, ...]
    inputs_only: bool


@dataclass(frozen=True)
class Callers:
    """Prints the stages of one region."""

    places: Places
    packs: Packs
    kernels: Mapping[str, KernelView]

    @property
    def _program(self) -> Program:
        return self.places.views.scope.program

    def kernel(self, stage: Kernel) -> tuple[Line, ...]:
        """A kernel on the rows in hand."""
        view = self.kernels[stage.name]
        arguments = [
            self.places.record.length(Size.of(a.size)) if isinstance(a, Length) else self.places.slot(a.ref)
            for a in view.arguments
        ]
        return _call(view.name, ["rows", *arguments])

    def gemm(self, stage: Gemm, inputs_only: bool) -> tuple[Line, ...]:
        """A product of the rows in hand with a matrix: packed, or, for the one step of ``step``, as it lies. What it
        finds is rounded where it is stored as the parameters are."""
        places = self.places
        source, inner, columns = self._matrix(stage)
        rows = [places.start(stage.out), places.width(stage.out), places.start(stage.left), places.width(stage.left)]
        if places.views.kind == "single":
            matrix, function = [*source], "multiply_plain"
        else:
            matrix, function = [f"call->{self._pack(stage, source, inner, columns, inputs_only).name}"], "multiply"
        counts = ["rows", inner, columns, str(int(stage.accumulate))]
        sign = " += " if stage.accumulate else " = "
        texts = [equation(self._program, op).replace(" = ", sign, 1) for op in stage.ops]
        call = _call(function, [*rows, *matrix, *counts])
        if settled(self._program, stage.out):
            call += _call("round_rows", [*rows[:2], "rows", columns])
        return _commented(texts, call)

    def _matrix(self, stage: Gemm) -> tuple[tuple[str, str, str], str, str]:
        """Where a product's matrix lies with its strides; how long sums are, and how many there are."""
        length = self.places.record.length
        members = self._program.window(stage.matrix)
        across = members[0].shape[1]
        down = sum((m.shape[0] for m in members), Size())
        start = self.places.start(stage.matrix)
        if stage.columns is not None:
            offset = length(stage.columns.start)
            start += f" + {offset}" if offset != "0" else ""
        width = length(across if stage.columns is None else stage.columns.width)
        if stage.transposed:
            return (start, length(across), "1"), length(down), width
        return (start, "1", length(across)), width, length(down)

    def _pack(self, stage: Gemm, source: tuple[str, str, str], inner: str, columns: str, inputs_only: bool) -> Pack:
        key = (stage.matrix, stage.columns, stage.transposed)
        members = self._program.window(stage.matrix)
        hint = "_to_".join(dict.fromkeys((members[0].name, members[-1].name)))
        name = self.packs.names.get(("packed", key), f"packed_{hint}")
        before = self.packs.found.get(key)
        only = inputs_only and (before is None or before.inputs_only)
        self.packs.found[key] = Pack(name, source, inner, columns, only)
        return self.packs.found[key]

    # sums over all rows: each thread has some of the results

    def gradient(self, stage: Gradient) -> tuple[Size, str, tuple[Line, ...]]:
        """How many rows the result has, the scratch that ``count`` of them need, and the call for those from ``lo`` to
        ``hi``."""
        places = self.places
        left, left_rows, left_first = places.every(stage.left)
        right, right_rows, right_first = places.every(stage.right)
        down = sum((m.width for m in self._program.window(stage.left)), Size())
        columns = self._program.window(stage.right)[0].width
        width = places.record.length(columns)
        arguments = [places.start(stage.out), width, left, places.width(stage.left), left_rows, left_first, right,
                     places.width(stage.right), right_rows, right_first, *self._summed(), width, "scratch"]  # fmt: skip
        outers = {op.out: op for op in self._program.graph.steps}
        totals = [op for op in stage.ops if isinstance(op, Total)]
        texts = [numbered(self._program, op, f"{op.out} = sum of {str(outers[op.arg.signal]).partition(' = ')[2]}")
                 for op in totals]  # fmt: skip
        scratch = f"gradient_scratch(hi - lo, {width})"
        return down, scratch, _commented(texts, _call("gradient", arguments))

    def sums(self, stage: Sums) -> tuple[Size, str, tuple[Line, ...]]:
        """The same for a sum."""
        arg, rows, first = self.places.every(stage.arg)
        down = sum((m.width for m in self._program.window(stage.arg)), Size())
        arguments = [self.places.start(stage.out), arg, self.places.width(stage.arg), rows, first, *self._summed()]
        totals = [op for op in stage.ops if isinstance(op, Total)]
        texts = [numbered(self._program, op, f"{op.out} = sum of {op.arg}") for op in totals]
        return down, "", _commented(texts, _call("sums", arguments))

    def _summed(self) -> tuple[str, ...]:
        """How many rows are summed, for which of the results, and whether that is added to what stands there."""
        return ("total", "lo", "hi", "number > 0") if self.places.stretch else ("a->total", "lo", "hi", "0")


def _call(function: str, arguments: list[str]) -> tuple[Line, ...]:
    """A call, on one line or with its arguments on lines of their own."""
    line = f"{function}({', '.join(arguments)});"
    if len(line) <= WIDTH:
        return (Line(line),)
    lines = [""]
    for argument in arguments:
        piece = f"{argument}, "
        if lines[-1] and len(lines[-1] + piece) > WIDTH:
            lines.append("")
        lines[-1] += piece
    rows = [f"    {line}".rstrip() for line in lines]
    return (Line(f"{function}("), *map(Line, rows[:-1]), Line(f"{rows[-1].removesuffix(',')});"))


def _commented(texts: list[str], call: tuple[Line, ...]) -> tuple[Line, ...]:
    """A call behind the equations that it computes."""
    return (*(Line("", text) for text in texts), *call)
