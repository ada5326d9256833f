"""What a study of gradient flow finds, as typed data: plain numbers, so that it can be printed, plotted and written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """Norms over the lags of a :class:`Stage`: the median over samples and directions, and the middle 80 %."""

    middle: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Singular:
    """The singular values of ∂s[T]/∂s[T-lag], the product of ``lag`` one-step Jacobians, from the largest down."""

    lag: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class Claim:
    """What the derivation says of a state's own way through time, beside what is measured.

    ``state``; ``kind``: ``gated`` where the state comes back unit by unit (additive, scaled, gated or elementwise),
    then the gradient along that way alone is the product over time of ``diagonal``, the diagonal of ∂s[t]/∂s[t-1]
    without its ways through matrices; ``geometric`` where it comes back through matrices only, then the gradient grows
    or decays by the larger of a stage's ``radius`` and ``spread`` a step. ``word``: the kind of the way.

    ``number``, ``formula``, ``tex``: the block in the derivation, its number there, as text and in LaTeX.
    ``predicted``: the norm over the lags that the claim predicts, from the measured one at lag 1 on. ``rate``,
    ``measured``: both as a factor a step.
    """

    state: str
    kind: str
    word: str
    diagonal: str
    number: int | None
    formula: str
    tex: str
    predicted: tuple[float, ...]
    rate: float
    measured: float


@dataclass(frozen=True)
class Stage:
    """A cell at one set of parameters.

    ``name``: ``at initialisation``, ``trained on …`` or the file. ``states``: by name the norms of ∂L/∂s[T-lag], the
    loss L being a random direction of the output at step T; ``whole``: of all states together. ``memory``: the first
    lag from which on the whole gradient stays below :data:`symcell.flow.gradients.KEPT` of its largest median (None:
    it does not within T steps). ``rate``: its factor a step. ``radius``: the spectral radius of the mean one-step
    Jacobian. ``spread``: the root of that of its mean squares, entry by entry, which is what is left where signs and
    saturation cancel in the mean. ``loss``: of the training, before and after.
    """

    name: str
    lags: tuple[int, ...]
    states: dict[str, Curve]
    whole: Curve
    singular: tuple[Singular, ...]
    memory: int | None
    rate: float
    radius: float
    spread: float
    claims: tuple[Claim, ...]
    loss: tuple[float, float] | None = None


@dataclass(frozen=True)
class Setting:
    """One value of a sweep and what it gives; ``predicted``: the rate of the claim on the sweep's state;
    ``norms``: the medians of the whole gradient over the lag; the others as in :class:`Stage`."""

    value: float
    rate: float
    predicted: float
    radius: float
    spread: float
    memory: int | None
    norms: tuple[float, ...]


@dataclass(frozen=True)
class Sweep:
    """``kind``: ``gain`` (the recurrent matrices are scaled) or ``bias`` (it is added to the gates' biases).

    ``parameters``: those that change, a minus before what is lowered as the value rises. ``state``: whose claim the
    settings' predictions are.
    """

    kind: str
    parameters: tuple[str, ...]
    state: str
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Cost:
    """``parameters``: how many numbers, ``formula`` in the sizes. ``seconds``: a forward and a backward sweep of the
    generated NumPy module (median). ``bytes``: by how much memory grows meanwhile. ``steps``, ``batch``: of it."""

    parameters: int
    formula: str
    seconds: float
    bytes: int
    steps: int
    batch: int


@dataclass(frozen=True)
class CellFlow:
    """Everything about one cell."""

    name: str
    title: str
    sizes: dict[str, int]
    stages: tuple[Stage, ...]
    sweeps: tuple[Sweep, ...]
    cost: Cost
