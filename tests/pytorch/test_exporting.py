"""A Recurrent as an ONNX model: all layers and directions, equal in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import symcell

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
from symcell.torch import Recurrent  # noqa: E402

MODULES = {
    "layers": lambda: Recurrent("lstm", 3, 4, num_layers=3),
    "directions": lambda: Recurrent("gru", 3, 4, num_layers=2, bidirectional=True, dropout=0.5),
    "batch first": lambda: Recurrent("projected_lstm", 3, 4, P=2, num_layers=2, bidirectional=True, batch_first=True),
    "no bias": lambda: Recurrent("rnn", 3, 4, bias=False, bidirectional=True),
    "double": lambda: Recurrent("peephole_lstm", 3, 4, num_layers=2, dtype=torch.float64),
    "half": lambda: Recurrent("rnn", 3, 4, num_layers=2, dtype=torch.bfloat16),
    "matrices": lambda: Recurrent("mlstm", 3, 4, num_layers=2, K=3),
    "lags": lambda: Recurrent(symcell.parse("h[0] = s\nh[t] = tanh(W @ x[t] + U @ h[t-3] + b)", name="own"), 3, 4,
                              num_layers=2, bidirectional=True),
    "constants": lambda: Recurrent("lmu", 3, 4, N=2, constants={"A": torch.eye(2) * 0.5, "B": torch.ones(2)}),
    "zoneout": lambda: Recurrent("lstm", 3, 4, num_layers=2, zoneout={"h": 0.1, "c": 0.2}),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_equal_to_the_module(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = MODULES[name]().eval()
    module.to_onnx(tmp_path / "net.onnx")
    made = runtime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    module = module.float() if module.all_weights[0][0].dtype == torch.bfloat16 else module
    dtype = module.all_weights[0][0].dtype
    x = torch.randn(*((5, 4) if not module.batch_first else (4, 5)), 3, dtype=dtype)
    near = 1e-12 if dtype == torch.float64 else 5e-6
    lengths = torch.tensor([5, 3, 2, 1])
    with torch.no_grad():
        _, ends = module(x)
        ends = ends if isinstance(ends, tuple) else (ends,)
        starts = tuple(torch.randn_like(end) for end in ends)
        given = starts if len(starts) > 1 else starts[0]
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=module.batch_first)
        runs: list[tuple[Any, Any, dict[str, Any]]] = [
            (x, None, {}),
            (x, given, {f"{n}_first": s.numpy() for n, s in zip(module.states, starts, strict=True)}),
            (packed, None, {"lengths": lengths.numpy()}),
        ]
        for input, state, feeds in runs:
            y, last = module(input, state)
            if input is packed:
                y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=module.batch_first)
            names = [o.name for o in made.get_outputs()]
            found = dict(zip(names, made.run(None, {"x": x.numpy(), **feeds}), strict=True))
            torch.testing.assert_close(torch.from_numpy(found["y"]), y, rtol=near, atol=near)
            for state_name, end in zip(module.states, last if isinstance(last, tuple) else (last,), strict=True):
                torch.testing.assert_close(torch.from_numpy(found[f"{state_name}_last"]), end, rtol=near, atol=near)
