"""Arithmetic of constants: exact while small, else a double, never anything else."""

import math
import operator

import pytest
import sympy
from hypothesis import given, strategies as st

from symcell.language import arithmetic, parse
from symcell.language.names import FUNCTIONS
from symcell.symbolic.constants import number
from symcell.symbolic.functions import ELEMENTWISE

numbers = st.one_of(
    st.integers(-(10**18), 10**18), st.floats(allow_nan=False, allow_infinity=False), st.integers(-9, 9)
).map(arithmetic.number)

OPERATIONS = {
    arithmetic.add: operator.add,
    arithmetic.multiply: operator.mul,
    arithmetic.divide: operator.truediv,
    arithmetic.power: operator.pow,
}


@given(st.sampled_from(list(OPERATIONS)), numbers, numbers)
def test_results_are_those_of_doubles(operation, a, b):
    """Protects folding: a finite double close to Python's own result, or a ValueError."""
    try:
        result = operation(a, b)
    except ValueError:
        return
    value = arithmetic.double(result)
    assert math.isfinite(value)
    assert isinstance(result, sympy.Rational | sympy.Float)
    try:
        expected = OPERATIONS[operation](arithmetic.double(a), arithmetic.double(b))
    except (OverflowError, ZeroDivisionError):
        return
    assert isinstance(expected, float)
    scale = max(abs(arithmetic.double(a)), abs(arithmetic.double(b))) if operation is arithmetic.add else abs(expected)
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-12 * scale)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1/3 + 1/6", sympy.Rational(1, 2)),
        ("2**10", sympy.Integer(1024)),
        ("2**-2", sympy.Rational(1, 4)),
        ("-2**2", sympy.Integer(-4)),
        ("2*pi/4", sympy.pi / 2),
        ("pi - pi/2", sympy.pi / 2),
        ("pi/pi", sympy.Integer(1)),
        ("pi*pi", sympy.Float(math.pi * math.pi)),
        ("pi + 1", sympy.Float(math.pi + 1)),
        ("0.5 + 1/2", sympy.Float(1.0)),
        ("10**15 + 1", sympy.Float(1e15 + 1)),
        ("10**40", sympy.Float(1e40)),
        ("sqrt(2)", sympy.Float(math.sqrt(2))),
        ("sigmoid(-1000)", sympy.Float(0.0)),
        ("softplus(1000)", sympy.Float(1000.0)),
        ("maximum(1, 2)", sympy.Float(2.0)),
        ("0x10 + 1_000", sympy.Integer(1016)),
    ],
)
def test_constants(text, value):
    """Protects exactness where it is promised and doubles elsewhere."""
    written = parse(f"h[t] = x[t] * ({text})").equations[0].rhs.args[1]
    assert float(number(written)) == float(value)
    if value.is_Rational:
        assert written == value


@pytest.mark.parametrize("name", sorted(set(ELEMENTWISE) - {"where"}))
def test_functions_of_constants_agree_with_pytorch(name):
    """Protects what a function is at constants from disagreeing with what the kernels compute."""
    torch = pytest.importorskip("torch")
    kind = ELEMENTWISE[name]
    arguments = (0.3, -0.2, 0.7)[: max(kind.nargs)]
    value = arithmetic.double(arithmetic.apply(name, [sympy.Float(v) for v in arguments]))
    code = kind.row.torch.format(*(f"torch.tensor({v}, dtype=torch.float64)" for v in arguments))
    assert value == pytest.approx(float(eval(code, {"torch": torch})), rel=1e-14)


def test_every_function_has_a_reserved_name():
    """Protects a cell from naming a value like a function of the language."""
    assert set(ELEMENTWISE) <= FUNCTIONS
