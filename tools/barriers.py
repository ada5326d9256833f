"""Which barriers a cell's CUDA kernels need: each is taken out in turn, and the emulator looks for a race without it.

python tools/barriers.py lstm gru

A barrier without which nothing races is needless, as far as these sizes and devices show; it may be one of a pair of
which either would do. Every barrier of a kernel that runs all steps should be needed, and a missing one is a race.
"""

from __future__ import annotations

import itertools
import re
import sys
from typing import Any

import numpy as np

import symcell
from symcell.emulate import Device, KernelError, load
from symcell.pipeline import source

BARRIER = re.compile(r"__sync(threads|warp)\(\);|meet\(meeting, goal\);")
CASES = [(5, 8, False), (5, 3, False), (5, 3, True), (40, 2, False)]
"""Samples, multiprocessors of the device, whether products run on matrix units (TF32)."""


def race(text: str, samples: int, processors: int, tf32: bool) -> str:
    """The race, if there is one, of a train step in which every sweep is one launch."""
    module: Any = load(text, "module", races=True, device=Device(multiprocessors=processors))
    module.STRATEGY, module.TF32 = "persistent", tf32
    rng = np.random.default_rng(0)
    sizes = dict(zip(module.SIZES, itertools.cycle((5, 37, 3)), strict=False))

    def drawn(*lead: int, shape: tuple[int | str, ...]) -> Any:
        lengths = (eval(str(size), {}, dict(sizes)) for size in shape)
        return module.cp.asarray(rng.standard_normal((*lead, *lengths)).astype(np.float32))

    arrays = {name: drawn(shape=shape) for name, shape in getattr(module, "CONSTANTS", {}).items()}
    params = module.init_params(seed=1, **sizes, **arrays)
    x = {name: drawn(4, samples, shape=shape) for name, shape in module.INPUTS.items()}
    lengths = module.cp.asarray(np.resize([2, 4, 3, 1, 4], samples))
    try:
        y, _, tape = module.forward(params, x, lengths=lengths)
        module.backward(params, tape, module.cp.cos(y))
    except KernelError as error:
        return str(error)
    return ""


def main(names: list[str]) -> None:
    """Prints a line for each barrier of each cell's kernels of all steps."""
    for name in names:
        text = source(symcell.load(name), "cupy")
        for case in CASES:
            if race(text, *case):
                sys.exit(f"{name}: {race(text, *case)}")
        for found in BARRIER.finditer(text, text.index("SHARING = ")):
            without = f"{text[: found.start()]};{text[found.end() :]}"
            why = next(filter(None, (race(without, *case) for case in CASES)), "needless, or one of two")
            print(f"{name}: line {text.count(chr(10), 0, found.start()) + 1}: {found[0]} {why}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
