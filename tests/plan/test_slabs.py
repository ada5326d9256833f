"""Equations of one formula side by side are one statement, on targets where each is a call."""

from __future__ import annotations

import pytest

import symcell
from symcell.graph import Pointwise, Reduce
from symcell.pipeline import plan
from symcell.program.model import Kernel, Program, Statement


def statements(program: Program) -> list[Statement]:
    return [s for _, stage in program.stages() if isinstance(stage, Kernel) for s in stage.statements()]


def together(program: Program, name: str) -> tuple[str, ...]:
    """What is computed in one statement with an equation."""
    return next(tuple(op.out for op in s.ops) for s in statements(program) if name in [op.out for op in s.ops])


def test_three_gates_of_the_lstm_are_one_sigmoid() -> None:
    program = plan("lstm", "numpy").forward
    assert set(together(program, "i")) == {"i", "f", "o"}
    assert together(program, "g") == ("g",)


def test_gates_stack_where_a_reduction_intervenes() -> None:
    """Four normalised products: their means, variances and normal forms are each one statement."""
    program = plan("layernorm_lstm", "numpy").forward
    for region in program.regions:
        found = [s for stage in region.stages if isinstance(stage, Kernel) for s in stage.statements()]
        assert [len(s.ops) for s in found if isinstance(s.op, Reduce)][:2] == [4, 4]
    (first, *_) = [s for s in statements(program) if isinstance(s.op, Reduce)]
    assert first.shape == ()
    assert {r.count for r in first.reads.values()} == {4}


def test_a_scalar_is_read_by_every_equation() -> None:
    """Two gates divided by one norm: the norm's reference is a single member, each gate's product its own."""
    cell = symcell.parse(
        "x: H\nh: H\na[t] = sigmoid(W @ h[t-1] / (1 + norm(x[t])))\nb[t] = sigmoid(V @ h[t-1] / (1 + norm(x[t])))\n"
        "h[t] = a[t]*sin(a[t]) + b[t]*sin(b[t])",
        name="cell",
    )
    (wide,) = [s for s in statements(plan(cell, "numpy").forward) if {op.out for op in s.ops} == {"a_a", "a_b"}]
    assert sorted(ref.count for ref in wide.reads.values()) == [1, 2]


def test_steps_that_read_each_other_are_apart() -> None:
    cell = symcell.parse("u[t] = tanh(x[t])\nv[t] = tanh(u[t])\nh[t] = tanh(v[t]) + 0.5*h[t-1]", name="cell")
    found = [tuple(op.out for op in s.ops) for s in statements(plan(cell, "numpy").forward)]
    assert [o for o in found if set(o) & {"u", "v"}] == [("u",), ("v",)]


@pytest.mark.parametrize("name", symcell.names())
def test_members_are_computed_where_they_lie(name: str) -> None:
    """Statement by statement: as many members as equations, of the names and the shape that these have."""
    for program in plan(name, "numpy").programs.values():
        for s in statements(program):
            assert s.out is not None
            members = program.window(s.out)
            assert len(members) == len(s.ops)
            assert {m.width for m in members} == {program.window(s.out)[0].width}
            assert all(program.graph.shape(op.out) == s.shape for op in s.ops)
            if isinstance(s.op, Pointwise):
                assert {ref.count for ref in s.reads.values()} <= {1, len(s.ops)}
