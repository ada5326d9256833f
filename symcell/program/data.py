"""Cells and plans as plain data, for JSON and tables: the keys are documented in docs/commands.md and stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy

from symcell.cell import Cell, Parameter, Shape, Size
from symcell.program.costs import NOTHING, counts
from symcell.program.model import Plan, Program
from symcell.program.report import BATCH, BYTES, STEPS, parameter_count, peak_memory, rows

Data = dict[str, Any]


def cell_data(cell: Cell, sizes: Mapping[str, int]) -> Data:
    """What each name of a cell is; ``sizes``: a number for every size of its, at which the parameters are counted."""
    return {
        "name": cell.name,
        "title": cell.title,
        "description": cell.description,
        "body": cell.body,
        "labels": dict(cell.labels),
        "sizes": list(cell.sizes),
        "inputs": {name: _shape(shape) for name, shape in cell.inputs.items()},
        "signals": {name: _shape(shape) for name, shape in cell.signals.items()},
        "states": {
            name: {"shape": _shape(cell.shape_of(name)), "lags": lags, "start": cell.initial.get(name)}
            for name, lags in cell.states.items()
        },
        "output": cell.output,
        "parameters": {name: _parameter(parameter) for name, parameter in cell.parameters.items()},
        "constants": dict(cell.constants),
        "arrays": {name: _shape(shape) for name, shape in cell.arrays.items()},
        "at": {size: sizes[size] for size in cell.sizes},
        "count": amount(parameter_count(cell), sizes),
    }


def plan_data(plan: Plan, sizes: Mapping[str, int]) -> Data:
    """What a plan costs: per step and sample, at ``sizes``, in float32."""
    kept = [b for name in plan.forward.tape if (b := plan.forward.buffers[name]).origin == "own"]
    stored = sum((b.width for b in kept), Size()).symbol()
    peak = peak_memory(plan, {size: sizes[size] for size in plan.cell.sizes}, STEPS, BATCH, BYTES)
    return {
        "programs": {role: _program(program, sizes) for role, program in plan.programs.items()},
        "stash": {
            **amount(stored, sizes),
            "kept": [m.name for b in kept for m in b.members],
            "recomputed": list(plan.again),
        },
        "peak": {"steps": STEPS, "batch": BATCH, "bytes": peak},
    }


def _program(program: Program, sizes: Mapping[str, int]) -> Data:
    found = list(rows(program))
    total, launches = sum((row.cost for row in found), NOTHING), counts(program)
    return {
        "flops": amount(total.flops, sizes),
        "bytes": amount(BYTES * total.numbers, sizes),
        "launches": {"step": launches.launches[0], "besides": launches.launches[1], "fixed": launches.fixed},
        "stages": [
            {
                "where": row.where,
                "kind": row.kind,
                "makes": list(row.names),
                "flops": amount(row.cost.flops, sizes),
                "bytes": amount(BYTES * row.cost.numbers, sizes),
                "launches": row.cost.launches,
            }
            for row in found
        ],
    }


def amount(expr: sympy.Expr, sizes: Mapping[str, int]) -> Data:
    """A polynomial in the sizes: as a formula that Python reads, and its value."""
    expr = sympy.expand(expr)
    named = {symbol: sizes[symbol.name] for symbol in expr.free_symbols}
    return {"formula": str(expr), "value": int(expr.subs(named))}


def _shape(shape: Shape) -> list[str | int]:
    return [size.plain() for size in shape]


def _parameter(parameter: Parameter) -> Data:
    start = parameter.start
    return {"shape": _shape(parameter.shape), "start": start if isinstance(start, float | int) else str(start)}
