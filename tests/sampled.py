"""The shipped cells on which sweeps over cells run without ``--whole``: one of every kind."""

from __future__ import annotations

from typing import Any

import pytest

import symcell

SAMPLE = ("rnn", "lstm", "narx", "layernorm_lstm", "projected_lstm", "lmu", "mlstm", "mamba", "gated_deltanet",
          "phased_lstm", "slstm", "rwkv4")  # fmt: skip
"""Without and with a cell state, with lags, norms, products of another size, constant arrays, matrix states, a scan of
many, matrices that change, a time of its own, states that stabilise each other, and products along channels."""


def sampled() -> list[Any]:
    """Names of all shipped cells as parameters of a test; those that are not in SAMPLE are left to ``--whole``."""
    return [name if name in SAMPLE else pytest.param(name, marks=pytest.mark.whole) for name in symcell.names()]
