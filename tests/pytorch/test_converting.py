"""PyTorch's modules and Recurrent are made of each other: the same outputs, whatever the module's arguments were."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

import symcell

torch = pytest.importorskip("torch")
nn = torch.nn
symcell_torch = pytest.importorskip("symcell.torch")
Recurrent = symcell_torch.Recurrent

KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


@st.composite
def modules(draw: Any) -> Any:
    name = draw(st.sampled_from([*KINDS]))
    options: dict[str, Any] = {
        "num_layers": draw(st.integers(1, 3)),
        "bidirectional": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64])),
    }
    hidden = draw(st.integers(2, 5))
    if name == "LSTM" and draw(st.booleans()):
        options["proj_size"] = draw(st.integers(1, hidden - 1))
    if name == "RNN":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    torch.manual_seed(draw(st.integers(0, 99)))
    return KINDS[name](draw(st.integers(1, 4)), hidden, **options)


def outputs(module: Any, x: Any, state: Any = None) -> list[Any]:
    y, end = module(x) if state is None else module(x, state)
    return [y, *(end if isinstance(end, tuple) else (end,))]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
@settings(max_examples=20, deadline=None)
@given(module=modules())
def test_there_and_back(module: Any) -> None:
    made = Recurrent.from_torch(module, target="numpy")
    back = made.to_torch()
    assert type(back) is type(module)
    assert repr(back) == repr(module)
    dtype = next(module.parameters()).dtype
    x = torch.randn(2, 3, module.input_size, dtype=dtype)
    state = [torch.randn_like(s) for s in outputs(module, x)[1:]]
    start = tuple(state) if len(state) > 1 else state[0]
    wanted = outputs(module, x, start)
    near = 2e-6 if dtype == torch.float32 else 1e-12
    for found in (outputs(made, x, start), outputs(back, x, start)):
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=near, atol=near)
    matrices = {n: p for n, p in module.named_parameters() if "bias" not in n}
    for name, value in back.named_parameters():
        if name in matrices:  # no bit is lost; biases are added up
            assert torch.equal(value, matrices[name])
            assert value.data_ptr() != matrices[name].data_ptr()


def test_gradients_are_those_of_the_module() -> None:
    torch.manual_seed(0)
    module = nn.LSTM(3, 4, num_layers=2, dtype=torch.float64)
    made = Recurrent.from_torch(module, target="numpy")
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    (module(x)[0] ** 2).sum().backward()
    (made(x)[0] ** 2).sum().backward()
    gradients = made.to_torch()
    known = symcell_torch.equivalent("lstm", nn.LSTM)
    for layer in range(2):
        names = {n: getattr(made, f"{n}_l{layer}").grad for n in made.cell.parameters}
        for array, value in known.from_cell(names).items():
            if array != "bias_hh":
                torch.testing.assert_close(value, getattr(module, f"{array}_l{layer}").grad)
    assert gradients.training


def test_mode_dropout_and_frozen_parameters_come_along() -> None:
    module = nn.GRU(2, 3, num_layers=2, dropout=0.25).eval()
    for array in (module.weight_hh_l1, module.bias_ih_l0):
        array.requires_grad_(False)
    made = Recurrent.from_torch(module, target="numpy")
    assert (made.training, made.dropout) == (False, 0.25)
    frozen = {name for name, p in made.named_parameters() if not p.requires_grad}
    assert frozen == {"U_r_l1", "U_z_l1", "U_n_l1", "b_n_l0"}  # b_r and b_z live in bias_hh_l0 too
    back = made.to_torch()
    assert (back.training, back.dropout) == (False, 0.25)


def test_one_layer_with_dropout_warns_once() -> None:
    with pytest.warns(UserWarning, match="dropout"):
        module = nn.LSTM(2, 3, dropout=0.5)
    made = Recurrent.from_torch(module, target="numpy")  # no second warning
    assert made.dropout == made.to_torch().dropout == 0.5


def test_a_cell_of_one_s_own() -> None:
    text = """
    a[t] = V @ x[t] + k + l
    u[t] = sigmoid(a[t] + R @ s[t-1])
    q[t] = sigmoid(V_q @ x[t] + R_q @ s[t-1] + k_q)
    m[t] = tanh(V_m @ x[t] + k_m + q[t] * (R_m @ s[t-1] + l_m))
    s[t] = m[t] + u[t] * (s[t-1] - m[t])
    output: s
    """
    cell = symcell.parse(text.replace("\n    ", "\n"), name="mine")
    torch.manual_seed(1)
    module = nn.GRU(3, 4, num_layers=2, bidirectional=True)
    made = Recurrent.from_torch(module, cell, target="numpy")
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(made(x)[0], module(x)[0], rtol=2e-6, atol=2e-6)
    assert not made.l_l1.any()  # of a sum the first name has all
    torch.testing.assert_close(made.to_torch()(x)[0], module(x)[0], rtol=2e-6, atol=2e-6)


def test_a_cell_that_joins_its_vectors() -> None:
    cell = symcell.parse("h[t] = tanh(W @ [x[t], h[t-1]] + b)", name="joined")
    torch.manual_seed(2)
    module = nn.RNN(3, 4, num_layers=2, bidirectional=True)
    module.weight_hh_l1.requires_grad_(False)
    made = Recurrent.from_torch(module, cell, target="numpy")
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(made(x)[0], module(x)[0], rtol=2e-6, atol=2e-6)
    assert torch.equal(made.W_l1, torch.cat([module.weight_ih_l1, module.weight_hh_l1], 1))
    assert made.W_l1.requires_grad  # half of it is free
    back = made.to_torch()
    assert torch.equal(back.weight_hh_l0_reverse, module.weight_hh_l0_reverse)


def test_biases_that_were_trained_are_kept() -> None:
    module = nn.RNN(2, 3, bias=False)
    made = Recurrent.from_torch(module, "rnn", target="numpy")
    if hasattr(made, "b_l0"):
        with torch.no_grad():
            made.b_l0.fill_(1.0)
        assert made.to_torch().bias_ih_l0.sum() == 3


def test_a_cell_without_biases() -> None:
    cell = symcell.parse("h[t] = tanh(W @ x[t] + U @ h[t-1])", name="bare")
    made = Recurrent.from_torch(nn.RNN(2, 3, bias=False), cell, target="numpy")
    assert made.to_torch().bias is False
    with pytest.raises(ValueError, match=r"bare has no place for b of torch RNN\(nonlinearity='tanh'\): it is not 0"):
        Recurrent.from_torch(nn.RNN(2, 3), cell, target="numpy")


def test_what_cannot_be_converted() -> None:
    with pytest.raises(TypeError, match=r"module: expected one of torch\.nn\.RNN, .*, got Linear"):
        Recurrent.from_torch(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"cell: expected the function of torch GRU; GRU has 10 parameters"):
        Recurrent.from_torch(nn.GRU(2, 3), "gru_original")
    with pytest.raises(
        ValueError, match=r"no module of torch\.nn is mgu:\n.*\n.*\n  torch LSTM\(proj_size=0\): LSTM has"
    ):
        Recurrent("mgu", 2, 3, target="numpy").to_torch()

    class Own(nn.LSTM):
        def forward(self, *args: Any) -> Any:
            return None

    with pytest.raises(TypeError, match="got Own"):
        Recurrent.from_torch(Own(2, 3))


def test_equivalent_to_modules_and_cells() -> None:
    equivalent, difference = symcell_torch.equivalent, symcell_torch.difference
    assert equivalent("lstm", nn.LSTM).module.title == "torch LSTM(proj_size=0)"
    assert equivalent("projected_lstm", nn.LSTM).sizes == {"input_size": "D", "hidden_size": "H", "proj_size": "P"}
    assert equivalent("rnn_relu", nn.RNN) is not None
    assert equivalent("rnn_relu", nn.RNN(2, 2)) is None
    assert equivalent("gru", symcell.load("gru")).names["W_r"] == "W_r"
    assert equivalent("lstm", "peephole_lstm") is None
    assert difference("gru", nn.GRU(2, 3)) is None
    assert difference("gru", nn.LSTM) == "LSTM has 2 states (h, c), gru has 1 state (h)"
    with pytest.raises(TypeError, match=r"expected torch\.nn\.RNN, .* or a cell, got 3"):
        equivalent("gru", 3)
    params = {n: torch.randn(*(2 for _ in p.shape)) for n, p in symcell.load("lstm").parameters.items()}
    known = equivalent("lstm", nn.LSTM)
    arrays = known.from_cell(params)
    assert arrays["weight_ih"].shape == (8, 2)
    assert all(torch.equal(value, params[name]) for name, value in known.to_cell(arrays).items())


@pytest.mark.parametrize(
    ("library", "name", "options", "directions"),
    [
        ("keras", "GRU", {"reset_after": True}, 1),
        ("keras", "LSTM", {"use_bias": False}, 1),
        ("onnx", "LSTM", {}, 2),
        ("onnx", "GRU", {"linear_before_reset": 1}, 2),
    ],
)
def test_other_libraries_arrays_there_and_back(library: str, name: str, options: Any, directions: int) -> None:
    torch.manual_seed(3)
    cell = {"GRU": "gru", "LSTM": "lstm"}[name]
    bias = options.get("use_bias", True)
    made = Recurrent(cell, 3, 4, bias=bias, bidirectional=directions > 1, target="numpy")
    arrays = made.to_arrays(library, name, options)
    given = arrays if library == "onnx" else list(arrays.values())
    back = Recurrent.from_arrays(library, name, given, options, target="numpy")
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(back(x)[0], made(x)[0], rtol=2e-6, atol=2e-6)
    again = back.to_arrays(library, name, options)
    assert all((again[n] == arrays[n]).all() for n in arrays)
    with pytest.raises(ValueError, match="to_arrays: expected one layer, got 2"):
        Recurrent(cell, 3, 4, num_layers=2, target="numpy").to_arrays(library, name, options)


def test_on_the_meta_device() -> None:
    module = nn.LSTM(2, 3, device="meta")
    made = Recurrent.from_torch(module, target="numpy")
    assert {p.device.type for p in made.parameters()} == {"meta"}
    assert {p.device.type for p in made.to_torch().parameters()} == {"meta"}
