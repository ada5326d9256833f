"""What the report counts in a program stands in the emitted source: launches, products, buffers and their bytes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from planned_cells import SOME_PLANS, emitted, planned

from symcell.cell import units
from symcell.program.model import Leave, Program
from symcell.program.report import allocated, counts
from symcell.program.stretches import steps_of

STEPS, BATCH = 7, 3

PART = re.compile(r"^static void (\w+)_part\(.*?\) \{\n(.*?)^\}$", re.MULTILINE | re.DOTALL)
"""What threads do in a C function that Python calls."""

C_CALL = re.compile(r" +(?:if \(.*\) )?(\w+)\(")
"""The start of a statement that is a call."""

C_PRODUCTS = ("multiply", "gradient", "sums")

C_NO_STAGES = ("share", "share_samples", "meet", "pack", "free", "fail", "round_row", "round_rows")
"""What shares the work, makes room, packs matrices and rounds, which is no stage of a program."""


@cache
def parsed(name: str, target: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(emitted(name, target))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


@cache
def c_parts(name: str, target: str) -> dict[str, str]:
    """The C functions of a module by the names under which Python runs them; none where there is no C."""
    values = [n.value for n in ast.parse(emitted(name, target)).body if isinstance(n, ast.Assign)
              and ast.unparse(n.targets[0]) == "SOURCE_C"]  # fmt: skip
    return dict(PART.findall(ast.literal_eval(values[0]))) if values else {}


@dataclass
class Found:
    """What stands in a function: array calls and products per step and besides; allocations as (shape, type); the
    variables that hold sizes."""

    launches: list[int] = field(default_factory=lambda: [0, 0])
    products: list[int] = field(default_factory=lambda: [0, 0])
    rooms: list[tuple[ast.expr, str]] = field(default_factory=list)
    sizes: dict[str, str] = field(default_factory=dict)


def scanned(function: ast.FunctionDef, parts: dict[str, str]) -> Found:
    found = Found()
    for inside, node in statements(function.body, False):
        where = 0 if inside else 1
        calls = [c for c in ast.walk(node) if isinstance(c, ast.Call)]
        section = next((c for c in calls if called(c) == "_Call"), None)
        if section is not None:
            assert not inside
            assert isinstance(section.args[0], ast.Attribute)
            scan_c(found, parts[section.args[0].attr])
            continue
        launching = isinstance(node, ast.Expr) or written(node, calls)
        found.products[where] += sum(called(c) == "matmul" for c in calls) if launching else 0
        found.launches[where] += launches(node, calls) if launching else 0
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Call):
            name = called(node.value)
            if name in ("empty", "zeros") and isinstance(node.value.func, ast.Attribute):
                found.rooms.append((node.value.args[0], ast.unparse(node.value.args[1])))
        if isinstance(node, ast.Assign) and "params.sizes[" in ast.unparse(node.value):
            found.sizes[ast.unparse(node.targets[0])] = ast.literal_eval(node.value.slice)  # type: ignore[attr-defined]
    return found


def scan_c(found: Found, part: str) -> None:
    """Adds what stands in a C function. Its loops over steps are those over ``t`` alone: pieces of rows have one, too,
    but begin with ``first``."""
    end = None
    for line in part.splitlines():
        if line.lstrip().startswith("for (long long t = "):
            end = line[: -len(line.lstrip())] + "}"
        elif line == end:
            end = None
        where = 1 if end is None else 0
        call = C_CALL.match(line)
        if call and call[1] not in C_NO_STAGES:
            found.launches[where] += 1
            found.products[where] += call[1] in C_PRODUCTS


def statements(body: list[ast.stmt], inside: bool) -> Iterator[tuple[bool, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.For):
            yield from statements(node.body, True)
        elif isinstance(node, ast.If) and "_wide is not" in ast.unparse(node.test):
            pass  # for 16 bits alone
        elif isinstance(node, ast.If):
            yield from statements([*node.body, *node.orelse], inside)
        else:
            yield inside, node


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def written(node: ast.stmt, calls: list[ast.Call]) -> bool:
    """``out[...] = …`` and ``out[:, a:b] += …``: copies, sums of matrices and of what leaves at the edge; but not what
    enters there, or is added up to leave."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    packed = any(called(c) in ("first", "last", "rows") for c in calls)
    return isinstance(target, ast.Subscript) and not packed


def launches(node: ast.stmt, calls: list[ast.Call]) -> int:
    """An array call of its own, with any product inside it; a kernel; a copy. What rounds to 16 bits is none."""
    if not isinstance(node, ast.Expr):
        return 1
    if calls and called(calls[0]).startswith(("_check", "_round")):
        return 0
    inner = [c for c in calls if called(c) == "matmul"]
    return max(1, len(inner) + (called(calls[0]) != "matmul")) if calls else 0


def size_of(found: Found, sizes: dict[str, int], itemsize: int) -> int:
    names: dict[str, Any] = {"pack": SimpleNamespace(size=STEPS * BATCH), "batch": BATCH, "keep_tape": True}
    names["stretch"] = steps_of(STEPS, BATCH)
    names |= {variable: sizes[size] for variable, size in found.sizes.items()}
    total = 0
    for shape, kind in found.rooms:
        code = compile(ast.Expression(shape), "shape", "eval")
        value = eval(code, {"max": max, "min": min}, names)
        numbers = 1
        for n in value if isinstance(value, tuple) else (value,):
            numbers *= n
        total += numbers * (1 if "bool" in kind else itemsize)
    return total


def edges(program: Program) -> list[Leave]:
    """What leaves as the sum of several values, in an array of its own."""
    return [e for e in program.leaves if len(e.buffers) != 1 or e.buffers[0][1] != e.depth]


@pytest.mark.parametrize(("name", "target"), SOME_PLANS)
def test_source_is_what_the_report_counts(name: str, target: str) -> None:
    found = planned(name, target)
    sizes = {size: 3 + k for k, size in enumerate(found.cell.sizes)}
    for role, program in found.programs.items():
        scan, expected = scanned(parsed(name, target)[f"_{role}_sweep"], c_parts(name, target)), counts(program)
        assert (scan.launches[0], scan.launches[1] - expected.fixed) == expected.launches, role
        assert tuple(scan.products) == expected.products, role
        assert len(scan.rooms) - len(edges(program)) == expected.buffers, role
        added = sum(4 * BATCH * e.depth * units(e.shape).value(sizes) for e in edges(program))
        assert size_of(scan, sizes, 4) - added == allocated(program, sizes, STEPS, BATCH, 4), role
