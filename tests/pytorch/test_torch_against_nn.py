"""Recurrent against torch.nn.LSTM, GRU and RNN: outputs, last states and all gradients."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils import rnn  # noqa: E402
from torch_twins import KINDS, Twins, flat, twins  # noqa: E402

OPTIONS: dict[str, dict[str, Any]] = {
    "one layer": {},
    "two layers": {"layers": 2},
    "three layers": {"layers": 3},
    "bidirectional": {"layers": 2, "bidirectional": True},
    "no bias": {"bias": False},
    "no bias, bidirectional": {"layers": 2, "bias": False, "bidirectional": True},
    "batch first": {"layers": 2, "batch_first": True, "bidirectional": True},
}
STATES = ("zero", "given")
ORDERS = ((5, 3, 3, 1), (2, 4, 1, 4), (1,))
EACH = ("no bias, bidirectional", "batch first")
"""What is tried for each module; for nn.LSTM everything is."""


def _sampled(kind: str, options: str) -> Any:
    return pytest.param(
        kind, OPTIONS[options], id=f"{kind}, {options}",
        marks=() if kind == "LSTM" or options in EACH else pytest.mark.whole,
    )  # fmt: skip


GRID = [_sampled(kind, options) for kind in KINDS for options in OPTIONS]


def states_for(pair: Twins, batch: int | None, dtype: Any = torch.float64) -> list[torch.Tensor]:
    """Random states (layers·directions, B, size) that want gradients."""
    torch.manual_seed(5)
    found = []
    for name in pair.ours.states:
        lead = [len(pair.ours.sizes)] if batch is None else [len(pair.ours.sizes), batch]
        found.append(torch.randn(*lead, *pair.ours._shapes[0][name], dtype=dtype, requires_grad=True))
    return found


def compare(pair: Twins, x: Any, states: list[torch.Tensor] | None, close: dict[str, float] | None = None) -> None:
    """Run both on one input (and states), and hold all results and gradients against each other."""
    close = close or {"rtol": 1e-10, "atol": 1e-10}
    seen = []
    for net in pair.both:
        rows, wrap = (x.data, x._replace) if isinstance(x, rnn.PackedSequence) else (x, None)
        leaf = rows.detach().clone().requires_grad_()
        mine = None if states is None else [s.detach().clone().requires_grad_() for s in states]
        hx = None if mine is None else mine[0] if len(mine) == 1 else tuple(mine)
        net.zero_grad()
        results = net(wrap(data=leaf) if wrap else leaf, hx)
        tensors = flat(results)
        torch.manual_seed(11)
        loss = sum((t * torch.randn(t.shape, dtype=torch.float64).to(t.dtype)).sum() for t in tensors)
        loss.backward()
        seen.append([*tensors, leaf.grad, *(s.grad for s in mine or [])])
        if wrap:
            assert isinstance(results[0], rnn.PackedSequence)
            for one, other in zip(results[0][1:], x[1:], strict=True):
                assert (one is None and other is None) or torch.equal(one, other)
    for theirs, ours in zip(*seen, strict=True):
        torch.testing.assert_close(ours, theirs, **close)
    for ours, theirs in pair.gradients():
        torch.testing.assert_close(ours, theirs, **close)


@pytest.mark.parametrize("states", STATES)
@pytest.mark.parametrize(("kind", "options"), GRID)
def test_padded(kind: str, options: dict[str, Any], states: str) -> None:
    torch.manual_seed(1)
    pair = twins(kind, **options)
    x = torch.randn(2, 5, 3) if "batch_first" in options else torch.randn(5, 2, 3)
    compare(pair, x.double(), states_for(pair, 2) if states == "given" else None)


@pytest.mark.parametrize("states", STATES)
@pytest.mark.parametrize(("kind", "options"), GRID)
def test_one_sequence_without_a_batch(kind: str, options: dict[str, Any], states: str) -> None:
    torch.manual_seed(2)
    pair = twins(kind, **options)
    compare(pair, torch.randn(4, 3).double(), states_for(pair, None) if states == "given" else None)


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("states", STATES)
@pytest.mark.parametrize(("kind", "options"), GRID)
def test_packed(kind: str, options: dict[str, Any], states: str, order: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    pair = twins(kind, **options)
    packed = rnn.pack_sequence([torch.randn(n, 3).double() for n in order], enforce_sorted=False)
    compare(pair, packed, states_for(pair, len(order)) if states == "given" else None)


def test_packed_in_order_has_no_indices() -> None:
    torch.manual_seed(3)
    pair = twins("LSTM", 2, bidirectional=True)
    packed = rnn.pack_sequence([torch.randn(n, 3).double() for n in (4, 2, 2)])
    assert packed.sorted_indices is None
    compare(pair, packed, states_for(pair, 3))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("target", ["numpy", "c"])
@pytest.mark.parametrize("kind", KINDS)
def test_float32(kind: str, target: str) -> None:
    torch.manual_seed(4)
    pair = twins(kind, 2, target, torch.float32, bidirectional=True)
    close = {"rtol": 2e-5, "atol": 2e-6}
    compare(pair, torch.randn(6, 3, 3), states_for(pair, 3, torch.float32), close)
    packed = rnn.pack_sequence([torch.randn(n, 3) for n in (2, 6, 3)], enforce_sorted=False)
    compare(pair, packed, states_for(pair, 3, torch.float32), close)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 4, 3), (7, 1, 3), (3, 0, 3)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_and_batches_of_one_and_none(kind: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(6)
    pair = twins(kind, 2, bidirectional=True)
    try:
        compare(pair, torch.randn(*shape).double(), states_for(pair, shape[1]))
    except RuntimeError as failure:
        pytest.fail(f"{shape}: {failure}")


def test_no_step() -> None:
    """nn refuses a sequence of no steps; here the states come back as they were."""
    for kind in KINDS:
        pair = twins(kind)
        with pytest.raises(RuntimeError):
            pair.theirs(torch.zeros(0, 2, 3).double())


def test_input_laid_out_in_any_way() -> None:
    torch.manual_seed(7)
    pair = twins("GRU", 2, bidirectional=True)
    wide = torch.randn(3, 8, 6).double()
    for x in (wide.transpose(0, 1)[:, :, ::2], wide[:, :1, :3].expand(3, 5, 3), wide[:, :, 3:].flip(0)):
        compare(pair, x, [s.transpose(0, 1).contiguous().transpose(0, 1) for s in states_for(pair, x.shape[1])])
