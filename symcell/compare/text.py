"""Cells side by side in a terminal: a column for each where there is room, else bands of as many as fit."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence

from symcell.cell import Shape, shape_text
from symcell.compare.model import Comparison, Equation, GateUse, Path, Profile, Shown, proportion
from symcell.derivation.breaking import broken, unmarked
from symcell.derivation.escape import one_line
from symcell.derivation.text import width as width_of
from symcell.diff.costs import PARAMETERS
from symcell.diff.text import Line, Style
from symcell.program.report import NOMINAL, formula

WIDTH, NARROWEST = 80, 40
COLUMN = 17
"""A column of a table is as wide at least."""
GAP = 2

TIED = "\N{NO-BREAK SPACE}"
"""Between what stays on one line."""

Table = list[tuple[str, list[str]]]
"""Rows: what is told, and that of each cell."""


def text(comparison: Comparison, width: int = WIDTH) -> str:
    """All of it as plain text."""
    return "\n".join(line.text for line in lines(comparison, width))


def lines(comparison: Comparison, width: int = WIDTH) -> Iterator[Line]:
    """All of it, no line wider than ``width`` (of 40 at least) but where a formula has no place to be broken at."""
    width = max(width, NARROWEST)
    yield Line("Equations", "head")
    for profile in comparison.profiles:
        yield from (Line(""), *_titled(profile, width))
        yield from (Line(f"  {line}") for line in _equations(profile.equations, width - 2))
    yield from (Line(""), Line("Side by side", "head"), Line(""))
    heads = [profile.cell.name for profile in comparison.profiles]
    yield from _bands(heads, rows(comparison), width)
    if len(heads) > 1:
        yield from (Line(""), *_wrapped(parameters_in_proportion(comparison), width), Line(""))
    yield from _wrapped(footnote(comparison), width, "soft")
    yield from (Line(f"note: {one_line(note)}", "soft") for note in comparison.notes)
    if any(profile.gates for profile in comparison.profiles):
        yield from (Line(""), *_wrapped("Gates: values in [0, 1] that multiply others, unit by unit", width, "head"))
        yield from _each(comparison, width, lambda profile, room: gate_lines(profile.gates, room))
    yield from (Line(""), *_wrapped("Ways from the states before a step to those behind it", width, "head"))
    yield from _each(comparison, width, lambda profile, room: path_lines(profile.paths, room))


def _titled(profile: Profile, width: int) -> Iterator[Line]:
    title = one_line(profile.cell.title)
    yield from _wrapped(f"{profile.cell.name}: {title}" if title else profile.cell.name, width, "head")


def _equations(equations: Sequence[Equation], width: int) -> Iterator[str]:
    align = max((width_of(unmarked(e.left.text)) for e in equations), default=0)
    for equation in equations:
        left = unmarked(equation.left.text)
        start = " " * (align - width_of(left)) + f"{left} = "
        yield from _math(start, equation.right, width)


def _math(start: str, shown: Shown, width: int) -> Iterator[str]:
    room = max(width - width_of(start), NARROWEST // 2)
    first, *rest = broken(shown.text, room, width_of)
    yield start + first
    yield from (" " * width_of(start) + line for line in rest)


# the table


def rows(comparison: Comparison) -> Table:
    """What is told of each cell, and the numbers."""
    cells = [profile.cell for profile in comparison.profiles]
    table: Table = [
        ("inputs", [_shapes(cell.inputs) for cell in cells]),
        ("states", [_states(p) for p in comparison.profiles]),
        ("output", [cell.output for cell in cells]),
        ("gates", [", ".join(p.gate_names) or "none" for p in comparison.profiles]),
    ]
    for what in dict.fromkeys(what for p in comparison.profiles for what in p.costs):
        table.append((what, [f"{p.cost(what):,}" if what in p.costs else "–" for p in comparison.profiles]))
        formulas = [_formula(p, what) for p in comparison.profiles]
        if any(formulas):
            table.append(("", formulas))
    if comparison.work:
        table += measurements(comparison)
    return table


def parameters_in_proportion(comparison: Comparison) -> str:
    """``Parameters of rnn : gru : lstm are as 1 : 3 : 4.``"""
    names = " : ".join(profile.cell.name for profile in comparison.profiles)
    return f"Parameters of {names} are as {proportion(comparison.ratio(PARAMETERS))}."


def measurements(comparison: Comparison) -> Table:
    """What was measured."""
    measured = [profile.measured for profile in comparison.profiles]
    times = ["–" if m is None else f"{1e3 * m.seconds:.3g} ms" for m in measured]
    held = ["–" if m is None or m.memory is None else f"{m.memory / 1e6:.3g} MB" for m in measured]
    table = [("measured time", times), ("measured memory", held)]
    return [row for row in table if set(row[1]) != {"–"}]


def footnote(comparison: Comparison) -> str:
    """For what the numbers are."""
    sizes = " = ".join(dict.fromkeys(s for p in comparison.profiles for s in p.cell.sizes))
    told = f"{comparison.target}: costs of one step and sample"
    told += f" at {sizes} = {NOMINAL}" if sizes else ""
    told += "; peak memory of 100 steps and 32 samples"
    return f"{told}; measured: {comparison.work}" if comparison.work else told


def _formula(profile: Profile, what: str) -> str:
    amount = profile.costs.get(what)
    written = formula(amount) if amount is not None and amount.free_symbols else ""
    return written.replace(" ", TIED).replace(f"{TIED}+{TIED}", f" +{TIED}")


def _shapes(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name}: {shape_text(shape)}" for name, shape in shapes.items()) or "none"


def _states(profile: Profile) -> str:
    cell = profile.cell
    told = [
        f"{name}: {shape_text(cell.shape_of(name))}" + (f", {lags} back" if lags > 1 else "")
        for name, lags in cell.states.items()
    ]
    return ", ".join(told) or "none"


def _bands(heads: Sequence[str], table: Table, width: int) -> Iterator[Line]:
    first = min(max(width_of(what) for what, _ in table), width // 3)
    fit = max(1, (width - first) // (COLUMN + GAP))
    for start in range(0, len(heads), fit):
        part = slice(start, start + fit)
        shown = heads[part]
        column = (width - first) // len(shown) - GAP
        if start:
            yield Line("")
        yield from (Line(line, "head") for line in _row("", shown, first, column))
        for what, texts in table:
            if any(texts[part]):
                yield from map(Line, _row(what, texts[part], first, column))


def _row(what: str, texts: Sequence[str], first: int, column: int) -> Iterator[str]:
    """A row of a table, its cells going on below where they are too wide."""
    cells = [_folded(what, first), *(_folded(text, column) for text in texts)]
    widths = [first, *[column] * len(texts)]
    for k in range(max(map(len, cells))):
        parts = [cell[k] if k < len(cell) else "" for cell in cells]
        padded = (part + " " * (w - width_of(part)) for part, w in zip(parts, widths, strict=True))
        yield (" " * GAP).join(padded).rstrip()


def _folded(text: str, column: int) -> list[str]:
    return [line.replace(TIED, " ") for line in textwrap.wrap(text, column, break_on_hyphens=False)] or [""]


# gates and ways


def _each(comparison: Comparison, width: int, told: Callable[[Profile, int], Iterator[str]]) -> Iterator[Line]:
    for profile in comparison.profiles:
        said = list(told(profile, width - 2))
        yield from (Line(""), *_wrapped(profile.cell.name, width, "head"))
        yield from (Line(f"  {line}") for line in (said or ["none"]))


def gate_lines(gates: Sequence[GateUse], width: int) -> Iterator[str]:
    """``f[t] gates c[t-1], in c``."""
    align = max((width_of(unmarked(g.factor.text)) for g in gates), default=0)
    for gate in gates:
        factor = unmarked(gate.factor.text)
        pad = " " * (min(align, width // 3) - width_of(factor))
        *most, last = _math(f"{factor}{pad} multiplies ", gate.gated, width)
        yield from most
        yield from textwrap.wrap(f"{last}, in {gate.signal}", width, subsequent_indent="    ", drop_whitespace=True)


def path_lines(paths: Sequence[Path], width: int) -> Iterator[str]:
    """``c[t] ← c[t-1]  gated        f[t]``."""
    heads = [f"{path.target.text} ← {path.source.text}" for path in paths]
    align, before = max(map(width_of, heads), default=0), ""
    for head, path in zip(heads, paths, strict=True):
        told = "" if head == before else head
        before = head
        start = told + " " * (align - width_of(told)) + f"  {path.kind:<11}  "
        if path.factor is not None:
            yield from _math(start, path.factor, width)
        else:
            through = path_text(path)
            hang = " " * width_of(start)
            yield from textwrap.wrap(start + through, width, subsequent_indent=hang, drop_whitespace=False)


def path_text(path: Path) -> str:
    """What a way that no formula is shown of goes through."""
    if path.matrices:
        return f"through {', '.join(path.matrices)}"
    return "units mix" if path.kind == "matrix" else "a long factor"


def _wrapped(said: str, width: int, style: Style = "") -> Iterator[Line]:
    for line in textwrap.wrap(said, width, subsequent_indent="  ", break_on_hyphens=False):
        yield Line(line, style)
