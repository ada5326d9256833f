"""Compiles every kernel of every shipped cell for every architecture in every precision, and keeps what each takes.

    python tools/kernel_table.py                  # all that changed since, into benchmarks/results/kernels.json
    python tools/kernel_table.py lstm gru         # of these cells alone
    python tools/kernel_table.py --check          # exit status 1 if the table is stale; compiles nothing

It needs NVRTC (``pip install nvidia-cuda-nvrtc``) and no GPU. All of it takes an hour of two cores. All sizes of a cell
are UNITS; a loop over time is compiled as the module would launch it for BATCH samples, in one launch and as a graph.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, astuple, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import symcell
from symcell.emulate import nvrtc
from symcell.generate import files
from symcell.predict import DEVICES, Device
from symcell.predict.kernels import Source, sources
from symcell.program.model import Plan

TABLE = Path(__file__).parent.parent / "benchmarks" / "results" / "kernels.json"
UNITS, BATCH = 256, 64
THREADS = 256
"""Of a block of a loop over time; 65,536 registers are theirs."""
ON = {f"sm_{''.join(map(str, DEVICES[name].capability))}": DEVICES[name]
      for name in ("t4", "a100", "a10", "rtx4090", "h100", "b200", "rtx5090")}  # fmt: skip
"""The device whose limits stand for an architecture's."""
PRECISIONS = ("float32", "float16", "bfloat16", "tf32", "float64")


@dataclass(frozen=True)
class Key:
    """What a source is compiled for."""

    cell: str
    arch: str
    precision: str


@dataclass(frozen=True)
class Row:
    """A kernel as it was compiled. ``code``: a fingerprint of its source; ``shared``: bytes of dynamic shared memory of
    a block; ``blocks``: how many wait for each other; the rest as in :class:`symcell.emulate.nvrtc.Usage`."""

    cell: str
    arch: str
    precision: str
    kernel: str
    code: str
    registers: int
    spilled: int
    static: int
    shared: int
    blocks: int


def keys(cells: Sequence[str]) -> Iterator[Key]:
    """Every architecture in each precision that it has, for some cells."""
    for cell in cells:
        for arch, device in ON.items():
            yield from (Key(cell, arch, p) for p in PRECISIONS if p != "tf32" or device.capability >= (8, 0))


@cache
def _plan(cell: str) -> Plan:
    return symcell.plan(cell, "cupy")


def sources_of(key: Key) -> list[Source]:
    """What a module compiles for a key; of TF32 the loops alone, as the rest is float32's."""
    tf32 = key.precision == "tf32"
    plan, device = _plan(key.cell), ON[key.arch]
    sizes = dict.fromkeys(plan.cell.sizes, UNITS)
    dtype = "float32" if tf32 else key.precision
    launches, *loops = sources(plan, device, sizes, batch=BATCH, dtype=dtype, tf32=tf32)
    loops += sources(plan, device, sizes, batch=BATCH, dtype=dtype, tf32=tf32, strategy="graph")[1:]
    return [*([] if tf32 else [launches]), *loops]


def fingerprint(source: Source) -> str:
    """Changes with the source, comments left out, and with what it is launched with."""
    code = re.sub(r"//.*", "", source.code)
    return hashlib.sha256(repr(replace(source, code=code)).encode()).hexdigest()[:12]


def compiled(key: Key, source: Source) -> list[Row]:
    """A row for each kernel of a source."""
    found = nvrtc.usage(source.code, key.arch, source.options)
    more = {"code": fingerprint(source), "shared": source.shared, "blocks": source.blocks}
    return [Row(**asdict(key), kernel=name, **more, **asdict(found[name])) for name in source.kernels]


def faults(row: Row) -> list[str]:
    """What is wrong with a kernel: what it takes more of than its device has, or registers that spill."""
    device: Device = ON[row.arch]
    shared = row.static + row.shared
    checks = {
        f"{row.spilled} bytes of registers spill": row.spilled > 0,
        f"{row.registers} registers for {THREADS} threads": row.registers * THREADS > 65536,
        f"{shared} bytes of shared memory, of {device.shared}": shared > device.shared,
        f"{row.blocks} blocks wait on {device.processors} multiprocessors": row.blocks > device.processors,
    }
    return [text for text, wrong in checks.items() if wrong]


def read() -> dict[str, Any]:
    """The table as it was kept."""
    if not TABLE.exists():
        return {"nvrtc": "", "units": UNITS, "batch": BATCH, "rows": []}
    found: dict[str, Any] = json.loads(TABLE.read_text("utf-8"))
    return {**found, "rows": [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]}


def rows() -> list[Row]:
    """The same as rows."""
    return [Row(**row) for row in read()["rows"]]


def write(rows: Sequence[Row]) -> None:
    """Keeps the table: a line for each kernel, the whole file or nothing."""
    columns = [column.name for column in fields(Row)]
    head = {"nvrtc": ".".join(map(str, nvrtc.version())), "units": UNITS, "batch": BATCH, "columns": columns}
    order = {key: k for k, key in enumerate(keys(symcell.names()))}
    rows = sorted(rows, key=lambda row: (order[Key(row.cell, row.arch, row.precision)], row.kernel))
    lines = ",\n".join(json.dumps(astuple(row)) for row in rows)
    files.write(TABLE, f'{json.dumps(head)[:-1]}, "rows": [\n{lines}\n]}}\n'.encode())


def fill(cells: Sequence[str]) -> list[Row]:
    """The table with what changed in some cells compiled anew, saved cell by cell."""
    known = [row for row in rows() if row.cell in symcell.names()]
    with ProcessPoolExecutor() as pool:
        for cell in cells:
            todo, kept = changed(cell, known)
            done = [row for rows in pool.map(compiled, *zip(*todo, strict=True)) for row in rows] if todo else []
            known = [*(row for row in known if row.cell != cell), *kept, *done]
            write(known)
            print(f"{cell}: {len(done)} kernels compiled, {len(kept)} as before", flush=True)
    return known


def changed(cell: str, known: Sequence[Row]) -> tuple[list[tuple[Key, Source]], list[Row]]:
    """The sources of a cell that the table does not have, and the rows of those that it has."""
    rows: dict[tuple[Key, str], list[Row]] = {}
    for row in known:
        rows.setdefault((Key(row.cell, row.arch, row.precision), row.code), []).append(row)
    todo: list[tuple[Key, Source]] = []
    kept: list[Row] = []
    for key in keys([cell]):
        for source in sources_of(key):
            found = rows.get((key, fingerprint(source)))
            kept += found or []
            todo += [] if found else [(key, source)]
    return todo, kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", metavar="CELL", help="shipped cells (default: all)")
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    cells = asked.cells or symcell.names()
    if asked.check:
        return int(any(changed(cell, rows())[0] for cell in cells))
    wrong = [(row, text) for row in fill(cells) for text in faults(row)]
    for row, text in wrong:
        print(f"{row.cell} {row.arch} {row.precision} {row.kernel}: {text}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
