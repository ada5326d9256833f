"""Who is measured: emitted modules, PyTorch's own module where one is the same cell, and a loop over its equations.

Each makes, of the same numbers, what one run is: a train step (forward and backward, all gradients), inference, or one
step of a stream. What a run returns is the output, which tests compare.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from symcell.bench.products import products_of
from symcell.bench.work import Numbers, Work
from symcell.cell import Cell
from symcell.pipeline import TARGETS, compile
from symcell.verify import pytorch, torch_cells
from symcell.verify.torch_loop import Loop

Run = Callable[[], Any]
Make = Callable[[Work, str, Numbers], Run]

MODULE, LOOP, COMPILED, PRODUCTS = "torch.nn", "torch loop", "torch.compile", "products"
"""What contenders besides the targets are called."""

CPU_TARGETS = tuple(target for target in TARGETS if target != "cupy")


@dataclass(frozen=True)
class Contender:
    """``make``: of a work, one of the measures (``train``, ``inference``, ``step``) and numbers, what one run is; it
    pickles, since memory is measured in a process of its own."""

    name: str
    make: Make


def contenders_of(cell: Cell, targets: Sequence[str] = CPU_TARGETS, *, compiled: bool = False) -> list[Contender]:
    """All that can run here; ``compiled``: ``torch.compile`` of the loop too, which unrolls it and takes minutes."""
    found = [Contender(target, functools.partial(emitted, target=target)) for target in targets]
    if not pytorch.missing():
        if torch_cells.recognise(cell):
            found.append(Contender(MODULE, torch_module))
        found.append(Contender(LOOP, torch_loop))
        if compiled:
            found.append(Contender(COMPILED, functools.partial(torch_loop, compiled=True)))
    return [*found, Contender(PRODUCTS, bare_products)]


@functools.lru_cache(maxsize=8)
def _module(cell: Cell, target: str) -> types.ModuleType:
    return compile(cell, target)


def emitted(work: Work, measure: str, numbers: Numbers, *, target: str) -> Run:
    """An emitted module. Raises what its target raises where it cannot run."""
    module = _module(work.cell, target)
    params = module.init_params(**work.sizes, **numbers.arrays)
    for name, value in numbers.params.items():
        params[name] = value
    x = _given(numbers.x)

    def train() -> Any:
        y, _, tape = module.forward(params, x)
        module.backward(params, tape, numbers.dy)
        return y

    if measure == "train":
        return train
    if measure == "inference":
        return lambda: module.forward(params, x, keep_tape=False)[0]
    x_t = _given({name: value[0] for name, value in numbers.x.items()})
    state = {name: value if len(value) > 1 else value[0] for name, value in numbers.state.items()}
    return lambda: module.step(params, x_t, state)[0]


def _given(x: Mapping[str, Any]) -> Any:
    """Inputs as emitted modules take them: by name where there are several."""
    return x if len(x) > 1 else next(iter(x.values()))


def bare_products(work: Work, measure: str, numbers: Numbers) -> Run:
    """The matrix products alone."""
    runs = [product.runner(work) for product in products_of(work, measure)]

    def run() -> None:
        for product in runs:
            product()

    return run


def torch_module(work: Work, measure: str, numbers: Numbers) -> Run:
    """PyTorch's own module, with the cell's parameters."""
    import torch

    known = torch_cells.recognise(work.cell)
    if known is None:
        raise ValueError(f"PyTorch has no module that is {work.cell.name}")
    tensors = _Tensors(numbers)
    net = torch_cells.module(known, work.sizes, torch.float32)
    net.load_state_dict(torch_cells.stacked(tensors.params, known))
    (x,) = tensors.x.values()
    if measure == "train":
        return _train(lambda: net(x)[0], [*net.parameters(), x], tensors.dy)
    if measure == "inference":
        return _without_gradients(lambda: net(x)[0])
    state = torch_cells.start(tensors.state, known)
    return _without_gradients(lambda: net(x[:1], state)[0][0])


def torch_loop(work: Work, measure: str, numbers: Numbers, *, compiled: bool = False) -> Run:
    """A Python loop through the cell's equations; ``compiled``: the loop, or the step of a stream, compiled whole."""
    import torch

    loop = Loop(work.cell, work.sizes, "float32")
    tensors = _Tensors(numbers)
    fixed = {**tensors.params, **tensors.arrays}
    learned = work.cell.initial

    def sequence(fixed: Any, x: Any, given: Any) -> Any:
        state = {
            name: fixed[learned[name]].expand(value.shape) if name in learned else torch.zeros_like(value)
            for name, value in given.items()
        }
        return torch.stack(loop.sequence(fixed, x, state)[0])

    if measure == "step":
        step = torch.compile(loop.step) if compiled else loop.step
        once, given, before = loop.once(fixed), tuple(v[0] for v in tensors.x.values()), loop.before(tensors.state)
        return _without_gradients(lambda: step(once, given, before)[0])
    if compiled:
        sequence = torch.compile(sequence)
    if measure == "train":
        leaves = [*tensors.params.values(), *tensors.x.values()]
        return _train(lambda: sequence(fixed, tensors.x, tensors.state), leaves, tensors.dy)
    return _without_gradients(lambda: sequence(fixed, tensors.x, tensors.state))


class _Tensors:
    """The numbers as tensors; parameters and inputs collect gradients."""

    def __init__(self, numbers: Numbers) -> None:
        import torch

        self.params = {k: torch.tensor(v).requires_grad_() for k, v in numbers.params.items()}
        self.x = {k: torch.tensor(v).requires_grad_() for k, v in numbers.x.items()}
        self.arrays, self.state = (
            {k: torch.tensor(v) for k, v in group.items()} for group in (numbers.arrays, numbers.state)
        )
        self.dy = torch.tensor(numbers.dy)


def _train(forward: Run, leaves: Sequence[Any], dy: Any) -> Run:
    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        y = forward()
        y.backward(dy)
        return y

    return run


def _without_gradients(forward: Run) -> Run:
    import torch

    def run() -> Any:
        with torch.inference_mode():
            return forward()

    return run
