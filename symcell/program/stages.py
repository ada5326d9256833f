"""Each kind of stage, computed by its plain meaning on a program's memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from symcell.cell import Shape
from symcell.graph import Combine, Contraction, Matrix, Op, Operand, Outer, Pointwise, Reduce, Total
from symcell.program.boundary import extents, leave
from symcell.program.memory import Memory
from symcell.program.model import (
    Copy,
    EdgeSum,
    Fixed,
    Gemm,
    Gradient,
    Kernel,
    Mask,
    Out,
    Place,
    Ref,
    Stage,
    Statement,
    Sums,
    Temp,
)
from symcell.program.packing import Array
from symcell.program.scalar import laid, number, perform, value

Read = Callable[[Operand], Array]
Part = Statement | Fixed


@dataclass(frozen=True)
class Runner:
    """Runs stages. ``passed``: the states that the caller passed to the forward sweep."""

    memory: Memory
    passed: frozenset[str]

    def run(self, stage: Stage, t: int | None) -> None:
        """One stage, at step ``t`` or at all steps (None)."""
        match stage:
            case Kernel():
                self.kernel(stage, t)
            case Gemm():
                self.gemm(stage, t)
            case Gradient():
                product = self.memory.read(stage.left, t).T @ self.memory.read(stage.right, t)
                self.memory.write(stage.out, t, product.reshape(1, -1))
            case Sums():
                self.memory.write(stage.out, t, self.memory.read(stage.arg, t).sum(axis=0, keepdims=True))
            case Fixed():
                shape = self.memory.program.graph.shape(stage.op.out)
                self.part(stage, shape, {}, t)
            case Copy():
                source = self.memory.read(stage.source, t)
                self.memory.write(stage.out, t, source + (self.memory.read(stage.out, t) if stage.add else 0))
            case EdgeSum():
                self.edge(stage, t)

    def edge(self, stage: EdgeSum, t: int | None) -> None:
        edge = next(e for e in self.memory.program.leaves if e.state == stage.state)
        total = leave(self.memory, edge).sum(axis=(0, 1)).reshape(1, -1)
        unused = isinstance(stage.op, Total) and stage.op.unless and stage.state in self.passed
        self.memory.write(stage.out, t, np.zeros_like(total) if unused else total)

    def gemm(self, stage: Gemm, t: int | None) -> None:
        members = self.memory.program.window(stage.matrix)
        columns = members[0].shape[1].value(self.memory.sizes)
        matrix = self.memory.read(stage.matrix, t).reshape(-1, columns)
        if stage.columns is not None:
            start, width = (s.value(self.memory.sizes) for s in (stage.columns.start, stage.columns.width))
            matrix = matrix[:, start : start + width]
        product = self.memory.read(stage.left, t) @ (matrix if stage.transposed else matrix.T)
        if stage.work is not None:
            self.memory.write(stage.work, t, product)
        self.memory.write(stage.out, t, product + (self.memory.read(stage.out, t) if stage.accumulate else 0))

    def kernel(self, kernel: Kernel, t: int | None) -> None:
        registers: dict[str, Array] = {}
        for statement in kernel.statements():
            self.part(statement, statement.shape, registers, t)

    def part(self, part: Part, shape: Shape, registers: dict[str, Array], t: int | None) -> None:
        """A statement of a kernel, or a step over fixed values."""
        ops = part.ops if isinstance(part, Statement) else (part.op,)
        inner = extents(shape, self.memory.sizes)

        def read(operand: Operand) -> Array:
            found = part.reads.get(operand)
            array = registers[operand.signal] if found is None else self.memory.stacked(found, t)
            return laid(array, operand.axis, len(inner)) if isinstance(part.op, Pointwise) else array

        if part.calls and part.out is not None:
            self.calls(part, part.out, (len(ops), *inner), read, t)
            return
        result = compute(part.op, read, self.memory.sizes, inner)
        rows = self.rows(part, t)
        result = np.broadcast_to(result, (rows, len(ops), *inner))
        for op in ops:
            registers[op.out] = result
        if part.out is not None:
            self.memory.write(part.out, t, result.reshape(rows, len(ops) * math.prod(inner)))

    def rows(self, part: Part, t: int | None) -> int:
        """How many rows a result has."""
        if isinstance(part, Fixed):
            return 1
        return sum(self.memory.packing.counts) if t is None else self.memory.packing.counts[t]

    def calls(self, part: Part, out: Ref, inner: tuple[int, ...], read: Read, t: int | None) -> None:
        def place(of: Place) -> Ref:
            match of:
                case Temp(k):
                    return part.work[k]
                case Out():
                    return out
                case Mask():
                    assert part.mask is not None
                    return part.mask

        def stands(of: Place) -> Array:
            found = self.memory.read(place(of), t)
            return found.reshape(len(found), *inner)

        for ref in (*part.work, *([part.mask] if part.mask else [])):
            self.memory.write(ref, t, np.full((1, 1), np.nan))
        for call in part.calls:
            rows = self.rows(part, t)
            result = perform(call, read, stands, self.memory.sizes)
            result = np.broadcast_to(result, (rows, *inner)).reshape(rows, math.prod(inner))
            self.memory.write(place(call.out), t, result)


def compute(op: Op, read: Read, sizes: Mapping[str, int], extents: tuple[int, ...]) -> Array:
    """A step's result, (rows, members, *extents) or what broadcasts to it."""
    match op:
        case Pointwise():
            return np.asarray(value(op.body, read, sizes), float)
        case Contraction():
            products = [_matrix(m, read, sizes) @ read(v)[..., None] for m, v in op.terms]
            return sum(products[1:], products[0])[..., 0]
        case Outer():
            return read(op.left)[..., :, None] * read(op.right)[..., None, :]
        case Reduce():
            arg = read(op.arg)
            axes = tuple(range(2, arg.ndim)) if op.axis is None else 2 + op.axis
            return np.asarray(arg.sum(axis=axes) if op.kind == "sum" else arg.max(axis=axes))
        case Combine():
            return _combine(op, read, sizes, extents)
    raise TypeError(f"not a step over units: {op}")


def _matrix(matrix: Matrix, read: Read, sizes: Mapping[str, int]) -> Array:
    array = read(matrix.of)
    if matrix.block is not None:
        start = matrix.block.start.value(sizes)
        array = array[..., start : start + matrix.block.width.value(sizes)]
    return np.swapaxes(array, -1, -2) if matrix.transposed else array


def _combine(op: Combine, read: Read, sizes: Mapping[str, int], extents: tuple[int, ...]) -> Array:
    total = np.zeros((1, 1, *extents))
    for term in op.terms:
        start = 0 if term.into is None else term.into.start.value(sizes)
        part = _matrix(term.matrix, read, sizes)
        total[..., start : start + part.shape[-1]] += number(term.factor, sizes) * part
    return total
