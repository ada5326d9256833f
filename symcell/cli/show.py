"""``symcell show``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from symcell.cli import arguments
from symcell.cli.terminal import print_json, width

if TYPE_CHECKING:
    from symcell.cell import Cell, Parameter, Start
    from symcell.program.model import Plan

NOMINAL = 256
WIDEST, NARROWEST = 112, 40
INDENT = 12


@click.command()
@arguments.cell
@arguments.sizes
@click.option("--target", metavar="NAME", default="cupy", help="Whose kernels and memory to count (default: cupy).")
@arguments.json
def show(cell: str, sizes: dict[str, int], target: str, as_json: bool) -> None:
    """Show a cell: equations, shapes, and what it costs."""
    from symcell.pipeline import TARGETS, plan

    if target not in TARGETS:
        raise click.BadParameter(f"{target!r} is none of {', '.join(TARGETS)}", param_hint="--target")
    found = arguments.load(cell)
    for name in sizes:
        if name not in found.sizes:
            known = f"the sizes {', '.join(found.sizes)}" if found.sizes else "no sizes"
            raise click.BadParameter(f"{found.name} has {known}, not {name!r}", param_hint="--size")
    if as_json:
        print_json(_data(found, plan(found, target), sizes, target))
        return
    columns = max(width(WIDEST), NARROWEST)
    click.echo("\n".join([*_heading(found, columns), *_equations(found, columns), "", *_values(found, sizes, columns)]))
    click.echo(f"\nCost ({target})\n{'-' * (7 + len(target))}\n{plan(found, target)}")


def _data(cell: Cell, plan: Plan, sizes: dict[str, int], target: str) -> dict[str, Any]:
    from symcell.program.data import cell_data, plan_data

    chosen = {size: sizes.get(size, NOMINAL) for size in cell.sizes}
    return {**cell_data(cell, chosen), "cost": {"target": target, **plan_data(plan, chosen)}}


def _heading(cell: Cell, columns: int) -> list[str]:
    from symcell.derivation.text import width

    title = cell.title or cell.name
    lines = [title, "=" * width(title), ""]
    for paragraph in cell.description.split("\n\n") if cell.description else ():
        lines += [*textwrap.wrap(paragraph, columns), ""]
    return lines


def _equations(cell: Cell, columns: int) -> list[str]:
    """The equations aligned at their equals signs, labels to their right: in a column, or where there is no room for
    one, at the margin."""
    from symcell.derivation.breaking import broken
    from symcell.derivation.text import TextPrinter, width

    printer = TextPrinter({})
    lefts = [printer.timed(e.lhs.signal, 0) for e in cell.equations]
    labels = [cell.labels.get(e.lhs.signal, "") for e in cell.equations]
    align = max(map(width, lefts)) + 2
    columns = min(columns, WIDEST)
    wide = max(map(width, labels))
    for beside_labels in (True, False):
        room = max(NARROWEST, columns - align - (wide + 6 if beside_labels else 3))
        rights = [broken(printer.print(e.rhs), room, width) for e in cell.equations]
        beside = align + 6 + max(width(right[-1]) for right in rights)
        if beside + wide <= columns:
            break
    lines = []
    for left, right, label in zip(lefts, rights, labels, strict=True):
        starts = [f"{' ' * (align - width(left))}{left} = ", *[" " * (align + 3)] * (len(right) - 1)]
        lines += [start + text for start, text in zip(starts, right, strict=True)]
        place = min(beside, columns - wide) if beside + wide <= columns else columns - width(label)
        if label and place < width(lines[-1]) + 3:
            lines.append("")
        lines[-1] += " " * (place - width(lines[-1])) + label if label else ""
    return lines


def _values(cell: Cell, sizes: dict[str, int], columns: int) -> list[str]:
    from symcell.cell import shape_text
    from symcell.program.report import formula, parameter_count

    chosen = {size: sizes.get(size, NOMINAL) for size in cell.sizes}
    total = sum(_numbers(p, chosen) for p in cell.parameters.values())
    at = f" = {total:,} at {_at(chosen)}" if chosen else ""
    constants = [f"{name} = {value:g}" for name, value in cell.constants.items()]
    rows = {
        "sizes": [", ".join(cell.sizes)],
        "inputs": [f"{name}: {shape_text(shape)}" for name, shape in cell.inputs.items()],
        "states": [_state(cell, name, lags) for name, lags in cell.states.items()],
        "output": [f"{cell.output}: {shape_text(cell.shape_of(cell.output))}"],
        "parameters": _parameters(cell.parameters.items()),
        "": [f"{formula(parameter_count(cell))}{at}"] if cell.parameters else ["none"],
        "constants": [", ".join(constants)] if constants else [],
        "arrays": [f"{name}: {shape_text(shape)}, set by the caller" for name, shape in cell.arrays.items()],
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
    from symcell.cell import shape_text

    start = f", starting at {cell.initial[name]}" if name in cell.initial else ""
    return f"{name}: {shape_text(cell.shape_of(name))}{f', {lags} steps back' if lags > 1 else ''}{start}"


def _parameters(parameters: Iterable[tuple[str, Parameter]]) -> list[str]:
    """``W_i, W_f: H×D``: the parameters of one shape and start together."""
    from symcell.cell import Start, shape_text

    groups: dict[str, list[str]] = {}
    for name, parameter in parameters:
        start = "" if parameter.start == Start() else f", starting at {_start(parameter.start)}"
        groups.setdefault(shape_text(parameter.shape) + start, []).append(name)
    return [f"{', '.join(names)}: {what}" for what, names in groups.items()]


def _start(start: float | Start) -> str:
    """A number, ``zeros``, ``normal(0.02)``."""
    if isinstance(start, float | int):
        return f"{start:g}"
    return start.kind if start.scale is None else f"{start.kind}({start.scale:g})"
