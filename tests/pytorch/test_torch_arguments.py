"""Wrong arguments: the exceptions that torch.nn's modules raise for them, and words that name what was expected."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.utils import rnn  # noqa: E402

from symcell import CellError  # noqa: E402
from symcell.torch import Recurrent, RecurrentCell  # noqa: E402

Outcome = tuple[type, str]


def outcome(call: Callable[[], Any]) -> Outcome:
    """What a call raises or warns of; (NoneType, "") where nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            call()
        except Exception as failure:
            return type(failure), str(failure)
    return type(None), ""


# when a module is made

OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no input size": ({"input_size": 0}, r"^input_size: .*greater than zero, got 0"),
    "negative input size": ({"input_size": -1}, r"^input_size: .*greater than zero, got -1"),
    "input size a float": ({"input_size": 3.0}, r"^input_size: expected an int, got float 3.0"),
    "no hidden size": ({"hidden_size": 0}, r"^hidden_size: .*greater than zero, got 0"),
    "hidden size a text": ({"hidden_size": "4"}, r"^hidden_size: expected an int, got str '4'"),
    "hidden size a tensor": ({"hidden_size": torch.tensor(4)}, r"^hidden_size: expected an int"),
    "no layers": ({"num_layers": 0}, r"^num_layers: .*greater than zero, got 0"),
    "layers a float": ({"num_layers": 2.0}, r"^num_layers: expected an int, got float 2.0"),
    "bias a number": ({"bias": 1}, r"^bias: expected a bool, got int 1"),
    "bias None": ({"bias": None}, r"^bias: expected a bool, got NoneType"),
    "batch first a number": ({"batch_first": 1}, r"^batch_first: expected a bool, got int 1"),
    "negative dropout": ({"dropout": -0.1}, r"^dropout: expected a probability from 0 to 1, got -0.1"),
    "dropout over one": ({"dropout": 1.5}, r"^dropout: expected a probability from 0 to 1, got 1.5"),
    "dropout a bool": ({"dropout": True}, r"^dropout: expected a probability from 0 to 1, got True"),
    "dropout a text": ({"dropout": "a"}, r"^dropout: expected a probability from 0 to 1, got 'a'"),
    "dropout of one layer": ({"dropout": 0.5}, r"dropout=0.5 does nothing with num_layers=1"),
    "bidirectional a number": ({"bidirectional": 1}, ""),
    "an integer type": ({"dtype": torch.int32}, "floating point"),
    "an unknown argument": ({"num_layer": 2}, r"^'num_layer': no argument, and no size of lstm, which has D, H"),
}


@pytest.mark.parametrize(("options", "says"), OPTIONS.values(), ids=OPTIONS)
def test_options(options: dict[str, Any], says: str) -> None:
    every = {"input_size": 3, "hidden_size": 4, **options}
    theirs = outcome(lambda: nn.LSTM(**every))
    ours = outcome(lambda: Recurrent("lstm", target="numpy", **every))
    assert ours[0] is theirs[0]
    assert re.search(says, ours[1])


def test_a_warning_points_at_the_callers_line() -> None:
    with pytest.warns(UserWarning, match="num_layers=1") as seen:
        Recurrent("lstm", 3, 4, dropout=0.5, target="numpy")
    assert seen[0].filename == __file__


def test_options_of_its_own() -> None:
    for options, error, says in (
        ({"target": "fortran"}, ValueError, "auto, numpy, c, cupy, got 'fortran'"),
        ({"zoneout": 1.5}, ValueError, "zoneout: expected a probability from 0 to 1, got 1.5"),
        ({"zoneout": {"z": 0.5}}, CellError, "z"),
        ({"recurrent_dropout": {"h": -1}}, ValueError, r"recurrent_dropout\['h'\]: expected a probability"),
        ({"constants": {"A": 1.0}}, ValueError, "lstm has no constant array A"),
        ({"H": 5}, ValueError, "no other H, as H is 4"),
        ({"H": "5"}, ValueError, "H: expected a positive integer, got '5'"),
    ):
        with pytest.raises(error, match=says):
            Recurrent("lstm", 3, 4, **options)
    with pytest.raises(CellError, match=r"no cell.*lstn"):
        Recurrent("lstn", 3, 4)
    with pytest.raises(TypeError, match="its size P by name"):
        Recurrent("projected_lstm", 3, 4)


# when it runs


def _hx(cell: str, *shape: int) -> Any:
    h = torch.zeros(*shape)
    return (h, torch.zeros(*shape)) if cell == "lstm" else h


def _each(hx: Any, change: Callable[[Any], Any]) -> Any:
    return tuple(map(change, hx)) if isinstance(hx, tuple) else change(hx)


def _packed(*lengths: int, width: int = 3) -> Any:
    return rnn.pack_sequence([torch.zeros(n, width) for n in lengths], enforce_sorted=False)


X = torch.zeros(5, 2, 3)
CALLS: dict[str, tuple[Callable[[Any, str], Any], str]] = {
    "one axis": (lambda m, _: m(X[0, 0]), r"^input: expected \(T, B, 3\) or \(T, 3\), got 1 axes: \(3,\)"),
    "four axes": (lambda m, _: m(X[None]), r"^input: expected \(T, B, 3\) or \(T, 3\), got 4 axes"),
    "width": (lambda m, _: m(X[..., :2]), r"^input: expected \(T, B, 3\) or \(T, 3\), got \(5, 2, 2\)"),
    "width of a single one": (lambda m, _: m(X[:, 0, :2]), r"^input: expected .*, got \(5, 2\)"),
    "type": (lambda m, _: m(X.double()), r"^input: expected torch.float32 .*float64: use x.to\(torch.float32\) or mod"),
    "integers": (lambda m, _: m(X.long()), r"^input: expected torch.float32 as the parameters, got torch.int64"),
    "device": (lambda m, _: m(X.to("meta")), r"^input: expected a tensor on cpu as the parameters, got one on meta"),
    "no steps": (lambda m, _: m(X[:0]), r"^input: expected at least one step, got the shape \(0, 2, 3\)"),
    "no steps of a single one": (lambda m, _: m(X[:0, 0]), r"^input: expected at least one step"),
    "no samples": (lambda m, _: m(X[:, :0]), ""),
    "sparse": (lambda m, _: m(X.to_sparse()), r"^input: expected a dense tensor, got one of .* torch.sparse_coo"),
    "batch of hx": (lambda m, c: m(X, _hx(c, 1, 3, 4)), r"^hx.*: expected the shape \(1, 2, 4\), got \(1, 3, 4\)"),
    "layers of hx": (lambda m, c: m(X, _hx(c, 2, 2, 4)), r"^hx.*: expected the shape \(1, 2, 4\), got \(2, 2, 4\)"),
    "width of hx": (lambda m, c: m(X, _hx(c, 1, 2, 5)), r"^hx.*: expected the shape \(1, 2, 4\), got \(1, 2, 5\)"),
    "no broadcasting": (lambda m, c: m(X, _hx(c, 1, 1, 4)), r"^hx.*: expected the shape \(1, 2, 4\), got \(1, 1, 4\)"),
    "hx without a batch": (lambda m, c: m(X, _hx(c, 1, 4)), r"^hx.*: expected the shape \(1, 2, 4\), got \(1, 4\)"),
    "hx with a batch": (
        lambda m, c: m(X[:, 0], _hx(c, 1, 1, 4)),
        r"^hx.*: expected the shape \(1, 4\) for an input without a batch, got \(1, 1, 4\)",
    ),
    "single hx": (lambda m, c: m(X[:, 0], _hx(c, 1, 5)), r"^hx.*: expected the shape \(1, 4\) for .*, got \(1, 5\)"),
    "type of hx": (
        lambda m, c: m(X, _each(_hx(c, 1, 2, 4), torch.Tensor.double)),
        r"^hx.*: expected torch.float32 as the parameters, got torch.float64",
    ),
    "device of hx": (
        lambda m, c: m(X, _each(_hx(c, 1, 2, 4), lambda t: t.to("meta"))),
        r"^hx.*: expected a tensor on cpu as the parameters, got meta",
    ),
    "an argument too many": (lambda m, _: m(X, None, 1), "positional"),
    "an argument too few": (lambda m, _: m(), "input"),
    "axes of packed rows": (lambda m, _: m(rnn.pack_sequence([X[0, 0]])), r"^input: expected \(N, 3\), got 1 axes"),
    "width of packed rows": (lambda m, _: m(_packed(3, 2, width=2)), r"^input: expected \(N, 3\), got \(5, 2\)"),
}


@pytest.mark.parametrize(("call", "says"), CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("module", "cell"), [(nn.LSTM, "lstm"), (nn.GRU, "gru")])
def test_calls(module: Any, cell: str, call: Callable[[Any, str], Any], says: str) -> None:
    ours = outcome(lambda: call(Recurrent(cell, 3, 4, target="numpy"), cell))
    assert ours[0] is outcome(lambda: call(module(3, 4), cell))[0]
    assert re.search(says, ours[1])


def test_a_wrong_number_of_states() -> None:
    net, h = Recurrent("lstm", 3, 4, target="numpy"), torch.zeros(1, 2, 4)
    assert outcome(lambda: net(X, (h, h, h)))[0] is outcome(lambda: nn.LSTM(3, 4)(X, (h, h, h)))[0]
    with pytest.raises(RuntimeError, match=r"hx: expected a tuple of the states \(h, c\), got 3 of them"):
        net(X, (h, h, h))
    with pytest.raises(TypeError, match=r"hx: expected a tuple of the states \(h, c\), got Tensor"):
        net(X, h)
    with pytest.raises(ValueError, match="hx: expected states among h, c, got z"):
        net(X, {"z": h})
    with pytest.raises(RuntimeError, match=r"hx\['c'\]: expected the shape \(1, 2, 4\), got \(1, 3, 4\)"):
        net(X, {"c": torch.zeros(1, 3, 4)})


WORSE = {
    "None": lambda m: m(None),
    "list": lambda m: m(X.tolist()),
    "array": lambda m: m(X.numpy()),
    "tuple": lambda m: m((X, X)),
    "state None": lambda m: m(X, (None, None)),
    "state an array": lambda m: m(X, (X.numpy(), X.numpy())),
}


@pytest.mark.parametrize("call", WORSE.values(), ids=WORSE)
def test_what_is_no_tensor(call: Any) -> None:
    """nn raises whatever comes; here it is a TypeError that says what came."""
    assert outcome(lambda: call(nn.LSTM(3, 4)))[0] in (AttributeError, TypeError, IndexError)
    for net in (Recurrent("lstm", 3, 4, target="numpy"), RecurrentCell("lstm", 3, 4, target="numpy")):
        error, says = outcome(lambda net=net: call(net) if isinstance(net, Recurrent) else call(_Step(net)))
        assert error is TypeError
        assert re.search(r"expected a tensor|expected a dict by name", says)
        assert re.search(r"got (NoneType|list|ndarray|tuple)", says)


class _Step:
    """A module of one step, of what the others are called with: a step of it."""

    def __init__(self, net: Any) -> None:
        self.net = net

    def __call__(self, x: Any, *hx: Any) -> Any:
        return self.net(x[0] if isinstance(x, torch.Tensor) else x, *hx)


def test_packed_hx_of_another_batch_is_refused() -> None:
    """nn.LSTM picks the states of the samples that it has, and says nothing."""
    with pytest.raises(RuntimeError, match=r"expected the shape \(1, 2, 4\), got \(1, 3, 4\)"):
        Recurrent("gru", 3, 4, target="numpy")(_packed(3, 2), torch.zeros(1, 3, 4))


def test_complex_parameters_are_refused() -> None:
    net = Recurrent("gru", 3, 4, dtype=torch.complex64, target="numpy")
    with pytest.raises(RuntimeError, match=r"floating-point type, got torch\.complex64"):
        net(X.to(torch.complex64))


# a module of one step

STEPS: dict[str, tuple[Callable[[Any, str], Any], str]] = {
    "three axes": (lambda m, _: m(X), r"^input: expected \(B, 3\) or \(3,\), got 3 axes: \(5, 2, 3\)"),
    "no axis": (lambda m, _: m(torch.tensor(1.0)), r"^input: expected \(B, 3\) or \(3,\), got 0 axes"),
    "width": (lambda m, _: m(X[0, :, :2]), r"^input: expected \(B, 3\) or \(3,\), got \(2, 2\)"),
    "width of a single one": (lambda m, _: m(X[0, 0, :2]), r"^input: expected .*, got \(2,\)"),
    "type": (lambda m, _: m(X[0].double()), r"^input: expected torch.float32"),
    "batch of hx": (lambda m, c: m(X[0], _hx(c, 3, 4)), r"^hx.*: expected the shape \(2, 4\), got \(3, 4\)"),
    "no broadcasting": (lambda m, c: m(X[0], _hx(c, 1, 4)), r"^hx.*: expected the shape \(2, 4\), got \(1, 4\)"),
    "width of hx": (lambda m, c: m(X[0], _hx(c, 2, 5)), r"^hx.*: expected the shape \(2, 4\), got \(2, 5\)"),
    "axes of hx": (lambda m, c: m(X[0], _hx(c, 1, 2, 4)), r"^hx.*: expected the shape \(2, 4\), got \(1, 2, 4\)"),
    "hx without a batch": (lambda m, c: m(X[0], _hx(c, 4)), r"^hx.*: expected the shape \(2, 4\), got \(4,\)"),
    "hx with a batch": (lambda m, c: m(X[0, 0], _hx(c, 1, 4)), r"^hx.*: .*\(4,\) for an input without a batch, got"),
    "type of hx": (lambda m, c: m(X[0], _each(_hx(c, 2, 4), torch.Tensor.double)), r"^hx.*: expected torch.float32"),
    "no samples": (lambda m, _: m(X[0, :0]), ""),
}


@pytest.mark.parametrize(("call", "says"), STEPS.values(), ids=STEPS)
@pytest.mark.parametrize(("module", "cell"), [(nn.LSTMCell, "lstm"), (nn.GRUCell, "gru"), (nn.RNNCell, "rnn")])
def test_steps(module: Any, cell: str, call: Callable[[Any, str], Any], says: str) -> None:
    ours = outcome(lambda: call(RecurrentCell(cell, 3, 4, target="numpy"), cell))
    assert ours[0] is outcome(lambda: call(module(3, 4), cell))[0]
    assert re.search(says, ours[1])


def test_a_step_of_two_directions_is_refused() -> None:
    net = Recurrent("gru", 3, 4, bidirectional=True, target="numpy")
    with pytest.raises(ValueError, match=r"step: .*bidirectional"):
        net.step(X[0])
    with pytest.raises(ValueError, match=r"resets: .*bidirectional"):
        net(X, resets=torch.zeros(5, 2, dtype=torch.bool))


def test_resets_that_do_not_fit() -> None:
    net = Recurrent("gru", 3, 4, target="numpy")
    for resets, error, says in (
        (torch.zeros(5, 2), TypeError, "resets: expected a tensor of torch.bool, got torch.float32"),
        ([[True]], TypeError, "resets: expected a tensor of torch.bool, got list"),
        (torch.zeros(2, 5, dtype=torch.bool), ValueError, r"\(5, 2\) of \(T, B\), got the shape \(2, 5\)"),
    ):
        with pytest.raises(error, match=says):
            net(X, resets=resets)
    with pytest.raises(TypeError, match=r"resets: .*PackedSequence"):
        net(_packed(3, 2), resets=torch.zeros(3, 2, dtype=torch.bool))


# several inputs


def test_several_inputs_by_name(tmp_path: Any) -> None:
    from feature_cells import FEATURES

    import symcell

    net = Recurrent(symcell.parse(FEATURES["two_inputs"], name="two"), 3, 4, E=2, target="numpy")
    x, z = torch.zeros(5, 2, 3), torch.zeros(5, 2, 2)
    net({"z": z, "x": x})
    for given, error, says in (
        (x, TypeError, "two has the inputs x, z: expected a dict by name, got Tensor"),
        ({"x": x}, ValueError, "expected the names x, z, got x"),
        ({"x": x, "z": z, "y": z}, ValueError, "expected the names x, z, got x, z, y"),
        ({"x": x, "z": z[:4]}, ValueError, r"input\['z'\]: expected \(5, 2, 2\), as input\['x'\] begins with \(5, 2\)"),
        ({"x": x, "z": z[:, 0]}, ValueError, r"input\['z'\]: expected \(5, 2, 2\), as input\['x'\]"),
        ({"x": x, "z": z[..., :1]}, RuntimeError, r"input\['z'\]: expected \(T, B, 2\) or \(T, 2\), got \(5, 2, 1\)"),
        ({"x": x, "z": _packed(3, 2)}, TypeError, r"input\['z'\]: expected a tensor, got PackedSequence"),
        ({"x": _packed(3, 2), "z": z}, TypeError, r"input\['z'\]: expected a PackedSequence, as the others are"),
        ({"x": _packed(3, 2), "z": _packed(3, 1, width=2)}, ValueError, r"input\['z'\]: expected the batch sizes"),
    ):
        with pytest.raises(error, match=says):
            net(given)
