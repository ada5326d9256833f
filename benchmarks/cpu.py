"""Forward + backward on the CPU: emitted NumPy modules beside torch.nn's, in one run, interleaved.

    python benchmarks/cpu.py      # writes benchmarks/results/cpu.json and cpu.png

For every shape (T, B, D = H) every contender runs in turn, round after round, and medians are compared: machines
are noisy, ratios within one run much less so. The floor is the time that NumPy's BLAS takes for the matrix products
alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import RESULTS, interleaved, machine, save

import symcell

SHAPES = ((128, 1, 128), (128, 32, 128), (128, 32, 256), (128, 64, 512))
PEERS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def emitted(name: str, x: np.ndarray, dy: np.ndarray) -> Callable[[], None]:
    """One forward and backward pass of the emitted module."""
    module = symcell.compile(name)
    params = module.init_params(D=x.shape[2], H=dy.shape[2])

    def run() -> None:
        _, _, tape = module.forward(params, x)
        module.backward(params, tape, dy)

    return run


def peer(name: str, x: np.ndarray, dy: np.ndarray) -> Callable[[], None]:
    """The same with PyTorch's module."""
    net = PEERS[name](x.shape[2], dy.shape[2])
    given, arriving = torch.tensor(x, requires_grad=True), torch.tensor(dy)

    def run() -> None:
        net.zero_grad()
        net(given)[0].backward(arriving)

    return run


def floor(name: str, x: np.ndarray, dy: np.ndarray) -> Callable[[], None]:
    """The matrix products alone: input and recurrent, forward, transposed and for the weights."""
    steps, batch, width = dy.shape
    rows, gates = steps * batch, GATES[name] * width
    flat, state, delta = (np.ones((rows, n), np.float32) for n in (x.shape[2], width, gates))
    inputs, recurrent = np.ones((gates, x.shape[2]), np.float32), np.ones((gates, width), np.float32)
    step, back = np.empty((batch, gates), np.float32), np.empty((batch, width), np.float32)

    def run() -> None:
        np.matmul(flat, inputs.T)
        for t in range(steps):
            np.matmul(state[t * batch : (t + 1) * batch], recurrent.T, out=step)
        for t in range(steps):
            np.matmul(delta[t * batch : (t + 1) * batch], recurrent, out=back)
        np.matmul(delta, inputs)
        np.matmul(delta.T, flat)
        np.matmul(delta.T, state)

    return run


def measure(rounds: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    for name in PEERS:
        for steps, batch, width in SHAPES:
            x, dy = (rng.standard_normal((steps, batch, width)).astype(np.float32) for _ in range(2))
            makers = {"symcell": emitted, "torch": peer, "products": floor}
            medians = interleaved({k: make(name, x, dy) for k, make in makers.items()}, rounds)
            rows.append({"cell": name, "shape": [steps, batch, width], "ms": medians})
            ratio = medians["symcell"] / medians["torch"]
            times = "   ".join(f"{key} {value:.1f} ms" for key, value in medians.items())
            print(f"{name:5} {(steps, batch, width)!s:15} {times}   symcell/torch {ratio:.2f}", flush=True)
    return rows


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Bars: time relative to torch.nn, per cell and shape."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    labels = [f"{r['cell']}\n{r['shape'][0]}, {r['shape'][1]}, {r['shape'][2]}" for r in rows]
    at = np.arange(len(rows))
    figure, axes = plt.subplots(figsize=(11, 4.2), layout="constrained")
    for shift, key, color in ((-0.2, "symcell", "#1f6feb"), (0.2, "products", "#c9d1d9")):
        axes.bar(at + shift, [r["ms"][key] / r["ms"]["torch"] for r in rows], 0.38, label=key, color=color)
    axes.axhline(1, color="#d1242f", lw=1.2)
    axes.text(len(rows) - 0.5, 1.02, "torch.nn", color="#d1242f", ha="right", va="bottom")
    axes.set_xticks(at, labels, fontsize=8)
    axes.set_ylabel("time relative to torch.nn")
    axes.set_title("Forward + backward on the CPU, float32 (T, B, D = H); lower is faster", fontsize=11)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.manual_seed(0)
    rows = measure(rounds)
    versions = {"symcell": symcell.__version__, "torch": torch.__version__}
    save("cpu", {"machine": machine(), **versions, "rounds": rounds, "rows": rows})
    plot(rows, RESULTS / "cpu.png")


if __name__ == "__main__":
    main()
