"""Who is measured on a GPU: symcell's CuPy modules, cuDNN through torch.nn, and PyTorch loops over the equations."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import symcell
from symcell.bench.work import Work, numbers
from symcell.cell import Cell
from symcell.verify import torch_cells
from symcell.verify.torch_loop import Loop

Tensor = Any

STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    name: {"strategy": name} for name in ("auto", "plain", "block", "persistent", "graph")
}
"""How an emitted CuPy module may run its loop over time, each with the options of :func:`symcell.compile`: the one
place that says which there are. plain: a launch for every stage of every step; block, persistent: one launch for all of
them, blocks alone with their samples or sharing units; graph: launches of such blocks, many at once; auto: which of
these the module takes by itself."""

PRECISIONS = {"float32": ("float32", False), "tf32": ("float32", True), "float16": ("float16", False),
              "bfloat16": ("bfloat16", False), "float64": ("float64", False)}  # fmt: skip
"""By what it is called: the type of number, and whether products may round it to TF32."""
CUDNN = ("float32", "tf32", "float16", "bfloat16")
"""The precisions in which torch.nn is measured."""

LOOP, COMPILED = "torch loop", "torch.compile"


@dataclass(frozen=True)
class Runs:
    """What is measured of a contender, and what it found.

    ``forward``: inference, nothing is kept; gives y. ``train``: forward and backward, all gradients; gives what
    ``found`` turns into tensors by name: ``y``, ``d NAME`` for parameters, ``d NAME`` for inputs.
    """

    forward: Callable[[], Any]
    train: Callable[[], Any]
    found: Callable[[Any], dict[str, Tensor]]


@dataclass(frozen=True)
class Contender:
    """A name and how it runs on given numbers."""

    name: str
    make: Callable[[Work, Given], Runs]


@dataclass(frozen=True, eq=False)
class Given:
    """Float32 tensors on the device, by name: parameters, constant arrays, inputs (T, B, *shape), the gradient by y."""

    params: Mapping[str, Tensor]
    arrays: Mapping[str, Tensor]
    x: Mapping[str, Tensor]
    dy: Tensor


def given(work: Work, place: str = "cuda") -> Given:
    """Numbers for a work, the same each time; sequences are drawn on the device."""
    import torch

    few = numbers(work.over(1, 1))
    generator = torch.Generator(place).manual_seed(0)

    def drawn(like: Any) -> Tensor:
        return torch.randn((work.steps, work.batch, *like.shape[2:]), generator=generator, device=place)

    params, arrays = ({k: torch.tensor(v, device=place) for k, v in g.items()} for g in (few.params, few.arrays))
    return Given(params, arrays, {k: drawn(v) for k, v in few.x.items()}, drawn(few.dy))


def contenders_of(
    cell: Cell, *, loop: bool, ways: Sequence[tuple[str, str]] = (("auto", "float32"),)
) -> list[Contender]:
    """All for a cell: symcell's by each of ``ways``, a strategy and a precision, then PyTorch's."""
    found = [
        Contender(emitted_name(*way), functools.partial(emitted, strategy=way[0], precision=way[1])) for way in ways
    ]
    if torch_cells.recognise(cell):
        kinds = {name: PRECISIONS[name] for name in CUDNN}
        found += [
            Contender(f"torch.nn {name}", functools.partial(torch_module, dtype=dtype, tf32=tf32))
            for name, (dtype, tf32) in kinds.items()
        ]
    return [*found, *([Contender(LOOP, torch_loop)] if loop else [])]


def emitted_name(strategy: str, precision: str) -> str:
    return f"symcell {strategy} {precision}"


@functools.lru_cache(maxsize=32)
def module(cell: Cell, strategy: str, tf32: bool = False) -> types.ModuleType:
    """The CuPy module of a cell. Raises what ``symcell.compile`` raises."""
    made = symcell.compile(cell, target="cupy", **STRATEGIES[strategy])
    made.TF32 = tf32  # type: ignore[attr-defined]
    return made


def emitted(work: Work, given: Given, *, strategy: str, precision: str) -> Runs:
    """A CuPy module; it shares the inputs' memory with PyTorch where the types allow."""
    import cupy as cp
    import torch

    dtype, tf32 = PRECISIONS[precision]
    made = module(work.cell, strategy, tf32)
    send = functools.partial(_cupy, kind=getattr(torch, dtype))
    params = made.init_params(dtype=dtype, **work.sizes, **{k: send(v) for k, v in given.arrays.items()})
    for name, value in given.params.items():
        params[name] = send(value)
    x = {name: send(value) for name, value in given.x.items()}
    dy, one = send(given.dy), x if len(x) > 1 else next(iter(x.values()))

    def train() -> Any:
        y, _, tape = made.forward(params, one)
        return y, made.backward(params, tape, dy)

    def found(result: Any) -> dict[str, Tensor]:
        y, grads = result
        dx = grads.x if len(x) > 1 else {next(iter(x)): grads.x}
        several = {"y": y, **{f"d {k}": v for k, v in (*grads.params.items(), *dx.items()) if k not in given.arrays}}
        return {k: torch.from_dlpack(cp.ascontiguousarray(v)) for k, v in several.items() if v is not None}

    return Runs(lambda: made.forward(params, one, keep_tape=False)[0], train, found)


def _cupy(tensor: Tensor, kind: Tensor) -> Any:
    import cupy as cp

    return cp.from_dlpack(tensor.to(kind).contiguous())


_now: list[bool] = []


def use_tf32(wanted: bool) -> None:
    """Whether PyTorch may compute float32 products in TF32. By the older switches, which keep the newer ones in step;
    the other way round PyTorch complains of a mixture."""
    import torch

    if _now != [wanted]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.backends.cuda.matmul.allow_tf32 = wanted
            torch.backends.cudnn.allow_tf32 = wanted
        _now[:] = [wanted]


def torch_module(work: Work, given: Given, *, dtype: str, tf32: bool = False) -> Runs:
    """PyTorch's own module: cuDNN's kernels on a GPU."""
    import torch

    known = torch_cells.recognise(work.cell)
    if known is None:
        raise ValueError(f"PyTorch has no module that is {work.cell.name}")
    kind = getattr(torch, dtype)
    net = torch_cells.module(known, work.sizes, kind).to(given.dy.device)
    net.load_state_dict(torch_cells.stacked(given.params, known))
    ((x_name, x),) = given.x.items()
    x, dy = x.to(kind).detach().requires_grad_(), given.dy.to(kind)

    def found(y: Tensor) -> dict[str, Tensor]:
        several = {"y": y.detach(), f"d {x_name}": x.grad}
        return several | {f"d {name}": gradient for name, gradient in torch_cells.gradients(net, known).items()}

    return _torch_runs(lambda: net(x)[0], [*net.parameters(), x], dy, found, tf32)


def torch_loop(work: Work, given: Given, *, dtype: str = "float32", compiled: bool = False) -> Runs:
    """A Python loop through the cell's equations; ``compiled``: its step by torch.compile."""
    import torch

    kind, loop = getattr(torch, dtype), Loop(work.cell, work.sizes, dtype)
    if compiled:
        loop.step = torch.compile(loop.step)
    params, x = ({k: v.to(kind).detach().requires_grad_() for k, v in g.items()} for g in (given.params, given.x))
    fixed = {**params, **{k: v.to(kind) for k, v in given.arrays.items()}}
    dy, cell = given.dy.to(kind), work.cell

    def start(name: str, depth: int) -> Tensor:
        shape = (depth, work.batch, *(size.value(work.sizes) for size in cell.shape_of(name)))
        learned = cell.initial.get(name)
        return fixed[learned].expand(shape) if learned else torch.zeros(shape, dtype=kind, device=dy.device)

    def forward() -> Tensor:
        return torch.stack(loop.sequence(fixed, x, {name: start(name, k) for name, k in cell.states.items()})[0])

    def found(y: Tensor) -> dict[str, Tensor]:
        return {"y": y.detach(), **{f"d {k}": v.grad for k, v in (*params.items(), *x.items()) if v.grad is not None}}

    return _torch_runs(forward, [*params.values(), *x.values()], dy, found, False)


def _torch_runs(
    forward: Callable[[], Tensor],
    leaves: Sequence[Tensor],
    dy: Tensor,
    found: Callable[[Tensor], dict[str, Tensor]],
    tf32: bool,
) -> Runs:
    import torch

    def inference() -> Tensor:
        use_tf32(tf32)
        with torch.inference_mode():
            return forward()

    def train() -> Tensor:
        use_tf32(tf32)
        for leaf in leaves:
            leaf.grad = None
        y = forward()
        y.backward(dy)
        return y

    return Runs(inference, train, found)


def reference(work: Work, given: Given) -> dict[str, Tensor]:
    """The same in float64, by PyTorch: its own module where it has one, else a loop."""
    make = torch_module if torch_cells.recognise(work.cell) else torch_loop
    runs = make(work, given, dtype="float64")
    return runs.found(runs.train())


def apart(found: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> dict[str, float]:
    """‖a − b‖ / ‖b‖ of y, and of the gradient that is farthest off."""

    def off(name: str) -> float:
        a, b = found[name].reshape(exact[name].shape).to(exact[name].dtype), exact[name]
        return float((a - b).norm() / b.norm())

    gradients = {name: off(name) for name in exact if name != "y" and name in found}
    worst = max(gradients, key=lambda name: (gradients[name] != gradients[name], gradients[name]), default="")
    return {"y": off("y"), **({worst: gradients[worst]} if worst else {})}
