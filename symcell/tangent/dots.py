"""The tangents of a graph's values: which there are, what they are called, and the steps that compute them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from symcell.adjoint.making import Making
from symcell.graph import Edge, Graph, Matrix, Op, Operand, Pointwise, Total, name_of
from symcell.symbolic.nodes import At, Param


class Dots(Making):
    """``dots``: for each value whose tangent is not always zero, its tangent's name, ``h_dot`` for ``h``. ``boundary``:
    the same for what crosses the boundary."""

    def __init__(self, forward: Graph) -> None:
        edges = [*dict.fromkeys(e.name for e in forward.entries), *(e.name for e in forward.exits)]
        super().__init__(forward, edges)
        live = self._live()
        self.dots = {
            v.name: self.declare(f"{v.name}_dot", v.shape, v.fixed) for v in forward.values.values() if v.name in live
        }
        self.boundary = {name: self.names.fresh(f"{name}_dot") for name in edges}

    def _live(self) -> set[str]:
        """What comes from outside, and what is computed from it, but for constants; and all that leaves."""
        forward = self.forward
        outside = [*forward.given, *(n for n in forward.fixed if not self.values[n].constant)]
        boundary = [*(e.value for e in forward.entries), *(v for e in forward.exits for v in e.values)]
        totals = [op.out for op in forward.steps if isinstance(op, Total) and isinstance(op.arg, Edge)]
        live = {*outside, *boundary, *totals, *forward.outputs}
        readers: dict[str, list[str]] = {}
        for op in forward.steps:
            for operand in self.sources(op):
                readers.setdefault(name_of(operand), []).append(op.out)
        pending = sorted(live)
        while pending:
            more = [out for out in readers.get(pending.pop(), ()) if out not in live]
            live.update(more)
            pending += more
        return live

    def sources(self, op: Op) -> Iterable[Operand]:
        """The operands that a step's tangent flows from, if they have one."""
        return (o for o in op.operands() if not isinstance(op, Pointwise) or o in self.partials[op.out])

    def flows(self, op: Op) -> bool:
        """Whether a step's result has a tangent that is not always zero."""
        return isinstance(op, Total) or any(name_of(o) in self.dots for o in self.sources(op))

    def of(self, operand: Operand) -> Operand | None:
        """The tangent of an operand, read as that is; None where it is always zero."""
        name = self.dots.get(name_of(operand))
        if name is None:
            return None
        return At(name, operand.lag, operand.axis) if isinstance(operand, At) else Param(name, operand.axis)

    def pairs(self, operands: Iterable[Operand]) -> Iterator[tuple[Operand, Operand]]:
        """Operands with their tangents, but for those that have none."""
        for operand in operands:
            dot = self.of(operand)
            if dot is not None:
                yield operand, dot

    def matrix(self, matrix: Matrix) -> Matrix | None:
        """The tangent of a matrix, read as that is."""
        dot = self.of(matrix.of)
        return None if dot is None else Matrix(dot, matrix.transposed, matrix.block)
