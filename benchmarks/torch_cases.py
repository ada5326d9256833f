"""What ``torch_module.py`` measures: runs side by side, and by what they may differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import symcell
from symcell.bench.contenders import emitted
from symcell.bench.work import Work, numbers, sized
from symcell.torch import Recurrent

Run = Callable[[], object]

OURS, BARE = "Recurrent", "emitted module"

TORCH = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
"""Cells that are modules of PyTorch's too."""


@dataclass(frozen=True)
class Size:
    """T steps of B samples, D inputs, H units."""

    steps: int
    batch: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        return f"T {self.steps}, B {self.batch}, H {self.hidden}"


@dataclass(frozen=True)
class Case:
    """``make``: the runs by name. Of their times, that of ``of`` may be ``bound`` times that of ``over``; without
    ``over`` it may be ``bound`` milliseconds. ``group``: which of the claims it is, whose mean is taken."""

    group: str
    name: str
    of: str
    over: str | None
    bound: float
    make: Callable[[], Mapping[str, Run]]


def trained(net: nn.Module, x: Any, dy: Tensor, **more: Any) -> Run:
    """Forward and backward, with gradients by parameters and input; ``x``: a tensor, or a PackedSequence."""
    leaves = [*net.parameters(), *([x] if isinstance(x, Tensor) else [])]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        y = net(x, **more)[0]
        (y if isinstance(y, Tensor) else y.data).backward(dy)
        return y

    return run


def without_gradients(forward: Run) -> Run:
    def run() -> Any:
        with torch.no_grad():
            return forward()

    return run


def padded(size: Size) -> Tensor:
    """A batch of sequences (T, B, D)."""
    torch.manual_seed(0)
    return torch.randn(size.steps, size.batch, size.inputs)


def both(cell: str, size: Size, **options: Any) -> tuple[nn.Module, nn.Module]:
    """The cell's module, and PyTorch's."""
    return tuple(kind(size.inputs, size.hidden, **options) for kind in (_ours(cell), TORCH[cell]))  # type: ignore[return-value]


def _ours(cell: str) -> Callable[..., nn.Module]:
    return lambda *sizes, **options: Recurrent(cell, *sizes, **options)


def overhead(cell: str, size: Size, measure: str) -> Case:
    """The module over the emitted module that it calls."""

    def make() -> Mapping[str, Run]:
        loaded = symcell.load(cell)
        work = Work(loaded, size.steps, size.batch, sized(loaded, size.inputs, size.hidden))
        net, x = Recurrent(cell, size.inputs, size.hidden), padded(size)
        dy = torch.randn(size.steps, size.batch, size.hidden)
        forward = without_gradients(lambda: net(x))
        ours = trained(net, x.clone().requires_grad_(), dy) if measure == "train" else forward
        return {OURS: ours, BARE: emitted(work, measure, numbers(work), target="c")}

    return Case("overhead", f"{cell}, {measure}, {size}", OURS, BARE, 1.05, make)


class Empty(torch.autograd.Function):
    """Nothing, as dearly as PyTorch does it: what a call of an own function costs at least."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return dy * torch.ones_like(x)


EMPTY, PYTORCH = "empty Function", "torch.nn"


def call(cell: str, size: Size, measure: str) -> Case:
    """One call where there is next to nothing to compute."""

    def make() -> Mapping[str, Run]:
        nets = dict(zip((OURS, PYTORCH), both(cell, size), strict=True))
        x, dy = padded(size), torch.randn(size.steps, size.batch, size.hidden)
        if measure == "train":
            leaf = x.clone().requires_grad_()
            empty = trained(_Called(), leaf, torch.ones_like(leaf))
            return {**{name: trained(net, leaf, dy) for name, net in nets.items()}, EMPTY: empty}
        return {name: without_gradients(lambda net=net: net(x)) for name, net in nets.items()}  # type: ignore[misc]

    return Case("call", f"{cell}, {measure}, {size}", OURS, None, {"train": 0.25, "inference": 0.06}[measure], make)


class _Called(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (Empty.apply(x),)


def beside(cell: str, size: Size, how: str, measure: str = "train") -> Case:
    """The module beside PyTorch's; ``how``: 1 layer, 2 layers, bidirectional or packed."""

    def make() -> Mapping[str, Run]:
        layers, directions = 1 + (how == "2 layers"), 1 + (how == "bidirectional")
        nets = both(cell, size, num_layers=layers, bidirectional=directions == 2)
        x = packed(size) if how == "packed" else padded(size).requires_grad_(measure == "train")
        rows = x.data.shape[:-1]
        dy = torch.randn(*rows, size.hidden * directions)
        if measure == "train":
            runs = (trained(net, x, dy) for net in nets)
        else:
            runs = (without_gradients(lambda net=net: net(x)) for net in nets)  # type: ignore[misc]
        return dict(zip((OURS, PYTORCH), runs, strict=True))

    return Case("torch.nn", f"{cell}, {how}, {measure}, {size}", OURS, PYTORCH, 1.0, make)


def lengths(size: Size) -> Tensor:
    """Of the sequences of a batch: from all steps evenly down to a few, half of the steps on average."""
    return torch.linspace(size.steps, 2, size.batch).round().long()


def packed(size: Size) -> Any:
    return pack_padded_sequence(padded(size), lengths(size))


PACKED, UNPACKED = "packed", "unpacked"


def packing(cell: str, size: Size) -> Case:
    """A PackedSequence beside as many valid steps as a batch of sequences of one length."""

    def make() -> Mapping[str, Run]:
        net, valid = Recurrent(cell, size.inputs, size.hidden), int(lengths(size).sum())
        steps = round(valid / size.batch)
        x = torch.randn(steps, size.batch, size.inputs)
        return {
            PACKED: trained(net, packed(size), torch.randn(valid, size.hidden)),
            UNPACKED: trained(net, x, torch.randn(steps, size.batch, size.hidden)),
        }

    return Case("packed", f"{cell}, {size}", PACKED, UNPACKED, 1.2, make)


STEP, CELL = "Recurrent.step", "torch.nn.LSTMCell"


def stream(hidden: int) -> Case:
    """One step of one sequence."""

    def make() -> Mapping[str, Run]:
        net, cell = Recurrent("lstm", hidden, hidden), nn.LSTMCell(hidden, hidden)
        x = torch.randn(1, hidden)
        with torch.no_grad():
            state, its_state = net.step(x)[1], cell(x)
        ours, its = lambda: net.step(x, state), lambda: cell(x, its_state)
        return {STEP: without_gradients(ours), CELL: without_gradients(its)}

    return Case("step", f"lstm, B 1, H {hidden}", STEP, CELL, 1.0, make)


RESETS, NONE = "resets", "no resets"


def resets(cell: str, size: Size) -> Case:
    """An episode ends every fiftieth step or so."""

    def make() -> Mapping[str, Run]:
        net, x = Recurrent(cell, size.inputs, size.hidden), padded(size)
        dy = torch.randn(size.steps, size.batch, size.hidden)
        mask = torch.rand(size.steps, size.batch) < 0.02
        return {RESETS: trained(net, x, dy, resets=mask), NONE: trained(net, x, dy)}

    return Case("resets", f"{cell}, {size}", RESETS, NONE, 1.2, make)


DOUBLE, BACKWARD = "double backward", "backward"


def double(cell: str, size: Size) -> Case:
    """The derivative of the gradient's product with a direction, beside the gradient."""

    def make() -> Mapping[str, Run]:
        net, x = Recurrent(cell, size.inputs, size.hidden), padded(size).requires_grad_()
        leaves: Sequence[Tensor] = [*net.parameters(), x]
        y = net(x)[0]
        dy = torch.randn_like(y).requires_grad_()
        first = torch.autograd.grad(y, leaves, dy, create_graph=True)
        directions = [torch.randn_like(g) for g in first]
        return {
            DOUBLE: lambda: torch.autograd.grad(first, [*leaves, dy], directions, retain_graph=True),
            BACKWARD: lambda: torch.autograd.grad(y, leaves, dy.detach(), retain_graph=True),
        }

    return Case("double backward", f"{cell}, {size}", DOUBLE, BACKWARD, 4.0, make)


def cases(quick: bool) -> Iterator[Case]:
    """All of them, at small sizes for a quick run."""
    middle, tiny = Size(*((32, 8, 64, 64) if quick else (128, 32, 256, 256))), Size(2, 1, 4, 4)
    small = Size(*((16, 8, 32, 32) if quick else (128, 32, 128, 128)))
    for cell in TORCH:
        for measure in ("train", "inference"):
            yield overhead(cell, middle, measure)
            yield call(cell, tiny, measure)
    for cell in TORCH:
        for size in (small, middle):
            for how in ("1 layer", "2 layers", "bidirectional", "packed"):
                yield beside(cell, size, how)
        yield beside(cell, middle, "1 layer", "inference")
    for cell in TORCH:
        yield packing(cell, middle)
        yield resets(cell, middle)
        yield double(cell, small)
    yield stream(128)
