"""Emitted modules of random cells against autograd over the equations as they were written, in float64.

python tests/check_random_cells.py --count 2000                    on NumPy; the seed of each failure is printed
python tests/check_random_cells.py --seed 17 --count 1 --show      one cell: its text, and what is wrong with it
python tests/check_random_cells.py --target cupy --count 200       CuPy's module, emulated
    --strategy persistent --races                                  each sweep in one launch; races are errors too
    --strategy graph                                               launched by graphs
"""

from __future__ import annotations

import argparse
import sys
import traceback
import types
from collections.abc import Iterator
from functools import partial
from random import Random

import numpy as np
import random_cells

import symcell
from symcell.cell import Cell
from symcell.emulate import Device, load
from symcell.pipeline import source
from symcell.verify import pytorch, targets
from symcell.verify.case import Case, Result, each_alone
from symcell.verify.cases import Kind, random_case
from symcell.verify.tolerances import error, largest, scale_of

TOLERANCE = 1e-9
"""Relative to a tensor's largest entry: rounding, amplified by a few divisions."""
LARGE = 1e5
"""Beyond this, rounding alone could reach the tolerance."""


class RefusedError(Exception):
    """A cell that is told to be written otherwise: a function over units of what cancels to a number."""


def check(seed: int, target: str = "numpy", strategy: str = "plain", *, races: bool = False) -> str:
    """What is wrong with cell number ``seed``: nothing where all tensors agree. Raises RefusedError.

    ``strategy``: how a CuPy module runs the steps of a sweep; ``races``: it also says which accesses nothing orders.
    """
    cell = parse(seed)
    try:
        module = emulated(cell, strategy, races) if target == "cupy" else symcell.compile(cell, target=target)
    except symcell.CellError as error_:
        if "write the result in its place" in str(error_):
            raise RefusedError from error_
        raise
    found = [problem for kind in kinds(Random(seed)) for problem in problems(cell, module, kind, seed)]
    return "\n".join(found)


def emulated(cell: Cell, strategy: str, races: bool) -> types.ModuleType:
    """A CuPy module, on a device so small that few blocks are emulated."""
    device = Device(multiprocessors=2 if strategy == "persistent" else 1)
    module = load(source(cell, "cupy"), cell.name, races=races, device=device)
    module.STRATEGY = strategy  # type: ignore[attr-defined]
    return module


def parse(seed: int) -> Cell:
    """Cell number ``seed``, by what its text leaves to inference or, where that cannot do, wholly declared."""
    try:
        return symcell.parse(random_cells.cell(seed), name=f"random_{seed}")
    except symcell.CellError:
        return symcell.parse(random_cells.cell(seed, whole=True), name=f"random_{seed}")


def kinds(random: Random) -> Iterator[tuple[Kind, dict[str, int]]]:
    """Two cases of a cell: any number of steps and samples, states passed or not, lengths or not; and sizes of 1."""
    for k in range(2):
        steps, batch = random.choice([1, 2, 3, 4] if k else [3, 4]), random.choice([1, 2, 3])
        lengths = tuple(random.randint(0, steps) for _ in range(batch)) if random.random() < 0.3 else None
        yield Kind(f"case {k}", steps, batch, random.random() < 0.6, lengths), {} if random.random() < 0.7 else {"*": 1}


def problems(cell: Cell, module: types.ModuleType, how: tuple[Kind, dict[str, int]], seed: int) -> Iterator[str]:
    """The tensors that differ in one case."""
    kind, sizes = how
    lengths = dict.fromkeys(cell.sizes, 1) if sizes else dict(zip(cell.sizes, (3, 2, 4, 5, 6, 7, 8), strict=False))
    case, wanted = tame(cell, kind, lengths, seed)
    if wanted is None:
        return
    found = targets.run(module, case, "float64")
    for group, values in ((wanted.values(), found.values()), (wanted.gradients(), found.gradients())):
        for name, value in group.items():
            apart = error(values.get(name), value, scale_of(value, group))
            if not apart < TOLERANCE:
                yield f"{kind}, sizes {lengths}: {name} is {apart:.1e} off"
        yield from (f"{kind}: {name} is not expected" for name in values.keys() - group.keys())
    if kind.lengths is None:
        yield from stepped(module, case, wanted)


def tame(cell: Cell, kind: Kind, sizes: dict[str, int], seed: int) -> tuple[Case, Result | None]:
    """A case at which everything is finite and not large; no result where there is none."""
    for attempt in range(4):
        case = random_case(cell, kind, seed + attempt, sizes=sizes, scale=0.5 / (1 + attempt))
        ask = partial(pytorch.run, cell)
        result = ask(case) if case.lengths is None else each_alone(case, ask)
        sizes_found = [largest(v) if np.isfinite(v).all() else np.inf for v in result.tensors().values()]
        if max(sizes_found) < LARGE:
            return case, result
    return case, None


def stepped(module: types.ModuleType, case: Case, wanted: Result) -> Iterator[str]:
    """``step`` after ``step`` gives what ``forward`` gives."""
    send = partial(targets.to_device, module, dtype="float64")
    params = targets.forward(module, case, "float64")[0]
    state = {name: send(targets.outside(value)) for name, value in case.state.items()}
    for t in range(case.steps):
        x = {name: send(value[t]) for name, value in case.x.items()}
        y, state = module.step(params, x if len(x) > 1 else next(iter(x.values())), state)
        apart = error(targets.to_host(module, y), wanted.y[t], scale_of(wanted.y[t], wanted.values()))
        if not apart < TOLERANCE:
            yield f"step {t}: y is {apart:.1e} off"
    for name, value in wanted.last.items():
        last = targets.to_host(module, state[name])
        if not error(last, targets.outside(value), scale_of(value, wanted.values())) < TOLERANCE:
            yield f"steps: the last {name} is off"


def main() -> int:
    """Check many; 1 if any is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="the first cell's number")
    parser.add_argument("--target", choices=("numpy", "c", "cupy"), default="numpy")
    parser.add_argument("--strategy", choices=("auto", "plain", "block", "persistent", "graph"), default="plain")
    parser.add_argument("--races", action="store_true", help="of the target cupy: look for races")
    parser.add_argument("--show", action="store_true", help="print every cell's text, and whole tracebacks")
    options = parser.parse_args()
    failed, refused = [], 0
    for seed in range(options.seed, options.seed + options.count):
        if options.show:
            print(random_cells.cell(seed), flush=True)
        try:
            problem = check(seed, options.target, options.strategy, races=options.races)
        except RefusedError:
            problem, refused = "", refused + 1
        except Exception as error_:
            problem = traceback.format_exc() if options.show else f"{type(error_).__name__}: {error_}"
        if problem:
            failed.append(seed)
            print(f"seed {seed}: {problem}\n{random_cells.cell(seed)}", flush=True)
    print(
        f"{options.count - len(failed) - refused} of {options.count} cells agree, {refused} are constant in a part",
        end="",
    )
    print(f"; wrong: {failed}" if failed else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
