"""A program's regions as Python: stage by stage, with loops over time, for targets whose kernels are calls."""

from __future__ import annotations

from collections.abc import Iterable

from symcell.emit.python.blocks import Block, RegionView, grouped
from symcell.emit.python.scope import Scope
from symcell.emit.python.stages import KernelLines, block
from symcell.emit.python.text import code_lines, comment_lines
from symcell.emit.python.views import RegionViews
from symcell.program.model import Region


def by_stages(scope: Scope, kernel: KernelLines) -> list[RegionView]:
    """All regions of a sweep; ``kernel`` prints the lines that run one."""
    return [by_stage(region, RegionViews(scope, region.kind), kernel) for region in scope.program.regions]


def one_step(views: RegionViews, kernel: KernelLines) -> list[Block]:
    """The stages of a forward program for one step."""
    stages = (stage for region in views.scope.program.regions for stage in region.stages)
    return [fitted(block(stage, views, kernel), views.scope.indent) for stage in stages]


def by_stage(region: Region, views: RegionViews, kernel: KernelLines, counts: str = "pack.counts") -> RegionView:
    """A region, stage by stage. ``counts``: the numbers of samples by step, as code."""
    blocks: list[Block] = []
    branch = views
    for k, stage in enumerate(region.stages):
        only = k in region.inputs_only
        if only and k - 1 not in region.inputs_only:
            branch = views.branch()
        found = block(stage, branch if only else views, kernel)
        blocks.append(fitted(found, 4 + 4 * (region.kind == "steps") + 4 * only, only))
    if region.kind == "sequence":
        return RegionView("", (), grouped(blocks))
    head = {
        (True, 1): f"for t, n in enumerate({counts}):",
        (True, -1): f"for t, n in reversed(list(enumerate({counts}))):",
        (False, 1): f"for t in range(len({counts})):",
        (False, -1): f"for t in reversed(range(len({counts}))):",
    }[views.scope.counted or bool(views.narrowed), region.direction]
    return RegionView(head, fitted_lines(views.narrowed, 12), grouped(blocks))


def fitted(found: Block, indent: int, inputs_only: bool = False) -> Block:
    """A block whose lines are short enough to stand ``indent`` characters in."""
    texts = (line for text in found.comments for line in comment_lines(text, indent))
    return Block(tuple(texts), fitted_lines(found.lines, indent), inputs_only)


def fitted_lines(lines: Iterable[str], indent: int) -> tuple[str, ...]:
    return tuple(short for line in lines for short in code_lines(line, indent))
