"""Compiles the C of every shipped cell and feature cell, warnings being errors, by all compilers that there are here.

python tests/emit/check_machines.py            every cell, for every type of number
python tests/emit/check_machines.py arm64      for one machine of machines.MACHINES
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from feature_cells import FEATURES
from machines import MACHINES, SHARED, source

import symcell


def main(names: list[str]) -> int:
    """1 if any is refused."""
    cells = [*map(symcell.load, symcell.names()), *(symcell.parse(text, name=name) for name, text in FEATURES.items())]
    modules = {cell.name: symcell.compile(cell, target="c") for cell in cells}
    failed = 0
    for machine in names or MACHINES:
        if reason := MACHINES[machine].missing():
            print(f"{machine}: {reason}")
            continue
        for name, module in modules.items():
            for real in module._TYPES:
                try:
                    with tempfile.TemporaryDirectory() as folder:
                        MACHINES[machine].compile(source(module, real), Path(folder) / "cell.so", *SHARED)
                except AssertionError as error:
                    failed += 1
                    print(f"{machine}, {name}, {real}: {error}", flush=True)
        print(f"{machine}: {len(modules)} cells of every type, {failed} refused so far", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
