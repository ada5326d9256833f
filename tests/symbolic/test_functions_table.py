"""What the table promises to those who read it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import function_cases as cases
import pytest
import sympy

from symcell.emulate import nvrtc
from symcell.symbolic import functions as fn

MISSING = nvrtc.unavailable()
every = pytest.mark.parametrize("function", fn.FUNCTIONS, ids=cases.name)


@every
def test_a_row_is_whole(function):
    """Protects a target from meeting a function that it has no word for."""
    composed = fn.expand(function(*sympy.symbols(f"v:{cases.arity(function)}"))).func is not function
    assert composed == (not function.row.numpy) == (not function.row.c)
    assert function.row.torch
    assert all(0 <= k < cases.arity(function) for k in function.row.overwrites)


def test_names_are_unique():
    """Protects a name of the language, or of C, from meaning two things."""
    names = [f.text for f in fn.FUNCTIONS]
    assert len(set(names)) == len(names)
    assert not set(fn.ELEMENTWISE) & set(fn.OVER_UNITS)
    defined = [f.row.c for f in fn.FUNCTIONS if f.row.definition]
    assert len(set(defined)) == len(defined)
    assert set(defined) <= set(fn.c_names())


def test_the_language_page_names_every_function():
    """Protects the page that a user reads from lacking a function, or promising one."""
    page = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^- Elementwise: `([a-z_\s]+)`", page, re.MULTILINE)
    assert sorted(listed.split()) == sorted(fn.ELEMENTWISE)


def test_helpers_are_defined_once_and_use_one_another_in_order():
    """Protects a module that uses several functions from defining what they share twice, or too late."""
    texts = fn.python_helpers(fn.FUNCTIONS)
    assert len(set(texts)) == len(texts)
    defined: list[str] = []
    for text in texts:
        (*_, node) = ast.parse(text).body
        assert not any(f"{name}(" in text for name in defined if isinstance(node, ast.Assign))
        if isinstance(node, ast.FunctionDef):
            defined.append(node.name)
            assert ast.get_docstring(node)
    assert fn.python_helpers([fn.Exp, fn.Where]) == ()


def test_costs():
    """Protects the report: a sign is free, a quotient one operation, a function what its row says."""
    a, b, c = sympy.symbols("a b c")
    assert fn.cost(a) == fn.cost(-a) == 0
    assert fn.cost(a - b) == fn.cost(a * b) == fn.cost(a / b) == fn.cost(1 / a) == fn.cost(a**2) == 1
    assert fn.cost(a * b / c) == fn.cost(1 / (a * b)) == fn.cost(a + b - 3 * c) - 1 == 2
    assert fn.cost(fn.Sigmoid(a) * b + c) == fn.TRANSCENDENTAL + 2
    assert fn.cost(1 / a**2) == 2
    assert fn.cost(sympy.sqrt(a)) == fn.TRANSCENDENTAL


@pytest.mark.skipif(MISSING is not None, reason=MISSING or "")
@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("arch", [nvrtc.ARCHITECTURES[0], nvrtc.ARCHITECTURES[-1]])
def test_definitions_compile_for_gpus(real, arch):
    """Protects the prelude from what CUDA lacks, and float kernels from computing in double."""
    calls = [f for f in fn.FUNCTIONS if f.row.definition]
    lines = [f"    *v = {f.row.c}({', '.join(['*v'] * cases.arity(f))});" for f in calls]
    kernel = "\n".join(('extern "C" __global__ void all(real *v) {', *lines, "}"))
    source = "\n".join((f"typedef {real} real;", *fn.prelude(calls, "__device__ inline"), kernel))
    assert source.isascii()
    ptx = nvrtc.compile_ptx(source, arch)
    assert (b".f64" in ptx) == (real == "double")
