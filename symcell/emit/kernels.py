"""A fused stage as CUDA kernels: one thread per unit, or one block per row where the units of a row meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from symcell.cell import ONE, Size
from symcell.emit.c_code import CALLS, c_code
from symcell.emit.names import C_RESERVED, Identifiers, size_code
from symcell.emit.program import Program
from symcell.emit.rows import Rows
from symcell.emit.text import comment
from symcell.graph import Pointwise, Reduce, lag_of, name_of
from symcell.plan.schedule import Fused, operands_of
from symcell.symbolic.nodes import At, Count, Param

OWN = frozenset(CALLS.values()) | {
    "real",
    "LOWEST",
    "block_sum",
    "block_max",
    "row",
    "rows",
    "unit",
    "index",
    "partial",
}
"""Names that kernels and their prelude use themselves."""

Step = Pointwise | Reduce


@dataclass(frozen=True)
class Line:
    """A line of a kernel, and the equation it computes."""

    comment: str
    code: str


@dataclass(frozen=True)
class Phase:
    """Part of a row kernel: values of size 1, then a loop over ``size`` units, then reductions over them."""

    scalars: tuple[Line, ...]
    size: str
    partials: tuple[str, ...]
    body: tuple[Line, ...]
    reductions: tuple[Line, ...]


@dataclass(frozen=True)
class Kernel:
    """A CUDA kernel: ``arguments`` as (C declaration, Python code), in order; ``rowwise``: one block per row.

    ``width``: the units of a row, as Python code. ``sent``: carried buffers that the caller writes from arrays
    ``…_sent``, since the steps that read their rows do not lie one after the other.
    """

    name: str
    rowwise: bool
    arguments: tuple[tuple[str, str], ...]
    pointers: tuple[str, ...]
    phases: tuple[Phase, ...]
    width: str
    sent: tuple[str, ...]


def split(stage: Fused, program: Program) -> list[tuple[Step, ...]]:
    """The stage's steps as kernels: those of different sizes part where no reduction or broadcast ties them."""
    sizes = {program.schedule.graph.size(op.out) for op in stage.steps}
    tied = ONE in sizes or any(isinstance(op, Reduce) for op in stage.steps)
    if tied:
        return [stage.steps]
    ordered = dict.fromkeys(program.schedule.graph.size(op.out) for op in stage.steps)
    return [tuple(op for op in stage.steps if program.schedule.graph.size(op.out) == size) for size in ordered]


def kernel(name: str, steps: tuple[Step, ...], program: Program, rows: Rows) -> Kernel:
    """The kernel that computes ``steps`` for every row."""
    return _Writer(name, steps, program, rows).kernel()


def stored(steps: Iterable[Step], program: Program) -> set[str]:
    """The values of these steps that something outside their kernel reads."""
    mine = {op.out for op in steps}
    plan = program.plan
    outside = {plan.cell.output, *plan.stash} if not program.sweep.backward else set(plan.adjoint.gradients.values())
    for _, stage in program.schedule.stages():
        if isinstance(stage, Fused):
            outside |= {name_of(o) for op in stage.steps if op.out not in mine for o in op.operands()}
        else:
            outside |= {name_of(o) for o in operands_of(stage)}
    outside |= set(program.schedule.graph.carried)
    return mine & outside


@dataclass
class _Writer:
    name: str
    steps: tuple[Step, ...]
    program: Program
    rows: Rows
    names: Identifiers = field(default_factory=lambda: Identifiers(C_RESERVED | OWN, c=True))
    arguments: dict[str, str] = field(default_factory=dict)
    pointers: list[str] = field(default_factory=list)
    registers: dict[str, str] = field(default_factory=dict)
    known: dict[object, str] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.graph = self.program.schedule.graph
        self.made = {op.out: op for op in self.steps}
        self.level: dict[str, int] = {}
        for op in self.steps:
            sources = [name_of(o) for o in op.operands() if name_of(o) in self.made and lag_of(o) == 0]
            self.level[op.out] = max((self.level[s] + isinstance(self.made[s], Reduce) for s in sources), default=0)
        self.stored = stored(self.steps, self.program) | self._crossing()

    def _crossing(self) -> set[str]:
        """Values that are read in a later phase than the one that computes them."""
        crossing = set()
        for op in self.steps:
            for o in op.operands():
                name = name_of(o)
                earlier = name in self.made and lag_of(o) == 0 and self.level[name] < self.level[op.out]
                if earlier and self.graph.size(name) != ONE:
                    crossing.add(name)
        return crossing

    def kernel(self) -> Kernel:
        sizes = [self.graph.size(n) for op in self.steps for n in (op.out, *(name_of(o) for o in op.operands()))]
        wide = [s for s in dict.fromkeys(sizes) if s != ONE] or [ONE]
        rowwise = ONE in {self.graph.size(op.out) for op in self.steps} and wide != [ONE]
        rowwise = rowwise or any(isinstance(op, Reduce) for op in self.steps)
        phases = self._phases() if rowwise else (self._flat(wide[0]),)
        widths = [size_code(s, self.program.sweep.names) for s in wide]
        width = widths[0] if len(widths) == 1 else f"max({', '.join(widths)})"
        return Kernel(
            self.name, rowwise, tuple(self.arguments.items()), tuple(self.pointers), phases, width, tuple(self.sent)
        )

    # operands

    def argument(self, kind: str, key: object, hint: str, code: str) -> str:
        """A kernel argument for ``code``, declared once."""
        if key not in self.known:
            self.known[key] = self.names.fresh(hint)
            self.arguments[f"{kind} {self.known[key]}"] = code
        return self.known[key]

    def length(self, size: Size) -> str:
        """A size as C code, its named parts passed as arguments."""
        local = _SizeNames(self)
        return size_code(size, local)  # type: ignore[arg-type]

    def pointer(self, name: str, lag: int) -> str:
        """A pointer to a buffer's row, declared once."""
        key = ("row", name, lag)
        if key not in self.known:
            hint = self.rows.suffixed(name, lag)
            array, start = self._located(name, lag)
            base = self.argument("real*", ("base", name, lag), hint, array)
            first = self.argument("long long", ("start", name, lag), f"{hint}_at", start)
            width = self.length(self.rows.width(name))
            self.known[key] = self.names.fresh(f"{hint}_row")
            self.pointers.append(f"real* {self.known[key]} = {base} + ({first} + row) * {bracketed(width)};")
        return self.known[key]

    def _located(self, name: str, lag: int) -> tuple[str, str]:
        self.rows.used.add(name)
        buffer = self.program.sweep.buffers[name]
        own_carry = self.program.sweep.backward and buffer.extent == "carried" and name in self.program.sweep.own
        if not self.rows.loop and own_carry and lag == 0:
            self.sent.append(name)
            return self.program.sweep.names.get(("scatter", name), f"{name}_sent"), "0"
        if self.rows.loop:
            return self.program.sweep.variable(name), self.rows.start(name, lag)
        return self.rows.rows(name, lag), "0"

    def cell(self, value: str, lag: int) -> str:
        """The place of a value in memory, at this unit."""
        name, k = self.rows.sweep.place(value)
        column = self.length(self.rows.offset(name, k))
        unit = "0" if self.graph.values[value].size == ONE else "unit"
        index = unit if column == "0" else column if unit == "0" else f"{column} + {unit}"
        return f"{self.pointer(name, lag)}[{index}]"

    def operand(self, atom: At | Param | Count) -> str:
        if isinstance(atom, Count):
            return f"(real)({self.length(atom.size)})"
        if isinstance(atom, Param):
            base = self.argument("const real*", ("fixed", atom.name), atom.name, self.program.fixed((atom.name,)))
            return f"{base}[{'0' if self.graph.size(atom.name) == ONE else 'unit'}]"
        if atom.lag == 0 and atom.signal in self.registers:
            return self.registers[atom.signal]
        return self.cell(atom.signal, atom.lag)

    # phases

    def _flat(self, size: Size) -> Phase:
        return Phase((), bracketed(self.length(size)), (), tuple(self._lines(list(self.steps))), ())

    def _phases(self) -> tuple[Phase, ...]:
        phases = []
        for level in sorted(set(self.level.values())):
            here = [op for op in self.steps if self.level[op.out] == level]
            scalars = tuple(
                self._scalars([op for op in here if isinstance(op, Pointwise) and self.graph.size(op.out) == ONE])
            )
            loops = dict.fromkeys(self._span(op) for op in here if self._span(op) != ONE)
            for k, size in enumerate(loops or {ONE: None}):
                body = [op for op in here if isinstance(op, Pointwise) and self._span(op) == size != ONE]
                reduced = [op for op in here if isinstance(op, Reduce) and self._span(op) == size]
                phases.append(self._phase(scalars if k == 0 else (), size, body, reduced))
        return tuple(phases)

    def _span(self, op: Step) -> Size:
        """The size of the loop that an operation belongs to."""
        return self.graph.size(name_of(op.arg)) if isinstance(op, Reduce) else self.graph.size(op.out)

    def _phase(self, scalars: tuple[Line, ...], size: Size, body: list[Pointwise], reduced: list[Reduce]) -> Phase:
        outer = dict(self.registers)
        lines = self._lines(body)
        partials, reductions = [], []
        for op in reduced:
            partial = self.names.fresh(f"partial_{op.out}")
            value = self.operand(op.arg)
            start = "0" if op.kind == "sum" else "LOWEST"
            partials.append(f"real {partial} = {start};")
            grown = f"maximum({partial}, {value})" if op.kind == "max" else f"{partial} + {value}"
            lines.append(Line("", f"{partial} = {grown};"))
            result = self.names.fresh(op.out)
            reductions.append(
                Line(
                    comment(f"{op.out}[t] = {op.kind}({op.arg})"), f"const real {result} = block_{op.kind}({partial});"
                )
            )
            outer[op.out] = result
        self.registers = outer
        for op in reduced:
            if op.out in self.stored:
                reductions.append(Line("", f"if (threadIdx.x == 0) {self.cell(op.out, 0)} = {self.registers[op.out]};"))
        return Phase(scalars, self.length(size), tuple(partials), tuple(lines), tuple(reductions))

    def _scalars(self, steps: list[Pointwise]) -> list[Line]:
        """Values of size 1: every thread computes them, one stores them once all have read what was there before."""
        lines = self._registers(steps)
        stores = [op for op in steps if op.out in self.stored]
        if stores:
            lines.append(Line("", "__syncthreads();"))
        lines += [
            Line("", f"if (threadIdx.x == 0) {self.cell(op.out, 0)} = {self.registers[op.out]};") for op in stores
        ]
        return lines

    def _lines(self, steps: list[Step] | list[Pointwise]) -> list[Line]:
        """Steps of one loop: into registers, then those that are read elsewhere into memory."""
        lines = self._registers([op for op in steps if isinstance(op, Pointwise)])
        stores = [op for op in steps if op.out in self.stored]
        return lines + [Line("", f"{self.cell(op.out, 0)} = {self.registers[op.out]};") for op in stores]

    def _registers(self, steps: list[Pointwise]) -> list[Line]:
        lines = []
        for op in steps:
            code = c_code(op.body, self.operand)
            self.registers[op.out] = self.names.fresh(op.out)
            lines.append(Line(self.program.equation(op), f"const real {self.registers[op.out]} = {code};"))
        return lines


@dataclass
class _SizeNames:
    """Names of sizes inside a kernel: each is an argument."""

    writer: _Writer

    def get(self, key: tuple[str, str], hint: str) -> str:
        outer = self.writer.program.sweep.names.get(key, hint)
        return self.writer.argument("long long", key, hint, outer)


def bracketed(code: str) -> str:
    """A size as a factor."""
    return f"({code})" if "+" in code or "*" in code else code
