"""An emitted cell with a linear layer on its last hidden state."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

Loss = Callable[[Any, Any, Any], tuple[float, Any]]


class Model:
    """``scores = h_T · R[:H] + R[H]``: the cell reads a sequence, ``readout`` (R) makes scores of its last state.

    ``buffers`` are all the parameters: the cell's flat buffer and the readout.
    """

    def __init__(self, cell: ModuleType, xp: Any, inputs: int, hidden: int, outputs: int, span: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.cell, self.xp = cell, xp
        self.params = cell.init_params(D=inputs, H=hidden, seed=seed, dtype="float32")
        remember(self.params, span, rng, xp)
        readout = rng.uniform(-1, 1, (hidden + 1, outputs)) / np.sqrt(hidden)
        readout[hidden] = 0
        self.readout = xp.asarray(readout.astype("float32"))
        self.buffers = [self.params.flat, self.readout]

    def scores(self, x: Any) -> Any:
        """(B, outputs) for x (T, B, D); nothing is kept for a backward pass."""
        _, last, _ = self.cell.forward(self.params, x, keep_tape=False)
        return self._read(last["h"])

    def gradients(self, x: Any, target: Any, loss: Loss) -> tuple[float, list[Any]]:
        """The loss, and its gradient by each of ``buffers``."""
        _, last, tape = self.cell.forward(self.params, x)
        value, dscores = loss(self.xp, self._read(last["h"]), target)
        dh = dscores @ self.readout[:-1].T
        grads = self.cell.backward(self.params, tape, None, {"h": dh})
        dreadout = self.xp.concatenate([last["h"].T @ dscores, dscores.sum(axis=0)[None]])
        return value, [grads.params.flat, dreadout]

    def _read(self, h: Any) -> Any:
        return h @ self.readout[:-1] + self.readout[-1]


def remember(params: Any, span: int, rng: np.random.Generator, xp: Any) -> None:
    """Chrono initialization (Tallec & Ollivier 2018): gates that remember for 1 to ``span`` steps; 0: as they are.

    The modules start with small random biases, as PyTorch does, so a gate that keeps the state is half open and
    forgets within a step or two: over 100 steps the gradient is gone before there is anything to learn from. With the
    bias log(u), u uniform in 1 … span - 1, the gate is open for about u steps. That is the LSTM's forget gate b_f (and
    b_i = -b_f) and the GRU's update gate b_z. A simple recurrent network has no such gate, and starts as it is.
    """
    if not span:
        return
    bias = np.log(rng.uniform(1, span - 1, params.sizes["H"])).astype("float32")
    if "b_f" in params:
        params["b_f"] = xp.asarray(bias)
        params["b_i"] = xp.asarray(-bias)
    elif "b_z" in params:
        params["b_z"] = xp.asarray(bias)


def cross_entropy(xp: Any, scores: Any, target: Any) -> tuple[float, Any]:
    """Softmax classification: the mean loss, and its gradient by the scores. ``target``: (B,) class numbers."""
    rows = xp.arange(len(target))
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_sum = xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
    loss = float((log_sum[:, 0] - shifted[rows, target]).mean())
    gradient = xp.exp(shifted - log_sum)
    gradient[rows, target] -= 1
    return loss, gradient / len(target)


def squared_error(xp: Any, scores: Any, target: Any) -> tuple[float, Any]:
    """The mean squared error of the first score, and its gradient by the scores. ``target``: (B,)."""
    error = scores[:, :1] - target[:, None]
    return float((error * error).mean()), 2 * error / len(target)
