"""A plan as a cost report: what each stage multiplies, moves and launches, and what the tape holds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sympy

from symcell.graph import Op, Operand, Pointwise, Reduce, name_of
from symcell.plan.schedule import Fused, Gemm, Gradient, Once, Schedule, Stage, Sums, operands_of, outs_of
from symcell.symbolic import functions as fn

if TYPE_CHECKING:
    from symcell.plan import Plan

NOMINAL = 256
BYTES = 4
"""Of a float32, in which the report counts."""

FUNCTION_FLOPS = 10
"""What an exponential and its like count for, in additions: a vectorised polynomial."""

WHERE = {
    "once": "once",
    "before": "before the loop",
    "loop": "every step",
    "after": "after the loop",
    "finish": "after the loop",
}


@dataclass(frozen=True)
class Cost:
    """The work of a stage per step and sample: floating-point operations, bytes moved (weights left out), launches."""

    flops: sympy.Expr
    bytes: sympy.Expr
    launches: int


def cost(stage: Stage, schedule: Schedule) -> Cost:
    """What one stage costs per step and sample."""
    graph = schedule.graph

    def size(name: str) -> sympy.Expr:
        return graph.size(name).symbol()

    match stage:
        case Gemm():
            pairs = zip(stage.outs * len(stage.operands), stage.operands * len(stage.outs), strict=True)
            flops = sympy.Add(*(2 * size(o) * size(name_of(v)) for o, v in pairs))
            moved = sympy.Add(*(size(n) for n in (*stage.outs, *map(name_of, stage.operands))))
        case Gradient():
            flops = sympy.Add(*(2 * size(name_of(v)) * size(name_of(stage.right)) for v in stage.lefts))
            moved = sympy.Add(*(size(name_of(v)) for v in (*stage.lefts, stage.right)))
        case Sums():
            flops = moved = sympy.Add(*(size(a.signal) for a in stage.args))
        case Fused():
            flops = sympy.Add(*(_step_flops(op) * size(_span(op)) for op in stage.steps))
            moved = sympy.Add(*(size(n) for n in _moved(stage, schedule)))
        case Once():
            flops = moved = sympy.Integer(0)
    return Cost(sympy.expand(flops), sympy.expand(BYTES * moved), 1)


def _span(op: Op) -> str:
    return name_of(op.arg) if isinstance(op, Reduce) else op.out


def _step_flops(op: Pointwise | Reduce) -> int:
    if isinstance(op, Reduce):
        return 1
    heavy = (
        fn.Sigmoid,
        fn.Tanh,
        fn.Exp,
        fn.Log,
        fn.Sqrt,
        fn.Sin,
        fn.Cos,
        fn.Erf,
        fn.NormalCdf,
        fn.Softplus,
        fn.Elu,
        fn.Power,
    )
    count = 0
    for node in sympy.preorder_traversal(op.body):
        if isinstance(node, sympy.Add | sympy.Mul):
            count += len(node.args) - 1
        elif isinstance(node, heavy):
            count += FUNCTION_FLOPS
        elif isinstance(node, fn.Elementwise | sympy.Pow):
            count += 1
    return count


def _moved(stage: Fused, schedule: Schedule) -> Iterable[str]:
    """What a fused stage reads from memory and writes to it, each once."""
    mine = set(outs_of(stage))
    read: dict[Operand, None] = {o: None for op in stage.steps for o in op.operands() if name_of(o) not in mine}
    outside = {name_of(o) for _, other in schedule.stages() if other is not stage for o in operands_of(other)}
    written = [n for n in outs_of(stage) if n in outside or n in schedule.graph.carried]
    fixed = schedule.graph.values
    return [n for n in (*map(name_of, read), *written) if not fixed[n].fixed]


def report(plan: Plan) -> str:
    """The plan in plain text: one line per stage, then totals at nominal sizes."""
    cell = plan.cell
    count = parameter_count(plan)
    lines = [
        f"{cell.name}: {len(plan.parameters)} parameters of {formula(count)} numbers,"
        f" {nominal(count)} at {_nominal_text(plan)}",
        "",
    ]
    totals = []
    for title, schedule in (("forward", plan.forward), ("backward", plan.backward)):
        lines += _sweep(title, schedule)
        totals.append(_total(title, schedule))
    stored = sympy.Add(*(plan.forward.graph.size(n).symbol() for n in plan.stash))
    again = [n for n in plan.backward.graph.producer() if n in plan.forward.graph.values]
    kept = f"{formula(stored)} numbers per step and sample: {', '.join(plan.stash)}"
    recomputed = f"; computed again: {', '.join(again)}" if again else ""
    lines += [*totals, textwrap.fill(f"{'stash':<9} {kept}{recomputed}", 78, subsequent_indent=" " * 10)]
    return "\n".join(lines)


def parameter_count(plan: Plan) -> sympy.Expr:
    """How many numbers the parameters are, as a formula in the sizes."""
    shapes = (plan.cell.parameters[p].shape for p in plan.parameters)
    return sympy.expand(sympy.Add(*(sympy.Mul(*(n.symbol() for n in shape)) for shape in shapes)))


def formula(expr: sympy.Expr) -> str:
    """A polynomial in the sizes, as people write it: ``4 D H + 4 H² + 4 H``."""
    text = str(sympy.expand(expr)).replace("**2", "²").replace("**3", "³")
    return text.replace("*", " ")


def nominal(expr: sympy.Expr) -> str:
    """The value of a formula where every size is 256."""
    return f"{int(expr.subs(dict.fromkeys(expr.free_symbols, NOMINAL))):,}"


def _nominal_text(plan: Plan) -> str:
    return f"{' = '.join(plan.cell.sizes)} = {NOMINAL}" if plan.cell.sizes else "these sizes"


def _sweep(title: str, schedule: Schedule) -> list[str]:
    rows = []
    sums: list[Sums] = []
    for region, stage in schedule.stages():
        if isinstance(stage, Sums):
            sums.append(stage)
        elif not isinstance(stage, Once):
            rows.append(_row(region, stage, schedule))
    if sums:
        joined = Sums(tuple(o for s in sums for o in s.outs), tuple(a for s in sums for a in s.args))
        rows.append(_row("finish", joined, schedule))
    heads = (title, "stage (per step and sample)", "FLOPs", "bytes")
    widths = [max(len(row[k]) for row in (heads, *rows)) for k in range(4)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in (heads, *rows)]
    return [*lines, ""]


def _row(region: str, stage: Stage, schedule: Schedule) -> tuple[str, str, str, str]:
    spent = cost(stage, schedule)
    return WHERE[region], _name(stage), formula(spent.flops), formula(spent.bytes)


def _name(stage: Stage) -> str:
    match stage:
        case Gemm():
            names = dict.fromkeys(str(m) for m in stage.matrices)
            return f"product  {_few(list(names))} @ {_few([str(v) for v in stage.operands])}"
        case Gradient():
            return f"product  {_few(list(stage.outs))}"
        case Sums():
            return f"sum      {_few(list(stage.outs))}"
        case _:
            return f"fused    {_few(list(outs_of(stage)))}"


def _few(names: list[str]) -> str:
    return ", ".join(names) if len(names) < 3 else f"{names[0]} … {names[-1]} ({len(names)})"


def _total(title: str, schedule: Schedule) -> str:
    flops = bytes_ = sympy.Integer(0)
    launches = {"step": 0, "once": 0}
    for region, stage in schedule.stages():
        spent = cost(stage, schedule)
        flops, bytes_ = flops + spent.flops, bytes_ + spent.bytes
        launches["step" if region == "loop" else "once"] += spent.launches
    work = f"{nominal(flops)} FLOPs and {nominal(bytes_)} bytes per step and sample at {NOMINAL} units"
    return f"{title:<9} {work},\n{'':<9} {launches['step']} launches per step and {launches['once']} besides"
