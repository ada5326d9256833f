"""Bodies as calls: run one by one they give the value, in room that they were given, and nothing read is lost."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import sympy
from sympy import Expr

from symcell.program.calls import Calls, calls
from symcell.program.model import Arg, Mask, Out, Temp
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Constant

A, B, C = At("a"), At("b"), At("c", 1)
HALF = Constant("half", 0.5)
VALUES = {A: np.array([0.3, -1.2, 2.0]), B: np.array([1.5, 0.7, -0.4]), C: np.array([-0.8, 0.9, 1.1])}

BODIES: tuple[Expr, ...] = (
    A * B + C,
    A - B * C,
    -A - B,
    -A * B,
    1 - A**2,
    A * (1 - A) * B,
    A / 3 - 2 / B,
    -1 / B,
    A**3 + B**-2 + C**4,
    sympy.sqrt(A**2 + 1) ** -1,
    HALF * A + HALF**2,
    fn.Sigmoid(A * B) * fn.Tanh(C) - fn.Relu(A),
    fn.Elu(A) + fn.Elu(B),
    fn.Clip(A, B, C),
    fn.Where(fn.Greater(A, B), A * C, -B),
    fn.Where(fn.Greater(A, 0), fn.Where(fn.Greater(B, 0), A, B), fn.Where(fn.Greater(C, 0), C, fn.Elu(A))),
    fn.Where(fn.Greater(A, 0) * fn.Greater(B, 0), A, B),
    fn.Power(fn.Abs(A), B),
    fn.Maximum(A, fn.Minimum(B, C)) * A,
    fn.Softplus(A) - fn.Softsign(B) * A,
    sympy.Integer(0),
    A,
    HALF,
)


def value(expr: Any) -> Any:
    """A body's value by the table's own rows, number by number."""
    if expr in VALUES:
        return VALUES[expr]
    if isinstance(expr, Constant):
        return float(expr.value)
    if isinstance(expr, fn.Elementwise):
        body = expr.composed()
        if body is not None:
            return value(body)
        arguments = np.broadcast_arrays(*(np.asarray(value(a), float) for a in expr.args))
        return np.vectorize(lambda *v: float(type(expr).row.exact(*v)))(*arguments)
    if isinstance(expr, sympy.Add):
        return sum(value(a) for a in expr.args)
    if isinstance(expr, sympy.Mul):
        return np.prod(np.broadcast_arrays(*(value(a) for a in expr.args)), axis=0)
    if isinstance(expr, sympy.Pow):
        return value(expr.base) ** float(expr.exp)
    return float(expr)


def run(found: Calls, moved: At | None = None) -> np.ndarray:
    """Calls carried out over arrays; room is filled with nan before. ``moved``: what the result's place holds."""
    places: dict[Arg, Any] = {k: v.copy() for k, v in VALUES.items()}
    places[Out()] = places[moved] if moved is not None else np.full(3, np.nan)
    places |= {Temp(k): np.full(3, np.nan) for k in range(found.temporaries)}
    if found.mask:
        places[Mask()] = np.zeros(3, bool)
    for call in found.calls:
        arguments = [places[a] if a in places else float(a.subs(HALF, HALF.value)) for a in call.args]
        out = places[call.out]
        match call.function:
            case "copy":
                np.copyto(out, arguments[0])
            case "select":
                np.copyto(out, arguments[1], where=arguments[0])
            case str() as name:
                getattr(np, name)(*arguments, out=out)
            case function:
                names = {f"v{k}": v for k, v in enumerate(arguments)} | {"o": out, "m": places.get(Mask()), "np": np}
                definitions = "\n\n".join(fn.python_helpers([function]))
                exec(f"from __future__ import annotations\nimport math\n{definitions}", names)
                for line in fn.calls(function, [f"v{k}" for k in range(len(arguments))], "o", "m"):
                    exec(line, names)
    return places[Out()]


@pytest.mark.parametrize("body", BODIES, ids=str)
@pytest.mark.parametrize("moved", [None, A, B], ids=str)
def test_calls_give_the_value(body: Expr, moved: At | None) -> None:
    """Also where the result is computed in an operand's place."""
    found = calls(body, (A, B, C), frozenset() if moved is None else frozenset([moved]))
    np.testing.assert_allclose(run(found, moved), np.broadcast_to(value(body), 3), rtol=1e-12)


def test_random_bodies() -> None:
    rng = random.Random(5)

    def body(depth: int) -> Expr:
        if depth == 0:
            return rng.choice([A, B, C, HALF, sympy.Integer(2)])
        kind = rng.randrange(7)
        one, other = body(depth - 1), body(rng.randrange(depth))
        return (one + other, one - other, one * other, one / (2 + fn.Abs(other)), fn.Tanh(one),
                fn.Where(fn.Greater(one, other), other, fn.Elu(one)), fn.Maximum(one, other) ** 2)[kind]  # fmt: skip

    for _ in range(200):
        made, moved = body(4), rng.choice([None, A, B])
        found = calls(made, (A, B, C), frozenset() if moved is None else frozenset([moved]))
        np.testing.assert_allclose(run(found, moved), np.broadcast_to(value(made), 3), rtol=1e-9, err_msg=str(made))


def test_order_of_the_page() -> None:
    (product,) = calls(C * A, (C, A)).calls
    assert product.args == (C, A)
    assert calls(A * C, (A, C)).calls[0].args == (A, C)
    first, second, total = calls(C * A + B * A, (C, A, B)).calls
    assert (first.args, second.args, total.args) == ((C, A), (A, B), (Out(), Temp(0)))


def test_nothing_more_than_needed() -> None:
    """A gate's derivative in the place of the gradient takes one temporary, a sum of products one."""
    found = calls(A * B * (1 - B), (A, B), frozenset([A]))
    assert (found.temporaries, found.mask, len(found.calls)) == (1, False, 3)
    assert calls(A * B + B * C + C * A, (A, B, C)).temporaries == 1
    assert calls(1 - A**2, (A,)).temporaries == 0


def test_nothing_is_negated_in_place() -> None:
    """NumPy 2.1 to 2.4 negate arrays of one column wrongly in place."""
    for body in BODIES:
        for call in calls(body, (A, B, C)).calls:
            lines = (call.function,) if isinstance(call.function, str) else call.function.row.numpy
            assert not any("negative" in line for line in lines), body
