"""Plan → CuPy source: one CUDA kernel per fused stage, cuBLAS through CuPy for the products, the same schedule."""

from __future__ import annotations

from dataclasses import dataclass, field

from symcell.emit.kernels import Kernel, Step, kernel, split
from symcell.emit.module import render
from symcell.emit.program import Block, Program
from symcell.emit.rows import Rows
from symcell.emit.text import tidy_c
from symcell.plan import Plan
from symcell.plan.schedule import Fused
from symcell.templating import environment

PRELUDE: dict[str, tuple[str, ...]] = {
    "sigmoid": (),
    "relu": (),
    "normal_cdf": (),
    "softplus": (),
    "elu": (),
    "softsign": (),
    "sign": (),
    "maximum": (),
    "minimum": (),
    "clip": ("minimum", "maximum"),
    "hard_sigmoid": ("clip", "minimum", "maximum"),
    "hard_tanh": ("clip", "minimum", "maximum"),
    "block_sum": (),
    "block_max": ("maximum",),
}
"""Device functions that the prelude's template can define, and which others each calls."""


def emit(plan: Plan) -> str:
    """The source of the cell's CuPy module."""
    return render(plan, Cupy())


def cuda_source(plan: Plan) -> str:
    """The CUDA C of the module's kernels, without the line that defines ``real``."""
    target = Cupy()
    render(plan, target)
    return target.source()


@dataclass(frozen=True)
class Cupy:
    """How this target multiplies and fuses; collects the kernels as it goes."""

    target: str = "cupy"
    title: str = "CuPy"
    xp: str = "cp"
    found: list[Kernel] = field(default_factory=list)

    def matmul(self, left: str, right: str, out: str) -> str:
        return f"cp.matmul({left}, {right}, out={out})"

    def names(self) -> tuple[str, ...]:
        """The kernels' names."""
        return tuple(k.name for k in self.found)

    def source(self) -> str:
        """The CUDA C of all kernels."""
        if not self.found:
            return ""
        bodies = environment("cupy").get_template("cupy/kernels.cu.j2").render(kernels=tuple(self.found))
        called = {f for f in PRELUDE if f"{f}(" in bodies}
        called |= {f for name in called for f in PRELUDE[name]}
        prelude = environment("cupy").get_template("cupy/prelude.cu.j2").render(used={f: f in called for f in PRELUDE})
        return tidy_c(f"{prelude}\n\n{bodies}")

    def fused(self, stage: Fused, rows: Rows, program: Program) -> list[Block]:
        return [self._launch(steps, rows, program) for steps in split(stage, program)]

    def _launch(self, steps: tuple[Step, ...], rows: Rows, program: Program) -> Block:
        sweep = "backward" if program.sweep.backward else "forward"
        name = f"{sweep}_{1 + sum(k.name.startswith(sweep) for k in self.found)}"
        made = kernel(name, steps, program, rows)
        self.found.append(made)
        count = "n" if rows.loop else "pack.size"
        how = "_launch_rows" if made.rowwise else "_launch_units"
        values = "".join(f", {code}" for _, code in made.arguments)
        before, after = self._sent(made, program)
        lines = (*rows.flush(), *before, f"{how}(kernels.{name}, {count}, {made.width}{values})", *after)
        return Block(tuple(program.equation(op) for op in steps), lines)

    def _sent(self, made: Kernel, program: Program) -> tuple[list[str], list[str]]:
        """Arrays for what a kernel sends to other steps, and their way to those steps' rows."""
        before, after = [], []
        for buffer in (program.sweep.buffers[name] for name in made.sent):
            array = program.sweep.names.get(("scatter", buffer.name), f"{buffer.name}_sent")
            before.append(f"{array} = cp.empty((pack.size, {program.sweep.width(buffer)}), dtype)")
            after.append(f"{program.sweep.variable(buffer.name)}[pack.past({buffer.depth}, {buffer.depth})] = {array}")
        return before, after
