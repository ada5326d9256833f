"""A plan's stages as blocks of Python: what every Python target shares, with its own way to multiply and to fuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from symcell.emit.names import size_code
from symcell.emit.rows import Rows, Sweep
from symcell.emit.text import comment
from symcell.emit.ufuncs import Ufuncs, number
from symcell.graph import Block as Columns, Combine, Matrix, Op, Operand, Outer, Pointwise, Product, Reduce, name_of
from symcell.plan import Plan
from symcell.plan.schedule import Fused, Gemm, Gradient, Once, Schedule, Stage, Sums
from symcell.symbolic.nodes import At, Count, Param


@dataclass(frozen=True)
class Block:
    """A few lines of code and the equations they compute."""

    comments: tuple[str, ...]
    lines: tuple[str, ...]


class Dialect(Protocol):
    """What differs between Python targets."""

    @property
    def xp(self) -> str: ...
    def matmul(self, left: str, right: str, out: str) -> str: ...
    def fused(self, stage: Fused, rows: Rows, program: Program) -> list[Block]: ...


@dataclass
class Program:
    """One sweep as code: ``setup`` lines before everything, then the blocks of each region."""

    plan: Plan
    schedule: Schedule
    sweep: Sweep
    dialect: Dialect
    setup: list[str] = field(default_factory=list)
    blocks: dict[str, list[Block]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    _known: dict[object, str] = field(default_factory=dict)

    def equation(self, op: Op) -> str:
        """A step at time t as a comment, with the label of the equation that it ends."""
        label = self.plan.cell.labels.get(op.out, "")
        return comment(str(op).replace(" = ", "[t] = ", 1) + (f"   ({label})" if label else ""))

    def build(self) -> Program:
        for region in ("once", "before", "loop", "after", "finish"):
            rows = Rows(self.sweep, region == "loop")
            blocks = [b for stage in getattr(self.schedule, region) for b in self.stage(stage, rows, region)]
            self.blocks[region] = blocks
            self.used |= rows.used
        return self

    def define(self, key: object, hint: str, code: str) -> str:
        """A variable set up once, before all regions."""
        if key not in self._known:
            self._known[key] = self.sweep.names.fresh(hint)
            self.setup.append(f"{self._known[key]} = {code}")
        return self._known[key]

    # fixed values

    def fixed(self, names: tuple[str, ...], hint: str = "") -> str:
        """Fixed vectors or matrices that lie side by side, as a variable."""
        first, last = names[0], names[-1]
        if first in self.plan.parameters:
            title = hint or (first if first == last else f"{first}_to_{last}")
            return self.define(("stack", first, last), title, f'params.stack("{first}", "{last}")')
        return self.sweep.names.get(("fixed", first), first)

    def matrix(self, matrices: tuple[Matrix, ...]) -> str:
        """Stacked matrices as they are stored (not transposed), cut to the columns they are read at."""
        stack = self.fixed(tuple(m.name for m in matrices))
        return stack + self.cut(matrices[0].block)

    def cut(self, block: Columns | None) -> str:
        if block is None:
            return ""
        start = size_code(block.start, self.sweep.names)
        stop = size_code(block.start + block.width, self.sweep.names)
        return f"[:, {'' if start == '0' else start + ' '}: {stop}]"

    def operand(self, operand: Operand, rows: Rows) -> str:
        return self.fixed((operand.name,)) if isinstance(operand, Param) else rows.value(operand.signal, operand.lag)

    # stages

    def stage(self, stage: Stage, rows: Rows, region: str) -> list[Block]:
        match stage:
            case Fused():
                return self.dialect.fused(stage, rows, self)
            case Gemm():
                lines = self.gemm(stage, rows)
                return [Block(self.equations(stage), (*rows.flush(), *lines))]
            case Gradient():
                return [self.gradient(stage, rows)]
            case Sums():
                return [self.sums(stage, rows)]
            case Once():
                return [Block((comment(str(stage.op)),), tuple(self.once(stage.op)))]

    def equations(self, stage: Gemm) -> tuple[str, ...]:
        if len(stage.outs) > 1:
            pairs = zip(stage.outs, stage.matrices, strict=True)
            return tuple(comment(f"{o}[t] = {m} @ {stage.operands[0]}") for o, m in pairs)
        terms = " + ".join(f"{m} @ {v}" for m, v in zip(stage.matrices, stage.operands, strict=True))
        return (comment(f"{stage.outs[0]}[t] {'+=' if stage.accumulate else '='} {terms}"),)

    def gemm(self, stage: Gemm, rows: Rows) -> list[str]:
        if len(stage.operands) > 1:
            left = rows.window(tuple(name_of(o) for o in stage.operands), 0)
            right = self.matrix(stage.matrices)
        else:
            left = self.operand(stage.operands[0], rows)
            right = self.matrix(stage.matrices) + ("" if stage.matrices[0].transposed else ".T")
        return self.written(stage.outs, rows, lambda out: [self.dialect.matmul(left, right, out)], stage.accumulate)

    def written(
        self, outs: tuple[str, ...], rows: Rows, make: Callable[[str], list[str]], add: bool = False
    ) -> list[str]:
        """Lines that compute into the place of ``outs``; by way of an array of their own where that is needed."""
        name, _ = rows.sweep.place(outs[0])
        buffer = self.sweep.buffers[name]
        scattered = not rows.loop and self.sweep.backward and buffer.extent == "carried"
        if not scattered and not add:
            return make(rows.window(outs, 0))
        xp, width = self.dialect.xp, self.sweep.width(buffer)
        if add and not scattered:
            whole = "batch" if rows.loop else "pack.size"
            work = self.define(("sum", width, whole), "partial", f"{xp}.empty(({whole}, {width}), dtype)")
            view = f"{work}[:n]" if rows.loop else work
            out = rows.window(outs, 0)
            return [*make(view), f"{xp}.add({out}, {view}, out={out})"]
        rows.used.add(name)
        work = self.sweep.names.get(("scatter", name), f"{name}_sent")
        target = f"{self.sweep.variable(name)}[pack.past({buffer.depth}, {buffer.depth})]"
        return [
            f"{work} = {xp}.empty((pack.size, {width}), dtype)",
            *make(work),
            f"{target} {'+=' if add else '='} {work}",
        ]

    def result(self, outs: tuple[str, ...]) -> tuple[str, list[str]]:
        """Where gradients of parameters go: straight into the flat buffer, or an array of their own."""
        names, owner = self.sweep.names, self.plan.owner
        if len(outs) > 1:
            variable = names.fresh(f"{outs[0]}_to_{outs[-1]}")
            fixed = [stage.op for stage in self.schedule.finish if isinstance(stage, Once)]
            again = {name_of(o) for op in fixed for o in op.operands()}
            parts = [(names.get(("fixed", o), o), owner[o]) for o in outs if o in again]
            lines = [f'{part} = grads.stack("{of}", "{of}")' for part, of in parts]
            return variable, [f'{variable} = grads.stack("{owner[outs[0]]}", "{owner[outs[-1]]}")', *lines]
        variable = names.get(("fixed", outs[0]), outs[0])
        if outs[0] in owner:
            return variable, [f'{variable} = grads.stack("{owner[outs[0]]}", "{owner[outs[0]]}")']
        shape = self.schedule.graph.values[outs[0]].shape
        dims = ", ".join(size_code(s, self.sweep.names) for s in shape) + ("," if len(shape) == 1 else "")
        return variable, [f"{variable} = {self.dialect.xp}.empty(({dims}), dtype)"]

    def gradient(self, stage: Gradient, rows: Rows) -> Block:
        left = self._left(stage, rows)
        right = self.operand(stage.right, rows)
        out, lines = self.result(stage.outs)
        texts = tuple(
            comment(f"{o} = sum of {v} ⊗ {stage.right}") for o, v in zip(stage.outs, stage.lefts, strict=True)
        )
        return Block(texts, (*rows.flush(), *lines, self.dialect.matmul(f"{left}.T", right, out)))

    def _left(self, stage: Gradient, rows: Rows) -> str:
        if len(stage.lefts) == 1:
            return self.operand(stage.lefts[0], rows)
        return rows.window(tuple(name_of(o) for o in stage.lefts), 0)

    def sums(self, stage: Sums, rows: Rows) -> Block:
        value = rows.window(tuple(a.signal for a in stage.args), stage.args[0].lag)
        ones = self.define("ones", "ones", f"{self.dialect.xp}.ones((1, pack.size), dtype)")
        out, lines = self.result(stage.outs)
        texts = tuple(comment(f"{o} = sum of {a}") for o, a in zip(stage.outs, stage.args, strict=True))
        product = self.dialect.matmul(ones, value, f"{out}.reshape(1, -1)")
        return Block(texts, (*rows.flush(), *lines, product))

    # steps over fixed values: once per call, so plain expressions

    def once(self, op: Op) -> list[str]:
        out, lines = self.result((op.out,))
        match op:
            case Combine():
                lines += self._combine(op, out)
            case Pointwise():
                lines += self._fixed_pointwise(op, out)
            case Reduce():
                xp = self.dialect.xp
                lines.append(f"{out}[...] = {xp}.{op.kind}({self.fixed((name_of(op.arg),))}, keepdims=True)")
            case Product():
                products = (
                    f"{self.matrix((m,))}{'.T' if m.transposed else ''} @ {self.fixed((name_of(v),))}"
                    for m, v in op.terms
                )
                lines.append(f"{out}[...] = {' + '.join(products)}")
            case Outer():
                left, right = self.fixed((name_of(op.left),)), self.fixed((name_of(op.right),))
                lines.append(f"{out}[...] = {left}[:, None] * {right}")
            case _:
                raise NotImplementedError(str(op))
        return lines

    def _combine(self, op: Combine, out: str) -> list[str]:
        lines = [f"{out}[...] = 0"]
        for term in op.terms:
            matrix = self.matrix((term.matrix,)) + (".T" if term.matrix.transposed else "")
            factor = "" if abs(term.factor) == 1 else f"{number(abs(term.factor))} * "
            sign = "-=" if term.factor.is_negative else "+="
            lines.append(f"{out}{self.cut(term.into) or '[...]'} {sign} {factor}{matrix}")
        return lines

    def _fixed_pointwise(self, op: Pointwise, out: str) -> list[str]:
        lines: list[str] = []
        Ufuncs(_FixedSpace(self, op, lines), lines.append).assign(op.body, out)
        return [line.replace("np.", f"{self.dialect.xp}.") for line in lines]


@dataclass
class _FixedSpace:
    program: Program
    op: Pointwise
    lines: list[str]

    def operand(self, atom: At | Param) -> str:
        return self.program.fixed((name_of(atom),))

    def count(self, size: Count) -> str:
        return size_code(size.size, self.program.sweep.names)

    def temporary(self, depth: int) -> str:
        return self._array("dtype", "work")

    def mask(self) -> str:
        return self._array("bool", "mask")

    def _array(self, dtype: str, hint: str) -> str:
        name = self.program.sweep.names.fresh(hint)
        size = size_code(self.program.schedule.graph.size(self.op.out), self.program.sweep.names)
        self.lines.append(f"{name} = {self.program.dialect.xp}.empty({size}, {dtype})")
        return name
