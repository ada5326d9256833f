"""The index of the cells: a table that compares them, at one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markup import formula, raw, table, text

HEADS = ("cell", "title", "state", "parameters", "at 256", "FLOPs forward", "backward", "stash", "products in the loop")

_HEAD = """# Cells

Numbers are per step and sample where every size is 256; *stash* is how many numbers the forward pass keeps for the
backward pass. *Products in the loop* are those with a fixed matrix that wait for the step before: cells without any run
the others for all steps at once. A click on a head sorts.

"""


def index(cells: Sequence[dict[str, Any]]) -> str:
    """The page, with the tree of all pages of cells."""
    shown = raw(table(HEADS, map(_row, cells), numbers=(4, 5, 6, 7, 8), kind="sorted"))
    tree = "\n".join(str(cell["name"]) for cell in cells)
    return f"{_HEAD}{shown}```{{toctree}}\n:maxdepth: 1\n:hidden:\n\n{tree}\n```\n"


def _row(cell: dict[str, Any]) -> list[Any]:
    programs, stash = cell["cost"]["programs"], cell["cost"]["stash"]
    flops = [programs[role]["flops"]["value"] for role in ("forward", "backward")]
    numbers = [cell["count"]["value"], *flops, stash["value"]]
    return [
        f'<a href="{cell["name"]}.html">{text(cell["name"])}</a>',
        text(cell["title"]),
        ", ".join(_state(name, state) for name, state in cell["states"].items()),
        formula(cell["count"]["formula"]),
        *((f"{number:,}", number) for number in numbers),
        str(sum(s["where"] == "each step" and s["kind"] == "product" for s in programs["forward"]["stages"])),
    ]


def _state(name: str, state: dict[str, Any]) -> str:
    lags = f", {state['lags']} lags" if state["lags"] > 1 else ""
    return f"<i>{text(name)}</i>: {text('×'.join(map(str, state['shape'])))}{lags}"
