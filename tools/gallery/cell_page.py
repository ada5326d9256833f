"""The page of one cell: its text, its derivation, what it costs, how its gradient flows, its kernels, verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import derivations
import flow
from markup import code, facts, formula, heading, raw, table, text

import symcell
from symcell.cell import Cell
from symcell.pipeline import TARGETS, plans, source
from symcell.program.data import cell_data, plan_data

UNITS = 256
WHAT = {"numpy": "NumPy alone", "c": "C, compiled at its first call", "cupy": "CUDA, with CuPy"}
Data = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """``facts``: for the index; ``files``: what is offered beside the page, by name."""

    name: str
    text: str
    facts: Data
    files: dict[str, str] = field(default_factory=dict)


def page(name: str, *, quick: bool = False) -> Page:
    """The page of a shipped cell; ``quick``: without verification and flow."""
    cell = symcell.load(name)
    sizes = dict.fromkeys(cell.sizes, UNITS)
    costs = {target: plan_data(plan, sizes) for target, plan in plans(cell, TARGETS).items()}
    data = {**cell_data(cell, sizes), "cost": costs["cupy"]}
    derivation = symcell.derive(cell)
    files = derivations.files(derivation)
    modules = {target: source(cell, target) for target in TARGETS}
    files |= {f"{name}_{target}.py": module for target, module in modules.items()}
    sections = [
        f"# {heading(cell.title or name)}\n\n",
        _opening(cell),
        raw(_facts(data)),
        "## Text\n\n",
        code(cell.body, "python"),
        "## Derivation\n\n",
        derivations.section(name, derivation),
        "## Cost\n\n",
        *(part for target, cost in costs.items() for part in _cost(target, cost)),
        *([] if quick else flow.section(cell)),
        *_kernels(name, modules),
        *([] if quick else _verification(cell)),
    ]
    return Page(name, "".join(sections), data, files)


def _opening(cell: Cell) -> str:
    said = "".join(f"<p>{text(part)}</p>\n" for part in cell.description.split("\n\n") if part)
    return raw(said) if said else ""


def _facts(data: Data) -> str:
    cost, stash = data["cost"], data["cost"]["stash"]
    flops = {role: cost["programs"][role]["flops"] for role in ("forward", "backward")}
    rows = [
        ("name", f"<code>{text(data['name'])}</code>"),
        ("inputs", _shapes(data["inputs"])),
        ("states", ", ".join(_state(name, state) for name, state in data["states"].items())),
        ("output", _shapes({data["output"]: (data["signals"] | data["inputs"])[data["output"]]})),
        ("parameters", f"{formula(data['count']['formula'])} = {data['count']['value']:,} at {UNITS}"),
        ("constants", ", ".join(f"{text(name)} = {value:g}" for name, value in data["constants"].items())),
        ("arrays", _shapes(data["arrays"])),
        *((f"FLOPs {role}", f"{formula(f['formula'])} = {f['value']:,}") for role, f in flops.items()),
        ("stash", f"{formula(stash['formula'])} = {stash['value']:,}: {text(', '.join(stash['kept']))}"),
        ("recomputed", text(", ".join(stash["recomputed"]))),
    ]
    return facts((name, what) for name, what in rows if what)


def _shapes(shapes: Data) -> str:
    return ", ".join(f"{text(name)}: {text('×'.join(map(str, shape)))}" for name, shape in shapes.items())


def _state(name: str, state: Data) -> str:
    lags = f", {state['lags']} steps back" if state["lags"] > 1 else ""
    start = f", starting at {text(state['start'])}" if state["start"] else ""
    return f"{_shapes({name: state['shape']})}{lags}{start}"


def _cost(target: str, cost: Data) -> list[str]:
    """What each stage of a target's programs multiplies and moves, per step and sample in float32."""
    unit = "launches" if target == "cupy" else "calls"
    rows = [
        [
            f"<b>{role}</b>" if k == 0 else "",
            text(stage["where"]),
            text(stage["kind"]),
            text(_few(stage["makes"])),
            formula(stage["flops"]["formula"]),
            formula(stage["bytes"]["formula"]),
            str(stage["launches"]),
        ]
        for role, program in cost["programs"].items()
        for k, stage in enumerate(program["stages"])
    ]
    heads = ("", "when", "what", "makes", "FLOPs", "bytes", unit)
    peak = cost["peak"]
    said = f"At most {peak['bytes'] / 1e6:,.1f} MB are allocated in a train step of {peak['steps']} steps and " \
           f"{peak['batch']} samples at {UNITS} units."  # fmt: skip
    return [f"### {target}\n\n", raw(table(heads, rows, numbers=(6,))), f"{said}\n\n"]


def _few(names: list[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{names[0]} … {names[-1]} ({len(names)})"


def _kernels(name: str, modules: Mapping[str, str]) -> list[str]:
    rows = [
        [f'<a href="{name}/{name}_{target}.py">{name}_{target}.py</a>', WHAT[target], f"{len(module.splitlines()):,}"]
        for target, module in modules.items()
    ]
    said = "The derivation has the lines that compute it, beside each formula and at its end. The modules, whole:\n\n"
    return ["## Kernels\n\n", said, raw(table(("file", "", "lines"), rows, numbers=(2,)))]


def _verification(cell: Cell) -> list[str]:
    """The NumPy module against the reference, and the derivation against the complex step."""
    report = symcell.verify(cell, targets=["numpy"])
    (found,) = report.cells
    columns = [column for column in found.columns if not column.missing and "torch" not in column.name]
    rows = [
        [text(row.tensor), *(c.tolerance.text(row.errors[c.title]) if c.title in row.errors else "" for c in columns)]
        for row in found.rows
    ]
    heads = ("tensor", *(text(column.name) for column in columns))
    legend = [f"<dt>{text(c.name)}</dt><dd>{text(c.title)}; at most {c.tolerance.text()} passes</dd>" for c in columns]
    more = f"`symcell verify {cell.name}` tries the C and the CuPy module too."
    return [
        "## Verification\n\n",
        f"The largest error of each tensor; {'all are' if report.ok else 'not all are'} within tolerance. {more}\n\n",
        raw(table(heads, rows, numbers=range(1, len(heads)))),
        raw(f"<dl>{''.join(legend)}</dl>"),
    ]
