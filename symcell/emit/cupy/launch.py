"""How the CuPy target runs kernels: each is a launch."""

from __future__ import annotations

from dataclasses import dataclass

from symcell.cell import Size
from symcell.emit.c_family.arguments import Argument, Length, Pointer
from symcell.emit.comments import equation
from symcell.emit.cupy.kernels import KernelView
from symcell.emit.cupy.source import kernels_of, source
from symcell.emit.python.blocks import Block, RegionView
from symcell.emit.python.regions import by_stages, one_step
from symcell.emit.python.scope import Scope
from symcell.emit.python.text import code_lines, literal
from symcell.emit.python.views import RegionViews
from symcell.program.model import Kernel, Plan

WIDTH = 108
"""How wide a line may be before it is indented."""


@dataclass(frozen=True)
class CudaView:
    """The kernels for the template: their ``names`` as a Python tuple, their CUDA ``source``; ``units``, ``rows``:
    which launches there are."""

    names: str
    source: str
    units: bool
    rows: bool


class Cupy:
    """How this target runs the kernels of one plan."""

    name = "cupy"
    title = "CuPy"
    xp = "cp"

    def __init__(self, plan: Plan) -> None:
        self._kernels = {view.name: view for view in kernels_of(plan.programs.values())}

    def sweep(self, scope: Scope) -> list[RegionView]:
        return by_stages(scope, self.kernel)

    def single(self, views: RegionViews) -> list[Block]:
        return one_step(views, self.kernel)

    def kernel(self, kernel: Kernel, views: RegionViews) -> Block:
        """The launch, behind the definitions of the arrays that it needs."""
        kernels = views.scope.define("kernels", "kernels", "_kernels(dtype)")
        lines = launch(self._kernels[kernel.name], kernels, views)
        texts = tuple(equation(views.scope.program, op) for statement in kernel.statements() for op in statement.ops)
        return Block(texts, (*views.flush(), *lines))

    def view(self) -> CudaView:
        found = tuple(self._kernels.values())
        names = "\n".join(code_lines(literal(tuple(self._kernels)), len("KERNELS = ")))
        return CudaView(names, source(found), not all(v.rowwise for v in found), any(v.rowwise for v in found))


def launch(view: KernelView, kernels: str, views: RegionViews) -> list[str]:
    """The lines that launch a kernel on the rows of a region."""
    widths = [views.scope.size(size) for size in view.widths]
    width = widths[0] if len(widths) == 1 else f"max({', '.join(widths)})"
    arguments = [_argument(argument, views) for argument in view.arguments]
    function = "_launch_rows" if view.rowwise else "_launch_units"
    most = [str(view.most)] if view.rowwise else []
    return _call(function, [f"{kernels}.{view.name}", views.count, width, *most, *arguments])


def _argument(argument: Argument, views: RegionViews) -> str:
    if isinstance(argument, Length):
        return views.scope.size(Size.of(argument.size))
    if views.scope.program.buffers[argument.ref.buffer].extent == "fixed":
        return views.scope.fixed(argument.ref)
    return views.base(argument.ref)[0 if isinstance(argument, Pointer) else 1]


def _call(function: str, arguments: list[str]) -> list[str]:
    """A call on one line, or its arguments on lines of their own."""
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= WIDTH:
        return [line]
    lines = ["   "]
    for argument in arguments:
        if len(lines[-1]) + len(argument) + 2 > WIDTH:
            lines.append("   ")
        lines[-1] += f" {argument},"
    return [f"{function}(", *lines, ")"]
