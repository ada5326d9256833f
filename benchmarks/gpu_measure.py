"""One case on a GPU: every contender right first, then all of them in turn."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gpu_contenders
from gpu_cases import Case
from gpu_contenders import COMPILED, Contender, Given, Runs, apart, given, reference, torch_loop, use_tf32
from gpu_timing import Pace, summary, timed
from within import within

MEASURES = ("forward", "train")
"""forward: inference, nothing is kept. train: forward and backward, all gradients."""


@dataclass
class Row:
    """A case: milliseconds of each measure and contender (``median``, ``least``, ``most``), how far each is off, and
    why some are missing."""

    case: Case
    times: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    errors: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        case = self.case
        return {"cell": case.cell, "T": case.steps, "B": case.batch, "D": case.inputs, "H": case.hidden,
                **rounded({"times": self.times, "errors": self.errors}), "failed": self.failed}  # fmt: skip


def rounded(value: Any) -> Any:
    """Four digits of every number: the rest is noise."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def why(problem: BaseException) -> str:
    """An error in one line."""
    return f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"


def measured(case: Case, contenders: Sequence[Contender], pace: Pace) -> Row:
    """All contenders at a case; one that fails is left out, and the row says why."""
    row, runs = Row(case), dict[str, Runs]()
    work = case.work()
    numbers = given(work)
    exact = _tried("float64 reference", row, lambda: reference(work, numbers))
    for contender in contenders:
        made = _tried(contender.name, row, partial(_checked, contender, work, numbers, exact, row))
        if made is not None:
            runs[contender.name] = made
    exact = None
    tidied()
    for measure in MEASURES:
        samples = timed({name: getattr(made, measure) for name, made in runs.items()}, pace) if runs else {}
        row.times[measure] = {name: summary(several) for name, several in samples.items()}
    use_tf32(False)
    runs.clear()
    tidied()
    return row


def _tried(name: str, row: Row, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as problem:
        row.failed[name] = why(problem)
        return None


def _checked(contender: Contender, work: Any, numbers: Given, exact: Any, row: Row) -> Runs:
    """A contender that has run both measures once, and how far its train step is off."""
    runs = contender.make(work, numbers)
    runs.forward()
    found = runs.found(runs.train())
    if exact is not None:
        row.errors[contender.name] = apart(found, exact)
    return runs


def tidied() -> None:
    """Give back what both libraries keep of the device's memory."""
    import cupy as cp
    import torch

    gc.collect()
    cp.get_default_memory_pool().free_all_blocks()
    torch.cuda.empty_cache()


def compiled(case: Case, pace: Pace) -> Row:
    """A PyTorch loop whose step torch.compile has compiled, in this process."""
    return measured(case, [Contender(COMPILED, lambda w, n: torch_loop(w, n, compiled=True))], pace)


def compiled_elsewhere(case: Case, seconds: float) -> Row:
    """The same in a process of its own, which may take so long; else the row says that it did not end."""
    row = Row(case)
    sizes = [str(n) for n in (case.steps, case.batch, case.inputs, case.hidden)]
    command = [sys.executable, str(Path(__file__).parent / "gpu.py"), "--compiled", case.cell, *sizes]
    done = within(seconds, command)
    if done.status == 0:
        data = json.loads(done.text.splitlines()[-1])
        row.times, row.errors, row.failed = data["times"], data["errors"], data["failed"]
    else:
        late = done.status is None
        row.failed[COMPILED] = f"not done within {seconds:.0f} s" if late else " ".join(done.text.split())[-300:]
    return row


def built(case: Case, contender: Contender) -> None:
    """Whatever of a contender needs no GPU: its source."""
    work = case.work()
    if isinstance(options := getattr(contender.make, "keywords", {}), dict) and "strategy" in options:
        from symcell.pipeline import source

        source(work.cell, "cupy")
    else:
        gpu_contenders.Loop(work.cell, work.sizes, "float32")
