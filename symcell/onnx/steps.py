"""Steps of a graph as operators: fixed values as they are, varying ones with the samples in front.

A varying scalar is (B, 1), a vector (B, n), a matrix (B, n, m); a fixed one has the shape that it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from symcell.cell import Shape, is_one
from symcell.graph import Combine, Contraction, Graph, Matrix, Op, Operand, Outer, Pointwise, Reduce, lag_of, name_of
from symcell.onnx.bodies import body
from symcell.onnx.builder import Builder
from symcell.symbolic.nodes import Param


def in_three(graph: Graph) -> tuple[list[Op], list[Op], list[Op]]:
    """A graph's steps: fixed ones, those ahead of the loop (that only need inputs of the same step), and the rest."""
    fixed = [op for op in graph.steps if graph.values[op.out].fixed]
    ahead: dict[str, Op] = {}
    for op in graph.steps:
        varying = [o for o in op.operands() if not isinstance(o, Param)]
        if varying and all(not lag_of(o) and (name_of(o) in graph.given or name_of(o) in ahead) for o in varying):
            ahead[op.out] = op
    rest = [op for op in graph.steps if not graph.values[op.out].fixed and op.out not in ahead]
    return fixed, list(ahead.values()), rest


class Steps:
    """Steps of a graph as operators in ``builder``, what is done to fixed matrices in ``outer``.

    ``values``: of what is known by (name, lag). ``samples``: how many samples there are, a vector of one integer.
    """

    def __init__(
        self,
        graph: Graph,
        sizes: Mapping[str, int],
        outer: Builder,
        builder: Builder,
        samples: str,
        values: Mapping[tuple[str, int], str],
    ) -> None:
        self.graph, self.sizes, self.samples = graph, sizes, samples
        self.outer, self.builder = outer, builder
        self.values = dict(values)

    def make(self, steps: Iterable[Op]) -> None:
        """Compute these."""
        for op in steps:
            self.values[op.out, 0] = self.computed(op, self.builder)

    def computed(self, op: Op, builder: Builder) -> str:
        match op:
            case Pointwise():
                return self.pointwise(op, builder)
            case Contraction():
                parts = [self.contraction(m, v, builder) for m, v in op.terms]
                found = parts[0]
                for part in parts[1:]:
                    found = builder.call("Add", found, part)
                return found
            case Outer():
                return builder.call("Mul", self.unitwise(op.left.along(0), 2, builder),
                                    self.unitwise(op.right.along(1), 2, builder))  # fmt: skip
            case Reduce():
                return self.reduced(op, builder)
            case Combine():
                return self.combined(op, builder)
        raise NotImplementedError(f"{op}: no part of a forward sweep")

    # operands

    def read(self, operand: Operand) -> str:
        return self.values[name_of(operand), lag_of(operand)]

    def lengths(self, shape: Shape) -> tuple[int, ...]:
        return tuple(size.value(self.sizes) for size in shape)

    def unitwise(self, operand: Operand, rank: int, builder: Builder) -> str:
        """An operand such that it broadcasts against values with ``rank`` axes besides that of the samples."""
        name, fixed = name_of(operand), isinstance(operand, Param)
        shape, value = self.graph.shape(name), self.read(operand)
        lead = () if fixed else (0,)  # of a Reshape: the axis as it is
        if operand.axis is not None:
            (length,) = self.lengths(shape)
            apart = (length, 1) if operand.axis == 0 else (1, length)
            return builder.call("Reshape", value, builder.integers(*lead, *apart))
        if is_one(shape) and len(shape) != rank and (len(shape) > 1 or rank > 1):
            ones = (1,) * (rank if fixed else max(rank, 1))
            return builder.call("Reshape", value, builder.integers(*lead, *ones))
        return value

    # steps

    def pointwise(self, op: Pointwise, builder: Builder) -> str:
        shape = self.graph.shape(op.out)
        operands = {o: self.unitwise(o, len(shape), builder) for o in op.operands()}
        found = body(builder, op.body, operands, self.sizes)
        own = [self.graph.shape(name_of(o)) for o in operands if o.axis is None]
        fixed = self.graph.values[op.out].fixed
        varying = [o for o in operands if not isinstance(o, Param)]
        if fixed or varying:
            laid = {o.axis for o in operands} >= {0, 1}
            return found if shape in own or laid or not shape else self.widened(found, shape, fixed, builder)
        lead = builder.call("Concat", self.samples, builder.integers(*(self.lengths(shape) or (1,))), axis=0)
        return builder.call("Expand", found, lead)

    def widened(self, value: str, shape: Shape, fixed: bool, builder: Builder) -> str:
        wide = self.lengths(shape) if fixed else (1, *self.lengths(shape))
        return builder.call("Expand", value, builder.integers(*wide))

    def matrix(self, matrix: Matrix, turned: bool) -> str:
        """A fixed matrix as it is read, transposed if ``turned``."""
        value = self.read(matrix.of)
        if matrix.block is not None:
            start = matrix.block.start.value(self.sizes)
            stop = start + matrix.block.width.value(self.sizes)
            value = self.outer.call("Slice", value, *(self.outer.integers(k) for k in (start, stop, 1)))
        return self.outer.call("Transpose", value, perm=[1, 0]) if matrix.transposed != turned else value

    def contraction(self, matrix: Matrix, vector: Operand, builder: Builder) -> str:
        v = self.read(vector)
        if isinstance(matrix.of, Param):
            if isinstance(vector, Param):
                return self.outer.call("MatMul", self.matrix(matrix, False), v)
            return builder.call("MatMul", v, self.matrix(matrix, True))
        m = self.read(matrix.of)
        m = builder.call("Transpose", m, perm=[0, 2, 1]) if matrix.transposed else m
        # a column in any case: onnxruntime 1.32 takes a transposed matrix times a vector for one that is not transposed
        column = builder.call("Unsqueeze", v, builder.integers(-1))
        return builder.call("Squeeze", builder.call("MatMul", m, column), builder.integers(-1))

    def reduced(self, op: Reduce, builder: Builder) -> str:
        operator = "ReduceSum" if op.kind == "sum" else "ReduceMax"
        shape, fixed = self.graph.shape(name_of(op.arg)), isinstance(op.arg, Param)
        first = 0 if fixed else 1
        axes = range(first, first + len(shape)) if op.axis is None else [first + op.axis]
        found = builder.call(operator, self.read(op.arg), builder.integers(*axes), keepdims=0)
        if fixed or op.axis is not None:
            return found
        return builder.call("Unsqueeze", found, builder.integers(1))

    def combined(self, op: Combine, builder: Builder) -> str:
        found = ""
        for term in op.terms:
            assert term.into is None, "gradients alone are put together by columns"
            part = self.matrix(term.matrix, False)
            if term.factor != 1:
                part = builder.call("Mul", part, body(builder, term.factor, {}, self.sizes))
            found = builder.call("Add", found, part) if found else part
        return found
