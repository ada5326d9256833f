"""The study itself: each cell at its initial parameters, at others, and over the gain and the bias of its gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from symcell.cell import Cell
from symcell.flow.claims import Claims
from symcell.flow.cost import cost_of
from symcell.flow.gradients import Flow, curve, flow_of, memory, rate
from symcell.flow.model import CellFlow, Stage
from symcell.flow.report import Report
from symcell.flow.subject import Subject, random_inputs, subject
from symcell.flow.sweeps import BIASES, GAINS, bias_sweep, gain_sweep
from symcell.flow.tasks import TASKS
from symcell.flow.training import UPDATES, task_inputs, trained
from symcell.language import as_cell

Array = Any
Progress = Callable[[str, int, int], None]
BATCH = 4


def flow(
    cells: Sequence[Cell | str | Path] | Cell | str | Path,
    *,
    steps: int = 200,
    batch: int = BATCH,
    sizes: Mapping[str, int] | None = None,
    params: Mapping[str, Mapping[str, Array]] | None = None,
    train: str | None = None,
    updates: int = UPDATES,
    sweeps: bool = True,
    seed: int = 0,
    progress: Progress = lambda name, done, total: None,
) -> Report:
    """How gradients flow through cells over ``steps`` steps, by their derived one-step Jacobians.

    ``batch``: sequences of random inputs. ``sizes``: such as ``{"H": 32}``, where not 64 (8 for a cell whose state is a
    matrix). ``params``: by a cell's name its parameters (and constant arrays) by name, looked at beside the initial
    ones. ``train``: ``adding`` or ``copy``, a short training, looked at afterwards on inputs of that task.
    ``sweeps``: over the recurrent gain and the gates' biases too.

    Raises CellError for what is no cell, ValueError for numbers below those that make sense, an unknown task or size,
    parameters that do not fit, and cells that cannot be trained.
    """
    found = [as_cell(c) for c in ([cells] if isinstance(cells, Cell | str | Path) else cells)]
    _checked(found, steps, batch, sizes or {}, params or {}, train, updates)
    per_cell = 2 + (train is not None) + (len(GAINS) + len(BIASES)) * sweeps
    done = 0

    def tell(name: str) -> None:
        nonlocal done
        done += 1
        progress(name, done, per_cell * len(found))

    out = []
    for k, cell in enumerate(found):
        held = (params or {}).get(cell.name)
        own = {n: v for n, v in (sizes or {}).items() if n in cell.sizes}
        one = _Study(cell, steps, batch, own, held, seed, partial(tell, cell.name))
        with np.errstate(over="ignore", invalid="ignore"):  # what explodes is infinite
            out.append(one.result(train, updates, sweeps))
        done = per_cell * (k + 1)
    return Report(tuple(out), steps, batch, seed)


def _checked(cells: Sequence[Cell], steps: int, batch: int, sizes: Mapping[str, int], params: Mapping[str, Any],
             train: str | None, updates: int) -> None:  # fmt: skip
    if not cells:
        raise ValueError("cells: expected one at least, got none")
    for name, value, least in (("steps", steps, 2), ("batch", batch, 1), ("updates", updates, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")
    if train is not None and train not in TASKS:
        raise ValueError(f"train: expected {' or '.join(TASKS)}, got {train!r}")
    names = [cell.name for cell in cells]
    for name in params:
        if name not in names:
            raise ValueError(f"params: expected the parameters of {', '.join(names)}, got those of {name}")
    known = {name for cell in cells for name in cell.sizes}
    stray = [name for name in sizes if name not in known]
    if stray:
        raise ValueError(f"sizes: no size {', '.join(stray)}: there are {', '.join(sorted(known)) or 'none'}")
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise ValueError(f"cells: {twice} is there twice")
    for cell in cells:
        if not any(s in cell.signals for s in cell.states):
            raise ValueError(f"{cell.name}: it has no state that it computes itself: nothing flows through time")


class _Study:
    """One cell."""

    def __init__(self, cell: Cell, steps: int, batch: int, sizes: Mapping[str, int],
                 held: Mapping[str, Array] | None, seed: int, tell: Callable[[], None]) -> None:  # fmt: skip
        self.steps, self.batch, self.seed, self.tell = steps, batch, seed, tell
        self.given = None if held is None else subject(cell, sizes, seed, held)
        if self.given is None:
            self.initial = subject(cell, sizes, seed)
        else:
            fresh = None if cell.arrays else subject(cell, self.given.sizes, seed)
            self.initial = fresh or self.given
        self.claims = Claims(self.initial)

    def result(self, train: str | None, updates: int, sweeps: bool) -> CellFlow:
        one = self.initial
        x = random_inputs(one.graph, one.cell, one.sizes, self.steps, self.batch, self.seed)
        stages = [] if self.initial is self.given else [self.stage("at initialisation", one, x)]
        if self.given is not None:
            stages.append(self.stage("with the parameters given", self.given, x))
        if train is not None:
            stages.append(self.after(train, updates))
        found = [make(one, x, self.seed, self.tell) for make in (gain_sweep, bias_sweep)] if sweeps else []
        self.tell()
        return CellFlow(one.cell.name, one.cell.title, dict(one.sizes), tuple(stages),
                        tuple(s for s in found if s is not None), cost_of(one))  # fmt: skip

    def after(self, name: str, updates: int) -> Stage:
        """The cell after a training, on inputs of its task."""
        task = TASKS[name]
        learnt, losses = trained(self.given or self.initial, task, self.seed, updates=updates)
        x = task_inputs(learnt, task, self.steps, self.batch, self.seed)
        return self.stage(f"trained on {name}", learnt, x, losses)

    def stage(self, name: str, one: Subject, x: Mapping[str, Array], loss: tuple[float, float] | None = None) -> Stage:
        flow = flow_of(one, x, self.seed)
        self.tell()
        whole = curve(flow.norms())
        return Stage(
            name=name,
            lags=tuple(range(1, self.steps + 1)),
            states={s: curve(flow.norms(s)) for s in _states(flow)},
            whole=whole,
            singular=flow.singular,
            memory=memory(whole.middle),
            rate=rate(whole.middle),
            radius=flow.radius,
            spread=flow.spread,
            claims=tuple(self.claims.of(flow)),
            loss=loss,
        )


def _states(flow: Flow) -> list[str]:
    return [state for state, lag in flow.layout.start if lag == 0]
