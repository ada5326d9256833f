"""A plan as a cost report, counted from its programs: what each stage multiplies, moves and launches, what the tape
holds, and how much memory a train step needs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import sympy

from symcell.cell import Cell, Size, units
from symcell.program.access import made
from symcell.program.checkpoints import again, memory
from symcell.program.costs import NOTHING, Cost, Counts as Counts, cost, counts as counts
from symcell.program.memory_use import allocated as allocated
from symcell.program.model import Copy, EdgeSum, Fixed, Gemm, Gradient, Kernel, Plan, Program, Stage, Sums
from symcell.program.peak import peak_formula, peak_memory as peak_memory

NOMINAL, STEPS, BATCH = 256, 100, 32
"""Units, steps and samples for which numbers are given."""

BYTES = 4
"""Of a float32, in which the report counts."""

WIDTH = 80

NARROW = 17
"""Of a column with a formula: longer ones go on in the next line."""


def report(plan: Plan) -> str:
    """The plan in plain text, at most 80 columns wide: a line per stage, then totals at nominal sizes."""
    count = parameter_count(plan.cell)
    head = f"{plan.cell.name}: {len(plan.parameters)} parameters of {formula(count)} numbers, {nominal(count)} at"
    lines = [*textwrap.wrap(f"{head} {_nominal_text(plan)}", WIDTH, subsequent_indent="  "), ""]
    for title, program in plan.programs.items():
        lines += [*_table(title, program), ""]
    for title, program in plan.programs.items():
        lines += _totals(title, program)
    return "\n".join([*lines, *_stash(plan), *_peak(plan), *_checkpoints(plan)])


# numbers and formulas


def parameter_count(cell: Cell) -> sympy.Expr:
    """How many numbers a cell's parameters are, as a formula in its sizes."""
    return sympy.expand(sympy.Add(*(units(p.shape).symbol() for p in cell.parameters.values())))


def formula(expr: sympy.Expr) -> str:
    """A polynomial in the sizes, as people write it: ``4 D H + 4 H² + 4 H``."""
    text = str(sympy.expand(expr)).replace("**2", "²").replace("**3", "³")
    return text.replace("*", " ")


def nominal(expr: sympy.Expr) -> str:
    """The value of a formula where every size is 256."""
    return f"{int(expr.subs(dict.fromkeys(expr.free_symbols, NOMINAL))):,}"


def _nominal_text(plan: Plan) -> str:
    return f"{' = '.join(plan.cell.sizes)} = {NOMINAL}" if plan.cell.sizes else "these sizes"


@dataclass(frozen=True)
class Totals:
    """What a cell costs, as formulas in its sizes: numbers in its parameters; floating-point operations of a step and
    sample forward and backward; numbers per step and sample that forward leaves for backward, and their names."""

    parameters: sympy.Expr
    forward: sympy.Expr
    backward: sympy.Expr
    stash: sympy.Expr
    stashed: tuple[str, ...]


def totals(plan: Plan) -> Totals:
    """The totals of a plan's first two programs."""
    forward, backward = (sympy.expand(sympy.Add(*(cost(p, stage).flops for _, stage in p.stages())))
                         for p in (plan.forward, plan.backward))  # fmt: skip
    width, names = stash_of(plan.forward)
    return Totals(parameter_count(plan.cell), forward, backward, width, names)


# the stages


@dataclass(frozen=True)
class Row:
    """Stages that follow each other and are of one kind: where they run, what they are, what they cost."""

    where: str
    kind: str
    names: tuple[str, ...]
    cost: Cost

    def cells(self) -> tuple[str, ...]:
        text = f"{self.kind:<9}{_few(self.names)}"
        return self.where, text, formula(self.cost.flops), formula(BYTES * self.cost.numbers), str(self.cost.launches)


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) < 3 else f"{names[0]} … {names[-1]} ({len(names)})"


def rows(program: Program) -> Iterator[Row]:
    """The program's stages, neighbours of one kind together where a statement is a call of its own."""
    pending: Row | None = None
    for where, stage in placed(program):
        row = Row(where, kind_of(stage, program), _names(stage, program), cost(program, stage))
        joins = row.kind in ("calls", "sum", "fixed")
        if pending is not None and joins and (pending.where, pending.kind) == (row.where, row.kind):
            pending = Row(row.where, row.kind, pending.names + row.names, pending.cost + row.cost)
            continue
        if pending is not None:
            yield pending
        pending = row
    if pending is not None:
        yield pending


def placed(program: Program) -> Iterator[tuple[str, Stage]]:
    """Every stage and when it runs."""
    loop = False
    for region in program.regions:
        loop |= region.kind == "steps"
        for stage in region.stages:
            if isinstance(stage, Fixed | EdgeSum):
                yield "once", stage
            elif region.kind == "steps":
                yield "each step", stage
            else:
                yield ("after" if loop else "before"), stage


def kind_of(stage: Stage, program: Program) -> str:
    match stage:
        case Kernel():
            return "fused" if program.profile.registers else "calls"
        case Gemm() | Gradient():
            return "product"
        case Sums():
            return "sum"
        case Copy():
            return "copy"
    return "fixed"


def _names(stage: Stage, program: Program) -> tuple[str, ...]:
    if isinstance(stage, Gemm):
        sign = ".T" if stage.transposed else ""
        matrices = tuple(f"{m.name}{sign}" for m in program.window(stage.matrix))
        return (f"{_few(matrices)} @ {_few(tuple(m.name for m in program.window(stage.left)))}",)
    if isinstance(stage, Copy):
        return tuple(m.name for m in program.window(stage.out))
    return made(stage)


def _table(title: str, program: Program) -> list[str]:
    heads = (title, "stage", "FLOPs", "bytes", _unit(program))
    cells = [heads, *(row.cells() for row in rows(program))]
    widths = [max(len(row[k]) for row in cells) for k in range(5)]
    spare = WIDTH - 8 - widths[0] - widths[4]
    for k in (3, 2):
        widths[k] = min(widths[k], NARROW)
        spare -= widths[k]
    widths[1] = min(widths[1], spare)
    return [line for row in cells for line in _wrapped(row, widths)]


def _wrapped(row: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    """A row of a table, its cells broken over several lines where they are too wide."""
    cells = [textwrap.wrap(text, width, subsequent_indent=" " * 9 if k == 1 else "") or [""]
             for k, (text, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
    for n in range(max(map(len, cells))):
        texts = [(cell[n] if n < len(cell) else "").ljust(w) for cell, w in zip(cells, widths, strict=True)]
        yield "  ".join(texts).rstrip()


def _unit(program: Program) -> str:
    return "launches" if program.profile.registers else "calls"


# totals


def _totals(title: str, program: Program) -> list[str]:
    total, found = sum((row.cost for row in rows(program)), NOTHING), counts(program)
    work = f"{nominal(total.flops)} FLOPs and {nominal(BYTES * total.numbers)} bytes per step and sample"
    launches = f"{found.launches[0]} {_unit(program)} per step and {found.launches[1]} besides"
    fixed = f", {found.fixed} over parameters" if found.fixed else ""
    return _item(title, f"{work} at {NOMINAL} units, {launches}{fixed}")


def _item(title: str, text: str) -> list[str]:
    return textwrap.wrap(f"{title:<9} {text}", WIDTH, subsequent_indent=" " * 10)


def _stash(plan: Plan) -> list[str]:
    again = f"; computed again: {', '.join(plan.again)}" if plan.again else ""
    lines = _item("stash", f"{_taped(plan.forward)}{again}")
    for one, two in plan.pairs[1:]:
        lines += _item("", f"for {two.role}: {_taped(one)}")
    return lines


def stash_of(program: Program) -> tuple[sympy.Expr, tuple[str, ...]]:
    """What a program makes and hands on: numbers per step and sample, and their names."""
    buffers = [b for name in program.tape if (b := program.buffers[name]).origin == "own"]
    stored = sum((b.width for b in buffers), Size())
    return stored.symbol(), tuple(m.name for b in buffers for m in b.members)


def _taped(program: Program) -> str:
    stored, names = stash_of(program)
    return f"{formula(stored)} numbers per step and sample: {', '.join(names)}"


def _peak(plan: Plan) -> list[str]:
    sizes = dict.fromkeys(plan.cell.sizes, NOMINAL)
    found = peak_memory(plan, sizes, STEPS, BATCH, BYTES)
    held = formula(peak_formula(plan, NOMINAL, STEPS, BATCH))
    at = f"{found / 1e6:,.1f} MB at {NOMINAL} units, T = {STEPS} steps and B = {BATCH} samples"
    return _item("memory", f"{held} numbers at most in a train step: {at}")


def _checkpoints(plan: Plan) -> list[str]:
    sizes = dict.fromkeys(plan.cell.sizes, NOMINAL)
    whole, few = (memory(plan, sizes, STEPS, BATCH, BYTES, checkpoint) for checkpoint in (None, "sqrt"))
    held = f"{whole.peak / 1e6:,.1f} MB of it besides what goes in and comes out"
    states = f'{few.peak / 1e6:,.1f} MB with checkpoint="sqrt", states kept every {few.every} steps'
    return _item("", f"{held}; {states}, for {nominal(again(plan))} more FLOPs per step and sample")
