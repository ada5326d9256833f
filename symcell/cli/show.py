"""``symcell show``."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from symcell.cli import arguments

if TYPE_CHECKING:
    from symcell.cell import Cell, Parameter, Shape, Start

NOMINAL = 256
WIDEST = 112
INDENT = 12


@click.command()
@arguments.cell
@arguments.sizes
@click.option("--target", metavar="NAME", default="cupy", help="Whose kernels and memory to count (default: cupy).")
def show(cell: str, sizes: dict[str, int], target: str) -> None:
    """Show a cell: equations, shapes, and what it costs."""
    from symcell.pipeline import TARGETS, plan

    if target not in TARGETS:
        raise click.BadParameter(f"{target!r} is none of {', '.join(TARGETS)}", param_hint="--target")
    found = arguments.load(cell)
    for name in sizes:
        if name not in found.sizes:
            known = f"the sizes {', '.join(found.sizes)}" if found.sizes else "no sizes"
            raise click.BadParameter(f"{found.name} has {known}, not {name!r}", param_hint="--size")
    columns = shutil.get_terminal_size((WIDEST, 24)).columns
    click.echo("\n".join([*_heading(found, columns), *_equations(found, columns), "", *_values(found, sizes, columns)]))
    click.echo(f"\nCost ({target})\n{'-' * (7 + len(target))}\n{plan(found, target)}")


def _heading(cell: Cell, columns: int) -> list[str]:
    from symcell.derivation.text import width

    title = cell.title or cell.name
    lines = [title, "=" * width(title), ""]
    for paragraph in cell.description.split("\n\n") if cell.description else ():
        lines += [*textwrap.wrap(paragraph, columns), ""]
    return lines


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
    from symcell.program.report import formula, parameter_count

    chosen = {size: sizes.get(size, NOMINAL) for size in cell.sizes}
    total = sum(_numbers(p, chosen) for p in cell.parameters.values())
    at = f" = {total:,} at {_at(chosen)}" if chosen else ""
    constants = [f"{name} = {value:g}" for name, value in cell.constants.items()]
    rows = {
        "sizes": [", ".join(cell.sizes)],
        "inputs": [f"{name}: {_shape(shape)}" for name, shape in cell.inputs.items()],
        "states": [_state(cell, name, lags) for name, lags in cell.states.items()],
        "output": [f"{cell.output}: {_shape(cell.shape_of(cell.output))}"],
        "parameters": _parameters(cell.parameters.items()),
        "": [f"{formula(parameter_count(cell))}{at}"] if cell.parameters else ["none"],
        "constants": [", ".join(constants)] if constants else [],
        "arrays": [f"{name}: {_shape(shape)}, set by the caller" for name, shape in cell.arrays.items()],
    }
    lines = []
    for head, texts in rows.items():
        for k, text in enumerate(filter(None, texts)):
            first = f"{'' if k else head:<{INDENT}}"
            lines += textwrap.wrap(text, max(40, columns), initial_indent=first, subsequent_indent=" " * (INDENT + 2))
    return lines


def _numbers(parameter: Parameter, sizes: dict[str, int]) -> int:
    from symcell.cell import units

    return units(parameter.shape).value(sizes)


def _at(sizes: dict[str, int]) -> str:
    """``D = H = 256``, or ``D = 8, H = 64``."""
    groups: dict[int, list[str]] = {}
    for name, value in sizes.items():
        groups.setdefault(value, []).append(name)
    return ", ".join(f"{' = '.join(names)} = {value}" for value, names in groups.items())


def _state(cell: Cell, name: str, lags: int) -> str:
    start = f", starting at {cell.initial[name]}" if name in cell.initial else ""
    return f"{name}: {_shape(cell.shape_of(name))}{f', {lags} steps back' if lags > 1 else ''}{start}"


def _parameters(parameters: Iterable[tuple[str, Parameter]]) -> list[str]:
    """``W_i, W_f: H×D``: the parameters of one shape and start together."""
    from symcell.cell import Start

    groups: dict[str, list[str]] = {}
    for name, parameter in parameters:
        shape = _shape(parameter.shape)
        start = "" if parameter.start == Start() else f", starting at {_start(parameter.start)}"
        groups.setdefault((shape or "scalar") + start, []).append(name)
    return [f"{', '.join(names)}: {what}" for what, names in groups.items()]


def _shape(shape: Shape) -> str:
    """``H``, ``H×D``, ``H×(D+H)``."""
    return "×".join(f"({n})" if "+" in str(n) and len(shape) > 1 else str(n) for n in shape)


def _start(start: float | Start) -> str:
    """A number, ``zeros``, ``normal(0.02)``."""
    if isinstance(start, float | int):
        return f"{start:g}"
    return start.kind if start.scale is None else f"{start.kind}({start.scale:g})"
