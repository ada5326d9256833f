"""Plan → NumPy source: ufuncs with ``out=`` on stacked gates, one BLAS call per stacked product."""

from __future__ import annotations

from dataclasses import dataclass

from symcell.emit.module import render
from symcell.emit.names import size_code
from symcell.emit.program import Block, Program
from symcell.emit.rows import Rows
from symcell.emit.slabs import Places, Slab, slabs
from symcell.emit.ufuncs import Ufuncs
from symcell.graph import Pointwise, Reduce, lag_of, name_of
from symcell.plan import Plan
from symcell.plan.schedule import Fused
from symcell.symbolic.nodes import At, Count, Param


def emit(plan: Plan) -> str:
    """The source of the cell's NumPy module."""
    return render(plan, Numpy())


@dataclass(frozen=True)
class Numpy:
    """How this target multiplies and fuses."""

    target: str = "numpy"
    title: str = "NumPy"
    xp: str = "np"

    def matmul(self, left: str, right: str, out: str) -> str:
        return f"np.matmul({left}, {right}, out={out})"

    def names(self) -> tuple[str, ...]:
        return ()

    def source(self) -> str:
        return ""

    def fused(self, stage: Fused, rows: Rows, program: Program) -> list[Block]:
        places = Places(program.sweep, program.plan.parameters)
        return [self._slab(slab, rows, program, places) for slab in slabs(stage.steps, places)]

    def _slab(self, slab: Slab, rows: Rows, program: Program, places: Places) -> Block:
        lines: list[str] = []

        def make(out: str) -> list[str]:
            made: list[str] = []
            first = slab.steps[0]
            space = _Space(program, rows, slab, places)
            if isinstance(first, Reduce):
                ufunc = {"sum": "np.add", "max": "np.maximum"}[first.kind]
                made.append(f"{ufunc}.reduce({space.operand(first.arg)}, axis=1, keepdims=True, out={out})")
            else:
                moved = frozenset(o for o in first.operands() if isinstance(o, At) and self._moved(o, first, program))
                Ufuncs(space, made.append, moved).assign(first.body, out)
            return made

        lines += program.written(tuple(op.out for op in slab.steps), rows, make)
        texts = tuple(program.equation(op) for op in slab.steps)
        return Block(texts, (*rows.flush(), *lines))

    def _moved(self, operand: At, op: Pointwise, program: Program) -> bool:
        homes = program.sweep.homes.of
        return operand.lag == 0 and homes[operand.signal] == homes[op.out]


@dataclass
class _Space:
    """Where the operands of a slab stand: as wide as the slab, or one value that broadcasts."""

    program: Program
    rows: Rows
    slab: Slab
    places: Places

    def operand(self, atom: At | Param) -> str:
        graph = self.places.graph
        count = len(self.slab.steps)
        if count > 1 and graph.size(name_of(atom)) != graph.size(self.slab.steps[0].out):
            count = 1
        if isinstance(atom, Param):
            if count == 1:
                return self.program.fixed((atom.name,))
            start = self.program.plan.parameters.index(atom.name)
            return self.program.fixed(self.program.plan.parameters[start : start + count])
        name, k = self.rows.sweep.place(atom.signal)
        hint = atom.signal if count == 1 else f"{atom.signal}_to_{self._last(atom)}"
        return self.rows.columns(name, k, k + count - 1, lag_of(atom), hint)

    def _last(self, atom: At) -> str:
        name, k = self.rows.sweep.place(atom.signal)
        members = self.program.sweep.buffers[name].members
        return members[k + len(self.slab.steps) - 1]

    def count(self, size: Count) -> str:
        return size_code(size.size, self.program.sweep.names)

    def temporary(self, depth: int) -> str:
        return self._work(f"work{depth}", "dtype")

    def mask(self) -> str:
        return self._work("mask", "bool")

    def _work(self, hint: str, dtype: str) -> str:
        """Room for an intermediate result, set up once and as wide as the slab."""
        total = self.places.graph.size(self.slab.steps[0].out)
        for op in self.slab.steps[1:]:
            total = total + self.places.graph.size(op.out)
        width = size_code(total, self.program.sweep.names)
        height = "batch" if self.rows.loop else "pack.size"
        whole = self.program.define((hint, width, height), hint, f"np.empty(({height}, {width}), {dtype})")
        return self.rows.define((whole,), f"{whole}_t", f"{whole}[:n]") if self.rows.loop else whole
