"""One forward and backward pass as data: what goes in (a case) and what comes out (a result)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from symcell.cell import Cell, Shape

Array = Any


@dataclass(frozen=True, eq=False)
class Case:
    """Inputs of one forward and backward pass, as arrays by name: x (T, B, *shape), states (k, B, *shape), k = 1 too.

    ``arrays``: constant arrays, which nothing is differentiated by. ``lengths``: (B,) integers where the sequences end
    early. ``dy`` is the gradient of the loss by y, ``dlast`` that by the last states.
    """

    sizes: Mapping[str, int]
    params: Mapping[str, Array]
    x: Mapping[str, Array]
    state: Mapping[str, Array]
    dy: Array
    dlast: Mapping[str, Array]
    arrays: Mapping[str, Array] = field(default_factory=dict)
    lengths: Array | None = None

    @property
    def steps(self) -> int:
        return len(self.dy)

    @property
    def batch(self) -> int:
        return self.dy.shape[1]

    def tensors(self) -> dict[str, Array]:
        """What can be differentiated by, under the names of its gradients: ``dW_i``, ``dx``, ``dh[0]``."""
        return _named(self.params, self.x, self.state)

    def moved(self, name: str, by: Array) -> Case:
        """The case with ``by`` added to the tensor that :meth:`tensors` calls ``name``."""
        moved = {**self.tensors(), name: self.tensors()[name] + by}
        params, x = ({k: moved[f"d{k}"] for k in group} for group in (self.params, self.x))
        return replace(self, params=params, x=x, state={k: moved[f"d{k}[0]"] for k in self.state})

    def alone(self, sample: int) -> Case:
        """One sequence of the batch by itself, cut to its length."""
        steps = self.steps if self.lengths is None else int(self.lengths[sample])
        one = slice(sample, sample + 1)
        return replace(
            self,
            x={k: v[:steps, one] for k, v in self.x.items()},
            state={k: v[:, one] for k, v in self.state.items()},
            dy=self.dy[:steps, one],
            dlast={k: v[:, one] for k, v in self.dlast.items()},
            lengths=None,
        )


def _named(params: Mapping[str, Array], x: Mapping[str, Array], state: Mapping[str, Array]) -> dict[str, Array]:
    named = {**params, **x, **{f"{k}[0]": v for k, v in state.items()}}
    return {f"d{k}": v for k, v in named.items()}


@dataclass(frozen=True, eq=False)
class Result:
    """What a pass gives: y (T, B, *shape), the last states (k, B, *shape), and the gradients by parameters, inputs and
    initial states."""

    y: Array
    last: Mapping[str, Array]
    params: Mapping[str, Array]
    x: Mapping[str, Array]
    state: Mapping[str, Array]

    def values(self) -> dict[str, Array]:
        """What the forward pass gives: ``y``, ``last h``."""
        return {"y": self.y, **{f"last {k}": v for k, v in self.last.items()}}

    def gradients(self) -> dict[str, Array]:
        """What the backward pass gives: ``dW_i``, ``dx``, ``dh[0]``."""
        return _named(self.params, self.x, self.state)

    def tensors(self) -> dict[str, Array]:
        """All arrays by name."""
        return {**self.values(), **self.gradients()}


def loss(case: Case, y: Array, last: Mapping[str, Array]) -> Any:
    """The number whose gradients a case asks for: ⟨dy, y⟩ + Σ ⟨dlast, last⟩."""
    return (case.dy * y).sum() + sum((v * last[k]).sum() for k, v in case.dlast.items())


def each_alone(case: Case, run: Callable[[Case], Result]) -> Result:
    """What ``lengths`` means: every sequence run by itself, the parameters' gradients added up."""
    results = [run(case.alone(k)) for k in range(case.batch)]
    first = results[0]

    def padded(parts: list[Array]) -> Array:
        whole = np.zeros((case.steps, case.batch, *parts[0].shape[2:]), parts[0].dtype)
        for k, part in enumerate(parts):
            whole[: len(part), k : k + 1] = part
        return whole

    def joined(of: Callable[[Result], Mapping[str, Array]]) -> dict[str, Array]:
        return {name: np.concatenate([of(r)[name] for r in results], axis=1) for name in of(first)}

    return Result(
        padded([r.y for r in results]),
        joined(lambda r: r.last),
        {p: sum((r.params[p] for r in results[1:]), first.params[p]) for p in first.params},
        {x: padded([r.x[x] for r in results]) for x in first.x},
        joined(lambda r: r.state),
    )


def state_shape(cell: Cell, name: str, batch: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """(k, B, *shape) of a state of k lags."""
    return (cell.states[name], batch, *lengths_of(cell.shape_of(name), sizes))


def lengths_of(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A shape in numbers."""
    return tuple(size.value(sizes) for size in shape)
