"""What a cell costs at the sizes that are looked at: counted, and measured on its generated NumPy module."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np

from symcell.flow.model import Cost
from symcell.flow.subject import Subject
from symcell.program.report import formula, parameter_count

STEPS, BATCH, ROUNDS = 100, 16, 5


def cost_of(subject: Subject) -> Cost:
    """Parameters, and the time and memory of a forward and a backward sweep in float32."""
    cell, module, rng = subject.cell, subject.module, np.random.default_rng(0)
    params = module.Params.from_dict({n: a.astype(np.float32) for n, a in subject.arrays.items()}, **_open(subject))

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return rng.uniform(size=(STEPS, BATCH, *shape)).astype(np.float32)

    inputs = {n: draw(tuple(s.value(subject.sizes) for s in shape)) for n, shape in cell.inputs.items()}
    x = next(iter(inputs.values())) if len(inputs) == 1 else inputs
    dy = draw(tuple(s.value(subject.sizes) for s in cell.shape_of(cell.output)))

    def sweep() -> None:
        _, _, tape = module.forward(params, x)
        module.backward(params, tape, dy)

    sweep()
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        sweep()
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    try:
        sweep()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    count = sum(array.size for name, array in subject.arrays.items() if name in cell.parameters)
    return Cost(count, formula(parameter_count(cell)), float(np.median(seconds)), peak, STEPS, BATCH)


def _open(subject: Subject) -> dict[str, int]:
    """The sizes that no parameter shows."""
    shown = {n for p in subject.cell.parameters.values() for size in p.shape for n in size.names}
    return {name: size for name, size in subject.sizes.items() if name not in shown}
