"""How the CuPy target runs kernels: each is a launch."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace

from symcell.cell import Size
from symcell.emit.c_family.arguments import Argument, Length, Pointer
from symcell.emit.comments import equation
from symcell.emit.cupy.kernels import KernelView, Start
from symcell.emit.cupy.source import functions, graph, kernels_of, launches, matrix_units, sharing, steps
from symcell.emit.cupy.steps import Steps
from symcell.emit.cupy.steps_view import StepsView
from symcell.emit.python.blocks import Block, RegionView, grouped
from symcell.emit.python.regions import by_stage, one_step
from symcell.emit.python.scope import Scope
from symcell.emit.python.text import code_lines, literal
from symcell.emit.python.views import RegionViews
from symcell.program.model import Kernel, Plan, Program, Region

WIDTH = 108
"""How wide a line may be before it is indented."""


STRATEGIES = ("auto", "plain", "block", "persistent", "graph")
"""How a module may run its steps; see ``STRATEGY`` in it."""


@dataclass(frozen=True)
class CudaView:
    """The kernels for the template: their ``names`` as a Python tuple; the CUDA ``source`` of what they do and of their
    ``launches``; ``units``, ``rows``: which launches there are. ``steps``: (name, CUDA source) of the kernels that run
    all steps, ``sharing``,
    ``matrix_units`` what these have in common, ``first_products`` the numbers of their first products,
    ``rounded_products`` those of products that kernels find rounded where parameters are of 16 bits,
    ``work`` lines with what a step of each does; ``graphs``, ``replays``: (name, CUDA source) of the kernels that
    graphs of steps are made of, and lines with what these have to know of them."""

    names: str
    source: str
    launches: str
    units: bool
    rows: bool
    steps: tuple[tuple[str, str], ...]
    sharing: str
    matrix_units: str
    first_products: str
    rounded_products: str
    work: tuple[str, ...]
    graphs: tuple[tuple[str, str], ...]
    replays: tuple[str, ...]
    strategies: str = literal(STRATEGIES)


class Cupy:
    """How this target runs the kernels of one plan. ``steps``: the kernels of whole sweeps printed so far."""

    name = "cupy"
    title = "CuPy"
    xp = "cp"
    keeps = False

    def __init__(self, plan: Plan) -> None:
        self._kernels = {view.name: view for view in kernels_of(plan.programs.values())}
        self.steps: list[StepsView] = []
        self._launched = any(map(_has_steps, plan.programs.values()))

    def sweep(self, scope: Scope) -> list[RegionView]:
        found = [view for region in scope.program.regions for view in self._region(region, scope)]
        if self._launched and not _has_steps(scope.program):
            nothing = Block(("nothing runs step by step: there is no launch to share",), ("yield from ()",))
            found.append(RegionView("", (), grouped([nothing])))
        return found

    def _region(self, region: Region, scope: Scope) -> list[RegionView]:
        """A region's stages; where they run step by step, the one launch that may spare them that is before them."""
        views = RegionViews(scope, region.kind)
        if region.kind != "steps" or not region.stages:
            return [by_stage(region, views, self.kernel)]
        counts = scope.names.fresh("left")
        found = self._steps(region, scope)
        lines = (f"{counts} = yield (", *found, ")")
        before = Block(("all steps in one launch, unless one launch for each stage of each is better",), lines)
        return [RegionView("", (), grouped([before])), by_stage(region, views, self.kernel, counts)]

    def _steps(self, region: Region, scope: Scope) -> list[str]:
        """The arguments of the one launch, by lines."""
        role = scope.program.role
        count = sum(view.name.startswith(role) for view in self.steps)
        name = f"{role}_steps" + (f"_{count + 1}" if count else "")
        first = sum(len(view.products) for view in self.steps) + 1
        view = Steps(name, region, RegionViews(scope, "steps"), self._kernels, first).view()
        self.steps.append(view)
        for call in view.calls:
            own = self._kernels[call.view.name]
            self._kernels[own.name] = replace(own, leaves=call.leaves, spares=call.spares)
        head = [literal(name), "params.sizes", "pack", "dtype"]
        text = " ".join(f"{argument}," for argument in (*head, *view.arguments))
        return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False)

    def single(self, views: RegionViews) -> list[Block]:
        return one_step(views, self.kernel)

    def kernel(self, kernel: Kernel, views: RegionViews) -> Block:
        """The launch, behind the definitions of the arrays that it needs."""
        kernels = views.scope.define("kernels", "kernels", "_kernels(dtype)")
        lines = launch(self._kernels[kernel.name], kernels, views)
        texts = tuple(equation(views.scope.program, op) for statement in kernel.statements() for op in statement.ops)
        return Block(texts, (*views.flush(), *lines))

    def matmul(self, scope: Scope, rounds: bool) -> str:
        scope.module.features.add("matmul")
        return scope.define("matmul", "matmul", "_matmul(dtype)")

    def rounded(self, array: str, scope: Scope) -> str:
        return array

    def view(self) -> CudaView:
        found = tuple(self._kernels.values())
        names = "\n".join(code_lines(literal(tuple(self._kernels)), len("KERNELS = ")))
        firsts, first = {}, 1
        for view in self.steps:
            firsts[view.name], first = first, first + len(view.products)
        return CudaView(
            names=names,
            source=functions(found),
            launches=launches(found),
            units=not all(view.rowwise for view in found),
            rows=any(view.rowwise for view in found),
            steps=tuple((literal(view.name), steps(view)) for view in self.steps),
            sharing=sharing() if self.steps else "",
            matrix_units=matrix_units() if self.steps else "",
            first_products="{" + ", ".join(f"{literal(name)}: {number}" for name, number in firsts.items()) + "}",
            rounded_products=literal(tuple(number for view in self.steps for number in view.rounded)),
            work=tuple(line for view in self.steps for line in code_lines(f"{literal(view.name)}: {view.work},", 8)),
            graphs=tuple((literal(view.name), graph(view)) for view in self.steps),
            replays=tuple(f"{literal(view.name)}: {view.replay}," for view in self.steps),
        )


def _has_steps(program: Program) -> bool:
    """Whether a program runs anything step by step."""
    return any(region.kind == "steps" and region.stages for region in program.regions)


def launch(view: KernelView, kernels: str, views: RegionViews) -> list[str]:
    """The lines that launch a kernel on the rows of a region."""
    widths = [views.scope.size(size) for size in view.widths]
    width = widths[0] if len(widths) == 1 else f"max({', '.join(widths)})"
    arguments = [_argument(argument, views) for argument in view.all_arguments]
    function = "_launch_rows" if view.rowwise else "_launch_units"
    most = [str(view.most)] if view.rowwise else []
    return _call(function, [f"{kernels}.{view.name}", views.count, width, *most, *arguments])


def _argument(argument: Argument | Start, views: RegionViews) -> str:
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
