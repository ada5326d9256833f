"""How long it takes from a cell's text to both sources, by the number of equations.

    python benchmarks/compile_time.py      # writes benchmarks/results/compile_time.json and prints a table

Each cell is compiled in a process of its own, so nothing that SymPy remembers helps; the imports are not counted. What
is counted is the processor's time, which depends little on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from symcell.bench.machine import this_machine
from symcell.bench.report import save

RESULTS = Path(__file__).parent / "results"
COUNTS = (40, 80, 160, 400)
TARGETS = ("numpy", "cupy")


def gates(count: int) -> str:
    """Gates side by side, each with its own products, and a state that takes them all."""
    lines = [f"g_{k}[t] = sigmoid(W_{k} @ x[t] + U_{k} @ h[t-1] + b_{k})" for k in range(count - 1)]
    return "\n".join([*lines, f"h[t] = tanh({' + '.join(f'g_{k}[t]' for k in range(count - 1))})"])


def chain(count: int) -> str:
    """Layers one on top of the other, each a product with the one below."""
    lines = ["h: H", *(f"a_{k}: H" for k in range(count - 1)), "a_0[t] = tanh(W_0 @ x[t] + U @ h[t-1])"]
    lines += [f"a_{k}[t] = tanh(W_{k} @ a_{k - 1}[t] + b_{k})" for k in range(1, count - 1)]
    return "\n".join([*lines, f"h[t] = tanh(W @ a_{count - 2}[t])"])


def states(count: int) -> str:
    """States that each remember by themselves and see one neighbour."""
    lines = [f"s_{k}[t] = tanh(W_{k} @ x[t] + u_{k} * s_{k}[t-1] + v_{k} * s_{(k + 1) % (count - 1)}[t-1])"
             for k in range(count - 1)]  # fmt: skip
    return "\n".join([*lines, f"h[t] = tanh({' + '.join(f's_{k}[t]' for k in range(count - 1))})"])


def elementwise(count: int) -> str:
    """A long formula: every line reads the two before it."""
    lines = ["e_0[t] = W @ x[t] + h[t-1]", "e_1[t] = sigmoid(e_0[t])"]
    lines += [f"e_{k}[t] = sigmoid(e_{k - 1}[t]) * e_{k - 2}[t] + c_{k}" for k in range(2, count - 1)]
    return "\n".join([*lines, f"h[t] = tanh(e_{count - 2}[t])"])


FAMILIES: dict[str, Callable[[int], str]] = {f.__name__: f for f in (gates, chain, states, elementwise)}


def compiled(kind: str, count: int) -> dict[str, float]:
    """Seconds from a text to the source of each target, one after the other; ``count`` 0: a cell of the library."""
    import symcell
    from symcell.pipeline import source

    spent = {}
    for target in TARGETS:
        start = time.process_time()
        source(symcell.parse(FAMILIES[kind](count), name=kind) if count else symcell.load(kind), target)
        spent[target] = time.process_time() - start
    return spent


def fresh(kind: str, count: int) -> dict[str, float]:
    """The same in a new process."""
    run = subprocess.run(
        [sys.executable, __file__, "--one", kind, str(count)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(run.stdout)
    return found


def measure() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for kind, count in [("lstm", 0), *((kind, count) for kind in FAMILIES for count in COUNTS)]:
        spent = fresh(kind, count)
        rows.append({"cell": kind, "equations": count, "seconds": spent})
        print(f"{kind:12} {count or '':>4}   {sum(spent.values()):7.2f} s", flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Seconds for both targets by family and count, and how that grows from the least to the most equations beside
    n log n."""
    least, most = COUNTS[0], COUNTS[-1]
    lines = [f"{'':12}" + "".join(f"{n:>8}" for n in COUNTS) + f"{'growth':>9}"]
    for kind in FAMILIES:
        spent = {r["equations"]: sum(r["seconds"].values()) for r in rows if r["cell"] == kind}
        times = "".join(f"{spent[n]:8.2f}" for n in COUNTS)
        lines.append(f"{kind:12}{times}{spent[most] / spent[least]:9.1f}")
    bound = most * math.log(most) / (least * math.log(least))
    return "\n".join([*lines, f"n log n grows {bound:.1f} times"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, metavar=("FAMILY", "EQUATIONS"), help="compile one cell in this process")
    asked = parser.parse_args().one
    if asked:
        print(json.dumps(compiled(asked[0], int(asked[1]))))
        return
    rows = measure()
    print(table(rows))
    save(RESULTS / "compile_time.json", {"machine": this_machine(), "rows": rows})


if __name__ == "__main__":
    main()
