"""How the C target runs a program: neighbouring stages are one call of a C function, what lies between is Python."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from symcell.emit.c.sections import InC, Section, SectionView
from symcell.emit.c.source import kernels_of, source
from symcell.emit.comments import comment
from symcell.emit.python.blocks import Block, RegionView, grouped
from symcell.emit.python.regions import fitted
from symcell.emit.python.scope import Scope
from symcell.emit.python.stages import block
from symcell.emit.python.text import code_lines, literal
from symcell.emit.python.views import RegionViews
from symcell.program.model import Kernel, Plan, Region, Stage

WIDTH = 108
"""How wide a line may be before it is indented."""


@dataclass(frozen=True)
class CView:
    """The C code for the template: the ``names`` of its functions as a Python tuple, and its ``source``; the ``cell``'s
    name as a string."""

    cell: str
    names: str
    source: str


class C:
    """How this target runs the programs of one plan. ``sections``: the C functions printed so far."""

    name = "c"
    xp = "np"
    keeps = True

    def __init__(self, plan: Plan) -> None:
        self._kernels = {view.name: view for view in kernels_of(plan.programs.values())}
        self._cell = literal(plan.cell.name)
        self.sections: list[SectionView] = []

    def sweep(self, scope: Scope) -> list[RegionView]:
        blocks = self._blocks(scope, [RegionViews(scope, region.kind) for region in scope.program.regions])
        return [RegionView("", (), grouped(blocks))]

    def single(self, views: RegionViews) -> list[Block]:
        return self._blocks(views.scope, [views for _ in views.scope.program.regions])

    def matmul(self, scope: Scope, rounds: bool) -> str:
        return f"{self.xp}.matmul"

    def rounded(self, array: str, scope: Scope) -> str:
        return array

    def view(self) -> CView:
        names = "\n".join(code_lines(literal(tuple(s.name for s in self.sections)), len("FUNCTIONS = ")))
        return CView(self._cell, names, source(tuple(self._kernels.values()), self.sections))

    def _blocks(self, scope: Scope, views: list[RegionViews]) -> list[Block]:
        """The program's stages in order: sections of C, and Python."""
        blocks: list[Block] = []
        section: Section | None = None
        begins = 0
        for region, view in zip(scope.program.regions, views, strict=True):
            for inside, stages in _pieces(region):
                if inside:
                    section = section or Section(self._free(scope.kind), scope, self._kernels)
                    section.add(region, begins, stages, view)
                    continue
                blocks += self._call(section)
                section = None
                blocks += [self._outside(region, number, stage, view) for number, stage in stages]
            begins += len(region.stages)
        return [*blocks, *self._call(section)]

    def _free(self, kind: str) -> str:
        """A name for the next section of a function."""
        count = sum(view.name.startswith(f"run_{kind}") for view in self.sections)
        return f"run_{kind}" + (f"_{count + 1}" if count else "")

    def _outside(self, region: Region, number: int, stage: Stage, views: RegionViews) -> Block:
        """A stage in Python. Arrays are found anew, since what one block defines may not run."""
        if views.scope.keeps:
            views.scope.module.features.add("outside")
        only = number in region.inputs_only
        found = block(stage, RegionViews(views.scope, views.kind), _no_kernel)
        return fitted(found, views.scope.indent + 4 * only, only)

    def _call(self, section: Section | None) -> list[Block]:
        if section is None:
            return []
        view = section.view()
        self.sections.append(view)
        scope = section.scope
        rows = "batch" if scope.kind == "step" else "pack.size"
        text = f"in C: {section.made[0]} … {section.made[-1]} ({len(section.made)})"
        values = [f"{member.value}," for member in view.members]
        record = textwrap.wrap(" ".join(values), WIDTH, initial_indent="        ", subsequent_indent="        ")
        work = textwrap.wrap(f"{rows} * {view.work},", WIDTH, initial_indent="    ", subsequent_indent="        ")
        arguments = [f"    _compiled(dtype).{view.name},", "    [", *record, "    ],", *work]
        if not scope.keeps:
            return [Block((comment(text),), ("_Call(", *arguments, ")()"))]
        name = scope.names.fresh(view.name)
        scope.setup += [f"{name} = _Call(", *arguments, ")"]
        return [Block((comment(text),), (f"{name}()",))]


def _pieces(region: Region) -> Iterator[tuple[bool, list[tuple[int, Stage]]]]:
    """The stages of a region with their places, neighbours that run in C together, the others together."""
    pieces: list[tuple[bool, list[tuple[int, Stage]]]] = []
    for number, stage in enumerate(region.stages):
        inside = isinstance(stage, InC)
        if not pieces or pieces[-1][0] != inside:
            pieces.append((inside, []))
        pieces[-1][1].append((number, stage))
    yield from pieces


def _no_kernel(kernel: Kernel, views: RegionViews) -> Block:
    raise NotImplementedError(f"{kernel.name} runs in C")
