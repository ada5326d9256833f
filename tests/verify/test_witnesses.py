"""Each witness by itself: cases, errors, steps along random directions, PyTorch's modules."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from feature_cells import AT_A_POLE, FEATURES

import symcell
from symcell.cell import Cell
from symcell.lower import lower
from symcell.verify import differences, pytorch, torch_cells
from symcell.verify.case import Case, each_alone
from symcell.verify.cases import KINDS, Kind, random_case, sizes_of
from symcell.verify.reference import reference
from symcell.verify.tolerances import TOLERANCES, error, largest, real, scale_of

CELLS = [*symcell.names(), *FEATURES]


def load(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


# cases


@pytest.mark.parametrize("name", CELLS)
def test_cases_catch_swapped_axes(name: str) -> None:
    cell = load(name)
    for kind in KINDS:
        case = random_case(cell, kind)
        lengths = [case.steps, case.batch, *sizes_of(cell).values()]
        assert kind.title == "one step" or len(set(lengths)) == len(lengths)
        for value in (*case.tensors().values(), case.dy, *case.dlast.values()):
            assert (np.float32(value) == value).all()
    again, other = random_case(cell, KINDS[0]), random_case(cell, KINDS[0], seed=1)
    assert (again.dy == random_case(cell, KINDS[0]).dy).all()
    assert (again.dy != other.dy).any()


def test_one_sequence_alone() -> None:
    case = random_case(load("lstm"), Kind("lengths", 4, 3, lengths=(2, 4, 0)))
    for k, steps in enumerate((2, 4, 0)):
        one = case.alone(k)
        assert (one.steps, one.batch, one.lengths) == (steps, 1, None)
        assert (one.x["x"][:, 0] == case.x["x"][:steps, k]).all()
        assert (one.state["c"][0, 0] == case.state["c"][0, k]).all()
        assert (one.dlast["h"][0, 0] == case.dlast["h"][0, k]).all()


def test_a_case_moved() -> None:
    case = random_case(load("narx"), KINDS[0])
    assert set(case.tensors()) == {"dW", "dU_1", "dU_3", "db", "dx", "dh[0]"}
    for name, value in case.tensors().items():
        moved = case.moved(name, np.ones_like(value)).tensors()
        for other in case.tensors():
            assert ((moved[other] - case.tensors()[other]) == (other == name)).all()


@pytest.mark.parametrize(
    "name", ["lstm", "narx", "learned_lags", "input_lags", "two_inputs", "matrix_start", "matrix_lags"]
)
def test_the_reference_with_lengths(name: str) -> None:
    """Padding does not matter, and the samples' gradients add up."""
    cell = load(name)
    case = random_case(cell, Kind("lengths", 4, 3, lengths=(2, 4, 0)))
    found = reference(cell, case)
    parts = [reference(cell, case.alone(k)) for k in range(3)]
    for p in case.params:
        assert np.max(np.abs(real(found.params[p] - sum(part.params[p] for part in parts)))) < 1e-14
    assert not real(found.y)[2:, 0].any()
    for s in cell.states:
        assert (real(found.last[s])[:, 2] == case.state[s][:, 2]).all()
        assert (real(found.state[s])[:, 2] == case.dlast[s][:, 2]).all()
    whole = Case(case.sizes, case.params, case.x, case.state, case.dy, case.dlast)
    alone, together = each_alone(whole, lambda c: reference(cell, c)), reference(cell, whole)
    for tensor, value in together.tensors().items():
        assert error(real(alone.tensors()[tensor]), real(value), 1) < 1e-14


# errors


def test_errors() -> None:
    zero, wanted = np.zeros(3), np.array([1.0, -4.0, 2.0])
    assert error(wanted, wanted, 4) == 0
    assert error(np.array([1, -4, 2.001]), wanted, 4) == pytest.approx(2.5e-4)
    assert error(zero[:2], wanted, 4) == float("inf")
    assert error(np.array([np.nan, 1]), np.array([np.nan, 1]), 1) == 0
    assert error(np.array([np.nan, 1]), np.array([0, 1]), 1) == float("inf")
    assert error(np.array([0, 1]), np.array([np.nan, 1]), 1) == float("inf")
    assert error(np.array([np.inf]), np.array([np.inf]), 1) == 0
    assert error(np.array([np.inf]), np.array([-np.inf]), 1) == float("inf")
    assert error(np.zeros((0, 3)), np.zeros((0, 3)), 1) == 0
    group = {"big": wanted, "small": wanted * 1e-9, "zero": zero}
    assert [scale_of(group[n], group) for n in group] == [4, 0.04, 0.04]
    assert scale_of(zero, {"zero": zero}) == 1


def test_what_is_not_real_is_nan() -> None:
    found = real(np.array([[mpmath.mpf(2), mpmath.mpc(1, 1)]], object))
    assert found[0, 0] == 2
    assert np.isnan(found[0, 1])


def test_every_tolerance_has_a_reason() -> None:
    assert all(t.limit > 0 and len(t.reason) > 20 for t in TOLERANCES.values())


# differences


@pytest.mark.parametrize("name", [name for name in CELLS if name not in AT_A_POLE])
def test_steps_from_both_sides(name: str) -> None:
    """Complex steps and central differences, neither of which uses an adjoint, agree with each other and with it."""
    cell = load(name)
    graph = lower(cell)
    case = random_case(cell, Kind("small", 3, 1), sizes={s: 2 + k for k, s in enumerate(cell.sizes)})
    derived = reference(cell, case, graph=graph).gradients()
    for tensor in list(case.tensors())[::3]:
        stepped = differences.complex_step(cell, case, graph, tensor)
        central = differences.central_difference(cell, case, graph, tensor)
        along = differences.along(derived[tensor], case, tensor)
        assert abs(stepped - central) < 1e-30
        assert abs(stepped - along) < 1e-35


def test_directions() -> None:
    case = random_case(load("lstm"), KINDS[0])
    found = {n: differences.direction(case, n) for n in case.tensors()}
    assert all(np.linalg.norm(d) == pytest.approx(1) for d in found.values())
    assert all((d != 0).all() for d in found.values())
    assert (found["dW_i"] != found["dW_f"]).any()
    assert (differences.direction(case, "dx") == found["dx"]).all()


# PyTorch


RECOGNISED = {
    "joined": "RNN",
    "rnn": "RNN",
    "greek_names": "RNN",
    "rnn_relu": "RNN",
    "lstm": "LSTM",
    "projected_lstm": "LSTM",
    "gru": "GRU",
}


@pytest.mark.parametrize("name", CELLS)
def test_which_cells_are_pytorch_s(name: str) -> None:
    found = torch_cells.recognise(load(name))
    assert (found.module.name if found else None) == RECOGNISED.get(name)


LSTM = """
{i}[t] = sigmoid(V_i @ z[t] + R_i @ q[t-1] + k_i)
{f}[t] = sigmoid(k_f + R_f @ q[t-1] + V_f @ z[t])
{g}[t] = tanh(V_g @ z[t] + R_g @ q[t-1] + k_g)
{o}[t] = sigmoid(V_o @ z[t] + R_o @ q[t-1] + k_o)
s[t] = {g}[t] * {i}[t] + s[t-1] * {f}[t]
q[t] = tanh(s[t]) * {o}[t]
output: q
"""


def test_recognised_by_structure_alone() -> None:
    cell = symcell.parse(LSTM.format(i="a", f="b", g="c", o="d"), name="anything")
    found = torch_cells.recognise(cell)
    assert found is not None
    assert found.module.name == "LSTM"
    expected = {"i": "a", "f": "b", "g": "c", "o": "d", "c": "s", "h": "q", "x": "z", "W_f": "V_f", "b_o": "k_o"}
    assert expected.items() <= found.names.items()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sigmoid(V_i", "tanh(V_i"),
        ("+ s[t-1]", "- s[t-1]"),
        ("tanh(s[t])", "tanh(s[t-1])"),
        ("R_o @ q[t-1]", "R_i @ q[t-1]"),
        ("+ k_g", "+ k_o"),
        ("tanh(s[t])", "sin(s[t])"),
        ("V_f @ z[t]", "V_f @ z[t-1]"),
        ("k_f +", "2*k_f +"),
        (" + k_g", ""),
        ("output: q", "output: s"),
        ("output: q", "output: q\nq[0] = q_0"),
        ("output: q", "output: q\nk_f: scalar"),
    ],
)
def test_almost_an_lstm_is_none(before: str, after: str) -> None:
    text = LSTM.format(i="a", f="b", g="c", o="d")
    assert before in text
    assert torch_cells.recognise(symcell.parse(text.replace(before, after, 1), name="almost")) is None


@pytest.mark.parametrize("name", CELLS)
def test_autograd_over_the_equations(name: str) -> None:
    """PyTorch agrees with the reference where kernels take no part."""
    pytest.importorskip("torch")
    cell = load(name)
    for kind in KINDS[:3]:
        case = random_case(cell, kind)
        exact, found = reference(cell, case), pytorch.run(cell, case)
        for tensor, value in exact.tensors().items():
            scale = max(1, largest(real(value)))
            assert error(found.tensors()[tensor], real(value), scale) < 1e-13, tensor


@pytest.mark.parametrize("name", RECOGNISED)
def test_pytorch_s_own_modules(name: str) -> None:
    pytest.importorskip("torch")
    cell = load(name)
    known = torch_cells.recognise(cell)
    assert known is not None
    for kind in KINDS[:3]:
        case = random_case(cell, kind)
        exact, found = reference(cell, case), torch_cells.run(cell, case, known)
        for tensor, value in exact.tensors().items():
            assert error(found.tensors()[tensor], real(value), 1) < 1e-13, tensor
