"""Gradients over time by the derived one-step Jacobian: norms over the lag, products, rates and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symcell.flow.model import Curve, Singular
from symcell.flow.subject import Subject
from symcell.jacobian.numbers import Layout, Numbers
from symcell.jacobian.values import Values

Array = Any
DIRECTIONS = 8
"""How many random directions of the output each sample's loss takes, one by one."""
KEPT = 0.01
"""A gradient is remembered while its norm is at least this part of its largest."""
PRODUCTS = 2
"""Samples whose products of Jacobians are decomposed."""
FLOOR = 1e-290
"""Norms below this have lost their digits."""


@dataclass(frozen=True, eq=False)
class Flow:
    """``deltas``: ∂L/∂s[T-lag] of the whole state at lags 1, 2, …, T, (T, B, directions, N).

    ``mean``, ``square``: of the one-step Jacobian, and of its squares entry by entry, over steps and samples, (N, N).
    ``singular``: of the products of Jacobians, each the median over :data:`PRODUCTS` samples.
    """

    layout: Layout
    values: Values
    deltas: Array
    mean: Array
    square: Array
    singular: tuple[Singular, ...]

    def norms(self, state: str | None = None) -> Array:
        """Of one state, or of the whole: (T, samples and directions)."""
        part = self.deltas if state is None else self.deltas[..., self.layout.of(state)]
        return norms(part)

    @property
    def radius(self) -> float:
        """The spectral radius of the mean one-step Jacobian."""
        return _radius(self.mean)

    @property
    def spread(self) -> float:
        """The root of the spectral radius of the mean squares: the factor a step of a root mean square where entries
        change from step to step independently of each other, which a mean does not see."""
        return float(np.sqrt(_radius(self.square)))

    @property
    def geometric(self) -> float:
        """The factor a step that products of such Jacobians grow or decay by: at least the radius, and at least the
        spread."""
        return max(self.radius, self.spread)


def _radius(matrix: Array) -> float:
    """The largest absolute eigenvalue."""
    if not np.isfinite(matrix).all():
        return float("inf")
    return float(np.abs(np.linalg.eigvals(matrix)).max(initial=0))


def flow_of(subject: Subject, x: Mapping[str, Array], seed: int, *, products: bool = True) -> Flow:
    """Send random directions of the output at the last step back through every step.

    ``x``: inputs (T, B, *shape) by name. ``products``: with the singular values, which take longer.
    """
    values = subject.run(x)
    numbers = Numbers(subject.step, values)
    total, steps = numbers.layout.total, values.steps
    deltas = np.empty((steps, values.batch, DIRECTIONS, total))
    mean, square, singular = np.zeros((total, total)), np.zeros((total, total)), []
    product = np.eye(total)[None]
    delta = _first(subject, numbers, seed)
    wanted = marks(steps) if products else ()
    for lag in range(1, steps + 1):
        jacobian = numbers.jacobian(steps - lag)
        mean += jacobian.mean(axis=0) / steps
        square += (jacobian**2).mean(axis=0) / steps
        delta = delta if lag == 1 else delta @ jacobian
        deltas[lag - 1] = delta
        product = product @ jacobian[:PRODUCTS] if products else product
        if lag in wanted and np.isfinite(product).all():
            found = np.median(np.linalg.svd(product, compute_uv=False), axis=0)
            singular.append(Singular(lag, tuple(map(float, found))))
    if not all(np.isfinite(array).all() for array in values.varying.values()):
        deltas[:], mean[:], square[:] = np.inf, np.inf, np.inf  # the states themselves have overflowed
    return Flow(numbers.layout, values, deltas, mean, square, tuple(singular))


def _first(subject: Subject, numbers: Numbers, seed: int) -> Array:
    """∂L/∂s[T-1] for random unit directions of the output at step T, (B, directions, N)."""
    values, output = numbers.values, subject.cell.output
    rng = np.random.default_rng([seed, 2])
    directions = rng.normal(size=(values.batch, DIRECTIONS, int(np.prod(values.shape(output)))))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    delta = np.zeros((values.batch, DIRECTIONS, numbers.layout.total))
    for source in subject.step.sources:
        if (output, source) in subject.step.blocks:
            block = numbers.block(output, source, values.steps - 1)
            delta[..., numbers.layout.of(source.signal, source.lag - 1)] = directions @ block
    return delta


def norms(deltas: Array) -> Array:
    """(T, B, directions, units) → (T, B directions)."""
    return np.linalg.norm(deltas, axis=-1).reshape(len(deltas), -1)


def curve(found: Array) -> Curve:
    """The median and the middle 80 % at each lag; what has overflowed is infinite."""
    known = np.where(np.isnan(found), np.inf, found)
    low, middle, high = np.quantile(known, (0.1, 0.5, 0.9), axis=1, method="nearest")
    return Curve(*(tuple(map(float, part)) for part in (middle, low, high)))


def rate(middle: Sequence[float]) -> float:
    """The factor a step of norms at lags 1, 2, …: fitted to their logarithms, the first quarter left out, where what
    decays fast still shows. Zero where nothing arrives, infinite where all overflows."""
    lags = np.arange(1, len(middle) + 1)
    known = np.array(middle)
    good = np.isfinite(known) & (known > FLOOR)
    if good.sum() < 2:
        return 0.0 if np.isfinite(known).all() else float("inf")
    last = int(lags[good].max())
    late = good & (lags >= max(1, last // 4))
    slope = np.polyfit(lags[late], np.log(known[late]), 1)[0] if late.sum() > 1 else -np.inf
    return float(np.exp(slope))


def memory(middle: Sequence[float]) -> int | None:
    """The first lag from which on the norm stays below :data:`KEPT` of its largest; None where the last is not."""
    known = np.nan_to_num(np.array(middle), nan=np.inf)
    above = np.flatnonzero(known >= KEPT * known.max()) if known.max() > 0 else np.array([], int)
    if not len(above):
        return 1
    return None if above[-1] + 1 >= len(known) else int(above[-1]) + 2


def marks(steps: int) -> tuple[int, ...]:
    """1, 2, 5, 10, 20, 50, … up to the number of steps, which is one too."""
    found = [k * 10**e for e in range(7) for k in (1, 2, 5)]
    return (*(m for m in found if m < steps), steps)
