"""A Recurrent in a file comes back as it was, and nothing else comes out of a file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

import symcell

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
import symcell.torch as st  # noqa: E402
from symcell.torch import Recurrent  # noqa: E402

OWN = symcell.parse("y: K\nh[0] = h_0\nh[t] = tanh(W @ x[t] + U @ h[t-2] + b)\ny[t] = V @ h[t]", name="own")
MODULES = {
    "plain": lambda: Recurrent("lstm", 3, 4),
    "all": lambda: Recurrent("gru", 3, 4, num_layers=2, bidirectional=True, batch_first=True, dropout=0.5),
    "no bias": lambda: Recurrent("gru", 3, 4, num_layers=2, bias=False),
    "double": lambda: Recurrent("projected_lstm", 3, 4, P=2, num_layers=2, dtype=torch.float64),
    "half": lambda: Recurrent("rnn", 3, 4, dtype=torch.bfloat16),
    "own": lambda: Recurrent(OWN, 3, 4, num_layers=2, K=5),
    "constants": lambda: Recurrent("lmu", 3, 4, N=2, constants={"A": torch.eye(2), "B": torch.ones(2)}),
    "zoneout": lambda: Recurrent("lstm", 3, 4, zoneout={"h": 0.1, "c": 0.2}, checkpoint="sqrt"),
}


@pytest.mark.parametrize("name", MODULES)
def test_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    module, path = MODULES[name](), tmp_path / "net.safetensors"
    st.save(path, module)
    back = st.load(path)
    assert repr(back) == repr(module)
    assert back._given == module._given
    mine = module.state_dict()
    assert list(back.state_dict()) == list(mine)
    for key, value in back.state_dict().items():
        assert value.dtype == mine[key].dtype
        assert torch.equal(value, mine[key])
    again = st.load(path, module._given, target="numpy")
    assert again.target == "numpy"
    if module.all_weights[0][0].dtype != torch.bfloat16:
        x = torch.randn(5, 2, 3, dtype=module.all_weights[0][0].dtype)
        module.eval(), again.eval()
        torch.testing.assert_close(again(x)[0], module(x)[0])


def test_one_layer_with_dropout_is_not_warned_of_again(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="dropout"):
        module = Recurrent("rnn", 3, 4, dropout=0.5)
    st.save(tmp_path / "net", module)
    assert st.load(tmp_path / "net").dropout == 0.5


def test_other_equations_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    st.save(path, Recurrent("gru", 3, 4))
    with pytest.raises(
        ValueError, match=r"net\.safetensors: the equations .*\(cell gru\).* gru_original differ: 'n\[t\]"
    ):
        st.load(path, "gru_original")
    with pytest.raises(TypeError, match="module: expected a Recurrent, got LSTM"):
        st.save(path, torch.nn.LSTM(2, 3))


def test_a_file_of_an_emitted_module_is_none_of_a_recurrent(tmp_path: Path) -> None:
    module, path = symcell.compile("rnn"), tmp_path / "net"
    symcell_checkpoint = pytest.importorskip("symcell.checkpoint")
    symcell_checkpoint.save(path, module, module.init_params(D=3, H=4))
    with pytest.raises(ValueError, match="expected a Recurrent, and this is of an emitted module"):
        st.load(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_layers", 10**9, "num_layers: expected from 1 to 3, got 1000000000"),
        ("num_layers", 2, "missing"),
        ("hidden_size", 10**11, "contradict"),
        ("hidden_size", 10**300, "hidden_size: expected from 1 to"),
        ("input_size", "3", "input_size: expected from 1 to"),
        ("bidirectional", True, "missing"),
        ("bidirectional", 1, "of a wrong type"),
        ("bias", False, "unknown"),
        ("dropout", 2, "dropout: expected a probability"),
        ("zoneout", {"q": 0.5}, "arguments"),
        ("checkpoint", [1], "checkpoint: expected None"),
        ("sizes", {"K": 3}, "no size"),
        ("extra", 3, "arguments: expected input_size, "),
    ],
)
def test_arguments_that_lie(name: str, value: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    st.save(path, Recurrent("rnn", 3, 4))
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    arguments = json.loads(header["__metadata__"]["arguments"]) | {name: value}
    header["__metadata__"]["arguments"] = json.dumps(arguments)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(ValueError, match=message) as caught:
        st.load(path)
    assert str(path) in str(caught.value)
