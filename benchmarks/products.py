"""The emitted C's matrix products on one core: beside OpenBLAS through NumPy, and the core's own peak.

    python benchmarks/products.py      # writes benchmarks/results/products.json

All contenders of a shape take turns; each is given by its best time, since what a shared machine adds is never
negative. The peak is a loop of multiply-adds in registers.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import ctypes
import itertools
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from symcell.bench.machine import this_machine
from symcell.bench.report import save

RESULTS = Path(__file__).parent / "results"
TEMPLATES = Path(__file__).parents[1] / "templates" / "c"
FLAGS = "-O3 -march=native -std=gnu11 -fPIC -shared -pthread -fno-math-errno -fno-trapping-math -fopenmp-simd"
FUNCTIONS = ("panels", "packed_size", "pack", "multiply", "gradient_scratch", "gradient", "peak")
REAL = {"float": np.float32, "double": np.float64}
MULTIPLY = ((1, 128, 512), (16, 128, 512), (32, 256, 1024), (64, 512, 2048), (96, 1024, 4096))
GRADIENT = ((4096, 512, 128), (4096, 1024, 256), (8192, 2048, 512))
ROUNDS = 25
TIMES = 400_000  # of the peak's loop

# eight chains for each of two units; returns what it computed, so that it is computed
PEAK = """
static real peak(long long times) {
    vector sum[16], one = (vector){0} + 1;
    UNROLL(16) for (int n = 0; n < 16; n++) sum[n] = one * (real)n;
    for (long long k = 0; k < times; k++)
        UNROLL(16) for (int n = 0; n < 16; n++) {
            sum[n] += one * one;
            __asm__ volatile("" : "+v"(sum[n]), "+v"(one));
        }
    UNROLL(16) for (int n = 1; n < 16; n++) sum[0] += sum[n];
    return sum[0][0];
}
"""


def compiled(real: str, folder: str) -> dict[str, Any]:
    """The functions for one type."""
    source = Path(folder) / f"{real}.c"
    parts = [(TEMPLATES / f"{name}.c.j2").read_text() for name in ("vectors", "products")]
    table = f"void *const exported[] = {{{', '.join(FUNCTIONS)}}};\nconst int lanes = LANES;\n"
    source.write_text("\n".join([f"typedef {real} real;\n#include <string.h>", *parts, PEAK, table]))
    subprocess.run(["cc", *FLAGS.split(), "-o", source.with_suffix(".so"), source], check=True)
    loaded = ctypes.CDLL(str(source.with_suffix(".so")))
    addresses = (ctypes.c_void_p * len(FUNCTIONS)).in_dll(loaded, "exported")
    call = ctypes.CFUNCTYPE(ctypes.c_longlong)  # every argument is given its type at the call
    return {"lanes": ctypes.c_int.in_dll(loaded, "lanes").value,
            **{name: call(address) for name, address in zip(FUNCTIONS, addresses, strict=True)}}  # fmt: skip


def arguments(*given: Any) -> list[Any]:
    """Arrays as addresses, None as none, numbers as long long (flags too: registers pass both alike)."""
    return [
        ctypes.c_void_p(g.ctypes.data if isinstance(g, np.ndarray) else None)
        if g is None or isinstance(g, np.ndarray)
        else ctypes.c_longlong(g)
        for g in given
    ]


def aligned(size: int, real: Any) -> np.ndarray:
    """Memory on a 64-byte boundary."""
    memory = np.zeros(size + 64, real)
    start = -memory.ctypes.data % 64 // memory.itemsize
    return memory[start : start + size]


def rates(contenders: dict[str, Callable[[], Any]], operations: float) -> dict[str, float]:
    """GFLOP/s of each at its best; they take turns, each as often as fills about a millisecond."""
    best = dict.fromkeys(contenders, float("inf"))
    repeats = max(1, int(1e8 / operations))
    for _, (key, run) in itertools.product(range(ROUNDS), contenders.items()):
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        best[key] = min(best[key], (time.perf_counter() - start) / repeats)
    return {key: round(operations / seconds / 1e9, 1) for key, seconds in best.items()}


def multiply(c: dict[str, Any], real: Any, rows: int, inner: int, columns: int) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    left, matrix = (rng.standard_normal(shape).astype(real) for shape in ((rows, inner), (columns, inner)))
    out, packed = np.empty((rows, columns), real), aligned(c["packed_size"](*arguments(inner, columns)), real)
    every = c["panels"](*arguments(columns))
    c["pack"](*arguments(packed, matrix, 1, inner, inner, columns, 0, every))
    given = arguments(out, columns, left, inner, packed, rows, inner, columns, 0)
    c["multiply"](*given)
    np.testing.assert_allclose(out, left @ matrix.T, atol=1e-2)
    return {"emitted": lambda: (c["multiply"](*given), packed), "openblas": lambda: np.matmul(left, matrix.T, out=out)}


def gradient(c: dict[str, Any], real: Any, rows: int, count: int, columns: int) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((rows, n)).astype(real) for n in (count, columns))
    out, scratch = np.empty((count, columns), real), aligned(c["gradient_scratch"](*arguments(count, columns)), real)
    given = arguments(out, columns, left, count, None, right, columns, None, rows, 0, count, columns, scratch)
    c["gradient"](*given)
    np.testing.assert_allclose(out, left.T @ right, atol=1e-2)
    return {"emitted": lambda: (c["gradient"](*given), scratch), "openblas": lambda: np.matmul(left.T, right, out=out)}


def main() -> None:
    report: dict[str, Any] = {"machine": this_machine(), "unit": "GFLOP/s, one thread", "results": []}
    with tempfile.TemporaryDirectory() as folder:
        for real in REAL:
            c = compiled(real, folder)
            flops = TIMES * 16 * 2 * c["lanes"]
            for build, shape in [(multiply, s) for s in MULTIPLY] + [(gradient, s) for s in GRADIENT]:
                peak = {"peak": lambda c=c: c["peak"](ctypes.c_longlong(TIMES))}
                best = rates(build(c, REAL[real], *shape), 2.0 * np.prod(shape)) | rates(peak, flops)
                row = {"product": build.__name__, "real": real, "shape": shape, **best,
                       "of_peak": round(best["emitted"] / best["peak"], 2)}  # fmt: skip
                report["results"].append(row)
                print(*row.values(), flush=True)
    save(RESULTS / "products.json", report)


if __name__ == "__main__":
    main()
