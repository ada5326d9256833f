"""The part of docs/gpu.md that says what NVIDIA's compiler makes of the kernels."""

from __future__ import annotations

import kernel_table
import markdown_table


def registers() -> str:
    """What compilers make of the kernels: of each cell, the one that takes most."""
    rows, arches = kernel_table.rows(), tuple(kernel_table.ON)
    precisions = ", ".join(dict.fromkeys(row.precision for row in rows))
    units, batch = kernel_table.UNITS, kernel_table.BATCH
    most: dict[tuple[str, str], int] = {}
    for row in rows:
        most[row.cell, row.arch] = max(most.get((row.cell, row.arch), 0), row.registers)
    cells = dict.fromkeys(row.cell for row in rows)
    table = [(cell, *(f"{most[cell, arch]}" if (cell, arch) in most else "–" for arch in arches)) for cell in cells]
    spilled = sum(row.spilled > 0 for row in rows)
    return f"""## What NVIDIA's compiler makes of the kernels

Registers of a thread, of that kernel of a cell which takes most of them ({precisions});
all sizes are {units}, loops are for {batch} samples. Of {len(rows)} kernels
{spilled or "none"} spill registers. All registers and shared memory are in `benchmarks/results/kernels.json`,
which `python tools/kernel_table.py` writes.

{markdown_table.table(("", *arches), table)}"""
