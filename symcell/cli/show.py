"""``symcell show``."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from symcell.cli import arguments

if TYPE_CHECKING:
    from symcell.cell import Cell, Parameter

NOMINAL = 256
WIDEST = 112
INDENT = 12


@click.command()
@arguments.cell
@arguments.sizes
def show(cell: str, sizes: dict[str, int]) -> None:
    """Show a cell: equations, shapes, and what it costs."""
    found = arguments.load(cell)
    for name in sizes:
        if name not in found.sizes:
            known = f"the sizes {', '.join(found.sizes)}" if found.sizes else "no sizes"
            raise click.BadParameter(f"{found.name} has {known}, not {name!r}", param_hint="--size")
    columns = shutil.get_terminal_size((WIDEST, 24)).columns
    click.echo("\n".join([*_heading(found), *_equations(found, columns), "", *_values(found, sizes, columns)]))
    from symcell.pipeline import plan_of

    click.echo(f"\nCost\n----\n{plan_of(found)}")


def _heading(cell: Cell) -> list[str]:
    from symcell.derivation.text import width

    title = cell.title or cell.name
    lines = [title, "=" * width(title), ""]
    return [*lines, *cell.description.splitlines(), ""] if cell.description else lines


def _equations(cell: Cell, columns: int) -> list[str]:
    """The equations aligned at their equals signs, labels to their right."""
    from symcell.derivation.breaking import broken
    from symcell.derivation.text import TextPrinter, width

    printer = TextPrinter({})
    lefts = [printer.timed(e.lhs.signal, 0) for e in cell.equations]
    labels = [cell.labels.get(e.lhs.signal, "") for e in cell.equations]
    align = max(map(width, lefts)) + 2
    room = max(40, min(columns, WIDEST) - align - max(map(width, labels)) - 6)
    rights = [broken(printer.print(e.rhs), room, width) for e in cell.equations]
    beside = max((width(right[-1]) for right, label in zip(rights, labels, strict=True) if label), default=0)
    lines = []
    for left, right, label in zip(lefts, rights, labels, strict=True):
        last = right[-1] + (" " * (beside - width(right[-1]) + 3) + label if label else "")
        starts = [f"{' ' * (align - width(left))}{left} = ", *[" " * (align + 3)] * (len(right) - 1)]
        lines += [start + text for start, text in zip(starts, [*right[:-1], last], strict=True)]
    return lines


def _values(cell: Cell, sizes: dict[str, int], columns: int) -> list[str]:
    from symcell.cli.counting import parameter_count
    from symcell.plan.report import formula

    chosen = {size: sizes.get(size, NOMINAL) for size in cell.sizes}
    total = sum(_numbers(p, chosen) for p in cell.parameters.values())
    at = f" = {total:,} at {_at(chosen)}" if chosen else ""
    constants = [f"{name} = {value:g}" for name, value in cell.constants.items()]
    rows = {
        "sizes": [", ".join(cell.sizes)],
        "inputs": [f"{name}: {size}" for name, size in cell.inputs.items()],
        "states": [_state(cell, name, lags) for name, lags in cell.states.items()],
        "output": [f"{cell.output}: {cell.size_of(cell.output)}"],
        "parameters": _parameters(cell.parameters.items()),
        "": [f"{formula(parameter_count(cell))}{at}"] if cell.parameters else ["none"],
        "constants": [", ".join(constants)] if constants else [],
    }
    lines = []
    for head, texts in rows.items():
        for k, text in enumerate(filter(None, texts)):
            first = f"{'' if k else head:<{INDENT}}"
            lines += textwrap.wrap(text, max(40, columns), initial_indent=first, subsequent_indent=" " * (INDENT + 2))
    return lines


def _numbers(parameter: Parameter, sizes: dict[str, int]) -> int:
    total = 1
    for size in parameter.shape:
        total *= size.value(sizes)
    return total


def _at(sizes: dict[str, int]) -> str:
    """``D = H = 256``, or ``D = 8, H = 64``."""
    groups: dict[int, list[str]] = {}
    for name, value in sizes.items():
        groups.setdefault(value, []).append(name)
    return ", ".join(f"{' = '.join(names)} = {value}" for value, names in groups.items())


def _state(cell: Cell, name: str, lags: int) -> str:
    start = f", starting at {cell.initial[name]}" if name in cell.initial else ""
    return f"{name}: {cell.size_of(name)}{f', {lags} steps back' if lags > 1 else ''}{start}"


def _parameters(parameters: Iterable[tuple[str, Parameter]]) -> list[str]:
    """``W_i, W_f: H×D``: the parameters of one shape and start together."""
    groups: dict[str, list[str]] = {}
    for name, parameter in parameters:
        shape = "×".join(f"({n})" if "+" in str(n) and len(parameter.shape) > 1 else str(n) for n in parameter.shape)
        start = "" if parameter.start == "uniform" else f", starting at {_start(parameter.start)}"
        groups.setdefault((shape or "scalar") + start, []).append(name)
    return [f"{', '.join(names)}: {what}" for what, names in groups.items()]


def _start(start: float | str) -> str:
    return start if isinstance(start, str) else f"{start:g}"
