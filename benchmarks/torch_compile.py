"""How long it takes to have a cell trained for 100 steps, with what has to be compiled before: in a process of its own.

python benchmarks/torch_compile.py ours 256 32 128     # prints JSON; also: torch
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from within import within

CELL = "layernorm_lstm"
COUNTED = 100
ROUNDS = 5


@dataclass(frozen=True)
class Spent:
    """Seconds until the first train step was done, and of each after it, the median of some."""

    first: float
    each: float

    @property
    def total(self) -> float:
        """Of 100 steps."""
        return self.first + (COUNTED - 1) * self.each


def fresh(who: str, steps: int, batch: int, hidden: int, seconds: float) -> Spent | None:
    """In a new process, whose caches are empty; None where ``seconds`` were not enough.

    Raises RuntimeError with what the process wrote if it fails.
    """
    with tempfile.TemporaryDirectory() as empty:
        caches = {"SYMCELL_CACHE": empty, "TORCHINDUCTOR_CACHE_DIR": empty, "XDG_CACHE_HOME": empty}
        command = [sys.executable, str(Path(__file__)), who, *map(str, (steps, batch, hidden))]
        done = within(seconds, command, env={**os.environ, **caches})
    if done.status is None:
        return None
    if done.status:
        raise RuntimeError(done.text)
    return Spent(**json.loads(done.text.splitlines()[-1]))


def timed(make: Callable[[], Callable[[], object]]) -> Spent:
    start = time.perf_counter()
    run = make()
    run()
    first = time.perf_counter() - start
    spent = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        spent.append(time.perf_counter() - start)
    return Spent(first, statistics.median(spent))


def main() -> None:
    who, steps, batch, hidden = sys.argv[1], *map(int, sys.argv[2:])
    import torch
    from torch_cases import trained

    import symcell
    from symcell.bench.contenders import torch_loop
    from symcell.bench.work import Work, numbers, sized
    from symcell.torch import Recurrent

    def ours() -> Callable[[], object]:
        net = Recurrent(CELL, hidden, hidden)
        return trained(net, torch.randn(steps, batch, hidden).requires_grad_(), torch.randn(steps, batch, hidden))

    def compiled() -> Callable[[], object]:
        cell = symcell.load(CELL)
        work = Work(cell, steps, batch, sized(cell, hidden, hidden))
        return torch_loop(work, "train", numbers(work), compiled=True)

    print(json.dumps(asdict(timed({"ours": ours, "torch": compiled}[who]))))


if __name__ == "__main__":
    main()
