"""Both directions of a bidirectional Recurrent in one launch, on an emulated device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils import rnn  # noqa: E402

import symcell  # noqa: E402
from symcell.emulate import Device, load  # noqa: E402
from symcell.pipeline import source  # noqa: E402
from symcell.torch import (  # noqa: E402
    Recurrent,
    base,
    kernel as kernels,
)
from symcell.verify import targets  # noqa: E402

REASON = targets.emulator_missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
TEXT = source(symcell.load("lstm"), "cupy")


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """The target cupy runs on a device of four multiprocessors. What is launched: a kernel, for how many directions."""
    seen: list[tuple[str, int]] = []
    made = load(TEXT, "lstm", device=Device(multiprocessors=4, capability=(8, 0)))
    made.STRATEGY = "persistent"  # type: ignore[attr-defined]
    launch = made._launch_steps

    def noted(name: str, shares: Any, *rest: Any) -> Any:
        seen.append((name.removesuffix("_steps"), shares.sweeps))
        return launch(name, shares, *rest)

    made._launch_steps = noted  # type: ignore[attr-defined]
    find = kernels.kernel_of

    def emulated(cell: Any, target: str, _: bool = False) -> kernels.Kernel:
        found = find(cell, target, target == "cupy")
        if target == "cupy" and cell.name == "lstm":
            found.__dict__["module"] = made
        return found

    monkeypatch.setattr(base, "kernel_of", emulated)
    yield seen
    for found in kernels._KERNELS.values():
        if found.emulated:
            found.__dict__.pop("module", None)


def nets(**options: Any) -> tuple[Recurrent, Recurrent]:
    """One on the emulated device, one on the CPU, with the same parameters."""
    torch.manual_seed(0)
    one, other = (Recurrent("lstm", 3, 4, bidirectional=True, target=target, dtype=torch.float64, **options)
                  for target in ("cupy", "numpy"))  # fmt: skip
    other.load_state_dict(one.state_dict())
    return one, other


def data(packed: bool = False) -> Any:
    x = torch.randn(4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return rnn.pack_sequence([x[:, 0], x[:2, 1]]) if packed else x


def loss(net: Recurrent, x: Any, hx: Any = None) -> Any:
    y, (h, c) = net(x, hx)
    rows = y.data if isinstance(y, rnn.PackedSequence) else y
    return rows.sin().sum() + h.cos().sum() + (c * c).sum()


def same(one: Recurrent, other: Recurrent, value: Any, wanted: Any) -> None:
    torch.testing.assert_close(value, wanted)
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize("packed", [False, True])
def test_a_launch_for_each_sweep_of_a_layer(packed: bool, launches: list[tuple[str, int]]) -> None:
    one, other = nets(num_layers=2)
    found, wanted = (loss(net, data(packed)) for net in (one, other))
    found.backward()
    wanted.backward()
    assert launches == [("forward", 2)] * 2 + [("backward", 2)] * 2
    same(one, other, found, wanted)


def test_without_gradients(launches: list[tuple[str, int]]) -> None:
    one, other = nets()
    states = tuple(torch.randn(2, 2, 4, dtype=torch.float64) for _ in range(2))
    with torch.no_grad():
        torch.testing.assert_close(loss(one, data(), states), loss(other, data(), states))
    assert launches == [("forward", 2)]


def test_checkpoints(launches: list[tuple[str, int]]) -> None:
    one, other = nets(checkpoint=2)
    found, wanted = (loss(net, data()) for net in (one, other))
    found.backward()
    wanted.backward()
    assert launches == [("forward", 2)] * 2 + [("forward", 2), ("backward", 2)] * 2
    same(one, other, found, wanted)


def test_a_loss_of_one_direction(launches: list[tuple[str, int]]) -> None:
    one, other = nets()
    for net in (one, other):
        net(data())[1][0][1].sum().backward()
    assert launches == [("forward", 2), ("backward", 2)]
    assert not one.W_i_l0.grad.any()
    torch.testing.assert_close(one.W_i_l0_reverse.grad, other.W_i_l0_reverse.grad)


def test_gradients_of_gradients(launches: list[tuple[str, int]]) -> None:
    """The second derivatives are those of the CPU; the way back is differentiated, each direction by itself."""
    one, other = nets()
    found = []
    for net in (one, other):
        x = data().requires_grad_()
        (slope,) = torch.autograd.grad(loss(net, x), x, create_graph=True)
        slope.square().sum().backward()
        found.append((slope, x.grad))
    assert launches == [("forward", 2), ("backward", 1), ("backward", 1), ("backward", 2)]
    same(one, other, found[0], found[1])


def test_where_an_operator_is_asked_for(launches: list[tuple[str, int]]) -> None:
    """Under torch.func each direction is an operator of its own."""
    one, other = nets()
    slopes = [torch.func.grad(lambda x, net=net: loss(net, x))(data()) for net in (one, other)]
    torch.testing.assert_close(*slopes)
    assert {sweeps for _, sweeps in launches} == {1}
