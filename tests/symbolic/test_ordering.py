"""One order of terms and factors: the order in which a step has its operands."""

from __future__ import annotations

import pytest
import sympy
from work import calls_of

from symcell.cell import Size
from symcell.graph import Pointwise
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Constant, Count, Param
from symcell.symbolic.ordering import Order, factors, terms, text

f, c, i, g, z = At("f"), At("c", 1), At("i"), At("g"), Param("z")
PAGE = Order((f, c, i, g, z))
HALF = sympy.Float(0.5)

BODIES = {
    "f[t]*c[t-1] + i[t]*g[t]": i * g + f * c,
    "1 - z": 1 - z,
    "z + 0.5": z + HALF,
    "-z - 1": -z - 1,
    "-f[t] + z": z - f,
    "f[t]*(1 - f[t])*c[t-1]*z": f * (1 - f) * z * c,
    "-2*z/(3*i[t]**3)": -2 * z / i**3 / 3,
    "1/z": 1 / z,
    "1/(2*z)": 1 / (2 * z),
    "1/z**2": z**-2,
    "(f[t] + z)**2": (z + f) ** 2,
    "(f[t]*z)**(1/2)": sympy.sqrt(z * f),
    "sigmoid(c[t-1] - z)/(D+H)": fn.Sigmoid(c - z) / Count(Size.of("D") + Size.of("H")),
    "f[t]/H + eps": f / Count(Size.of("H")) + Constant("eps", 1e-5),
    "where(c[t-1] > 0, z, 1 - z)": fn.Where(fn.Greater(c, 0), z, 1 - z),
    "where(z <= 1 - f[t], z, 1)": fn.Where(fn.LessEqual(z, 1 - f), z, 1),
    "f[t][:,None]*g[t][None,:]": g.along(1) * f.along(0),
    "0": sympy.Integer(0),
}


@pytest.mark.parametrize("wanted", BODIES)
def test_bodies_read_as_the_page(wanted: str) -> None:
    order = Order((f.along(0), g.along(1))) if "None" in wanted else PAGE
    assert text(BODIES[wanted], order) == wanted


def _where(condition, then, otherwise):
    kinds = {sympy.StrictGreaterThan: fn.Greater, sympy.LessThan: fn.LessEqual}
    return fn.Where(kinds[type(condition)](*condition.args), then, otherwise)


@pytest.mark.parametrize("wanted", [w for w in BODIES if "None" not in w])
def test_text_means_the_same(wanted: str) -> None:
    """What is printed is the body, read back."""
    body = BODIES[wanted]
    names = {o: sympy.Symbol(o.name) for o in body.atoms(At, Param, Constant, Count)}
    code = wanted
    for k, o in enumerate(names):
        code = code.replace(f"({o.size})" if isinstance(o, Count) and len(o.size.terms) > 1 else text(o, PAGE), f"v{k}")
    scope = {f"v{k}": o for k, o in enumerate(names)} | {
        "sigmoid": fn.Sigmoid,
        "where": _where,
    }
    read = sympy.sympify(eval(code.replace("1/2", "sympy.Rational(1, 2)"), {"sympy": sympy, **scope}))
    assert sympy.simplify(read - body) == 0


def test_signs_and_divisors_apart() -> None:
    assert terms(f - 2 * z, PAGE) == [(False, f), (True, 2 * z)]
    assert factors(-2 * f / z**3, PAGE) == (-2, [f], [z**3])
    assert factors(1 / z, PAGE) == (1, [], [z])
    assert factors(z, PAGE) == (1, [z], [])


def test_operands_that_the_page_lacks_come_last() -> None:
    assert text(At("a") + z + f, Order((z,))) == "z + a[t] + f[t]"
    assert Pointwise("h", At("b") * z, (z,)).operands() == (z, At("b"))


def test_long_sums_are_quick() -> None:
    """Ten times the terms are about ten times the work, not a hundred."""

    def work(n: int) -> int:
        pairs = [(At(f"v{k}"), At(f"w{k}")) for k in range(n)]
        body = sympy.Add(*(v * w for v, w in pairs))
        order = Order([o for pair in reversed(pairs) for o in pair])
        written: list[str] = []
        calls = calls_of(lambda: written.append(text(body, order)))
        assert written[0].startswith(f"v{n - 1}[t]*w{n - 1}[t] + ")
        return calls

    work(50)
    assert work(4000) < 20 * work(400)
