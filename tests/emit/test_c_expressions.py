"""Bodies in C: they read like the page, and mean what SymPy's expressions mean."""

from __future__ import annotations

from typing import Any

import pytest
import sympy
from sympy import Integer, Rational

from symcell.cell import Size
from symcell.emit.c_family.expressions import CPrinter
from symcell.emit.c_family.names import RESERVED, Names, spelled, timed
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Constant, Count, Param

a, b, c, f, g, i = (At(n) for n in "abcfgi")
W, n = Param("W"), Count(Size.of("H"))


def text(expr: Any, *order: Any) -> str:
    return CPrinter(
        lambda atom: f"(real){atom.size}" if isinstance(atom, Count) else atom.name.partition("[")[0], order
    ).text(expr)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (f * At("c", 1) + i * g, "f * c + i * g"),
        (a * (1 - a), "a * (1 - a)"),
        (b - a, "b - a"),
        (-(a + b), "-b - a"),
        (b - (a - 1) * c, "b - (a - 1) * c"),
        (a / b / 2, "a / 2 / b"),
        (-a / 3, "-a / 3"),
        (Rational(2, 3) * a, "2 * a / 3"),
        (1 / (2 * n), "(real)0.5 / (real)H"),
        (a**2, "a * a"),
        (1 / a**2, "1 / (a * a)"),
        ((a + b) ** 2, "(b + a) * (b + a)"),
        (sympy.sqrt(a), "sqrt(a)"),
        (a * sympy.Float(0.1), "(real)0.1 * a"),
        (a + Integer(10) ** 12, "a + (real)1000000000000.0"),
        (fn.Maximum(a, 0), "maximum(a, (real)0)"),
        (fn.Where(fn.Greater(a, 0), 1, b), "(a > 0 ? (real)1 : b)"),
        (fn.Where(a, 1, 0) * b, "b * (a != 0 ? (real)1 : (real)0)"),
        (fn.Greater(a, b) * c, "(real)(a > b) * c"),
        (fn.Detached(a + b) * c, "(b + a) * c"),
        (Constant("eps", 0.5) * a, "eps * a"),
        (W * a, "W * a"),
    ],
)
def test_reads_like_the_page(expr: Any, expected: str) -> None:
    """In the order f, c, i, g, then b before a; and no quotient of two integers, no overload left open."""
    assert text(expr, f, At("c", 1), i, g, W, b, a, c) == expected


def test_no_double_gets_in() -> None:
    """A literal without a cast would make a float kernel compute in double."""
    for expr in (a + 0.25, a**1.5, fn.Clip(a, -0.5, 0.5), fn.Power(Integer(2), a), a * sympy.pi):
        for number in text(expr).replace("(real)", "#").split("#"):
            assert "." not in number or number[0].isdigit() or number.startswith("-")


def test_names_keep_clear_of_the_language() -> None:
    names = Names(["tanh_"])
    found = [names.get(("value", w), w) for w in (*sorted(RESERVED), "tanh_", "NULL", "_x", "a__b", "ĥ", "h")]
    assert len(set(found)) == len(found)
    assert not RESERVED & set(found)
    assert all(w.isascii() and w.isidentifier() for w in found)
    assert names.get(("value", "h"), "another") == "h"
    assert spelled("NULL") == "vNULL"


def test_names_say_when() -> None:
    assert [timed("c", k) for k in (0, 1, 2, -1, -2)] == ["c_t", "c_t1", "c_t2", "c_next", "c_next2"]
