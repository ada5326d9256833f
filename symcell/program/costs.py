"""What a program costs: operations, traffic and launches of each stage."""

from __future__ import annotations

from dataclasses import dataclass

import sympy

from symcell.cell import Size, units
from symcell.graph import Combine, Contraction, Pointwise, Reduce
from symcell.program.memory_use import slots
from symcell.program.model import (
    Call,
    Copy,
    EdgeSum,
    Fixed,
    Gemm,
    Gradient,
    Kernel,
    Place,
    Program,
    Ref,
    Stage,
    Statement,
    Sums,
)
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Param


@dataclass(frozen=True)
class Cost:
    """The work of a stage per step and sample: floating-point operations and numbers moved (weights left out), as
    formulas in the sizes; and how many launches it is (calls of the array package, where nothing fuses)."""

    flops: sympy.Expr
    numbers: sympy.Expr
    launches: int

    def __add__(self, other: Cost) -> Cost:
        flops, numbers = sympy.expand(self.flops + other.flops), sympy.expand(self.numbers + other.numbers)
        return Cost(flops, numbers, self.launches + other.launches)


NOTHING = Cost(sympy.Integer(0), sympy.Integer(0), 0)


def cost(program: Program, stage: Stage) -> Cost:
    """What one stage costs; steps over fixed values cost nothing per step and sample."""
    match stage:
        case Kernel():
            return _kernel(program, stage)
        case Gemm():
            out, left = (_width(program, r) for r in (stage.out, stage.left))
            added = out if stage.accumulate else 0
            again = added if stage.work is None else 3 * out
            return _cost(2 * out * left + added, out + left + again, 1 if stage.work is None else 2)
        case Gradient():
            left, right = (_width(program, r) for r in (stage.left, stage.right))
            return _cost(2 * left * right, left + right, 1)
        case Sums():
            return _cost(_width(program, stage.arg), _width(program, stage.arg), 1)
        case Copy() if program.buffers[stage.out.buffer].extent != "fixed":
            return _cost(sympy.Integer(0), 2 * _width(program, stage.out), 1)
        case Copy() | Fixed() | EdgeSum():
            return NOTHING


def _cost(flops: sympy.Expr, numbers: sympy.Expr, launches: int) -> Cost:
    return Cost(sympy.expand(flops), sympy.expand(numbers), launches)


def _width(program: Program, ref: Ref) -> sympy.Expr:
    return sum((m.width for m in program.window(ref)), Size()).symbol()


def _varies(program: Program, ref: Ref) -> bool:
    return program.buffers[ref.buffer].extent != "fixed"


def _kernel(program: Program, kernel: Kernel) -> Cost:
    flops = sum((_flops(program, s) for s in kernel.statements()), sympy.Integer(0))
    if program.profile.registers:
        read = {r: None for s in kernel.statements() for r in s.reads.values() if _varies(program, r)}
        written = [s.out for s in kernel.statements() if s.out is not None]
        return _cost(flops, sum((_width(program, r) for r in (*read, *written)), sympy.Integer(0)), 1)
    moved, launches = sympy.Integer(0), 0
    for statement in kernel.statements():
        numbers, calls = _calls(program, statement)
        moved, launches = moved + numbers, launches + calls
    return _cost(flops, moved, launches)


def _flops(program: Program, statement: Statement) -> sympy.Expr:
    count = len(statement.ops)
    match statement.op:
        case Pointwise():
            return count * fn.cost(statement.op.body) * units(statement.shape).symbol()
        case Reduce():
            return count * units(program.graph.shape(statement.op.arg.signal)).symbol()
        case Contraction():
            matrices = (units(program.graph.shape(m.name)).symbol() for m, _ in statement.op.terms)
            return 2 * count * sum(matrices, sympy.Integer(0))
    return sympy.Integer(0)


def _calls(program: Program, statement: Statement) -> tuple[sympy.Expr, int]:
    """Numbers moved and calls made by a statement over arrays."""
    wide = len(statement.ops) * units(statement.shape).symbol()
    if not statement.calls:
        terms = len(statement.op.terms) if isinstance(statement.op, Contraction) else 1
        read = sum((_width(program, r) for r in statement.reads.values() if _varies(program, r)), sympy.Integer(0))
        return read + (4 * terms - 3) * wide, 2 * terms - 1
    moved = sympy.Integer(0)
    for call in statement.calls:
        for arg in (*call.args, call.out):
            if isinstance(arg, At | Param):
                ref = statement.reads[arg]
                moved += _width(program, ref) if _varies(program, ref) else 0
            elif isinstance(arg, Place):
                moved += wide
    return moved, sum(map(array_calls, statement.calls))


def array_calls(call: Call) -> int:
    """How many calls of the array package one call of a body is."""
    return 1 if isinstance(call.function, str) else len(call.function.row.numpy)


# how often


@dataclass(frozen=True)
class Counts:
    """``launches``: per step of the loop, and besides; ``products``: of matrices with rows, likewise. ``fixed``:
    launches over fixed values, once a call. ``buffers``: pieces of memory that are allocated."""

    launches: tuple[int, int]
    products: tuple[int, int]
    fixed: int
    buffers: int


def counts(program: Program) -> Counts:
    """Launches, products and buffers of a program."""
    launches, products = [0, 0], [0, 0]
    for region, stage in program.stages():
        where = 0 if region.kind == "steps" else 1
        launches[where] += cost(program, stage).launches
        products[where] += _products(program, stage)
    fixed = sum(_over_fixed(program, stage) for _, stage in program.stages())
    return Counts((launches[0], launches[1]), (products[0], products[1]), fixed, len(slots(program)))


def _products(program: Program, stage: Stage) -> int:
    """How many products of matrices a stage is; in a kernel that fuses they are part of it."""
    if isinstance(stage, Kernel) and not program.profile.registers:
        return sum(len(s.op.terms) for s in stage.statements() if isinstance(s.op, Contraction))
    return int(isinstance(stage, Gemm | Gradient | Sums))


def _over_fixed(program: Program, stage: Stage) -> int:
    """How many launches a stage over fixed values is: the calls of a body, else one; one more for each matrix that is
    added up."""
    match stage:
        case Fixed():
            terms = len(stage.op.terms) if isinstance(stage.op, Combine) else 0
            return sum(map(array_calls, stage.calls)) if stage.calls else 1 + terms
        case EdgeSum():
            return 1
        case Copy():
            return int(program.buffers[stage.out.buffer].extent == "fixed")
    return 0
