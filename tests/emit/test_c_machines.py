"""Whole modules by another compiler, and on another processor: they compile without a warning and their results are
right. ``python tests/emit/check_machines.py`` compiles all cells."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from feature_cells import FEATURES
from machines import MACHINES, Machine, elsewhere

import symcell
from symcell.cell import Cell
from symcell.verify.cases import Kind, random_case
from symcell.verify.halves import HALVES, rounded
from symcell.verify.reference import reference
from symcell.verify.targets import run
from symcell.verify.tolerances import FLOAT32_ULP, TOLERANCES, error, real, scale_of

KINDS = (Kind("given", 4, 3), Kind("lengths", 4, 3, given=False, lengths=(2, 4, 0)))
LIMIT = {"double": TOLERANCES["float64"].limit, "float": TOLERANCES["float32"].limit * FLOAT32_ULP}
LIMIT |= {half: TOLERANCES[half].limit * TOLERANCES[half].spacing for half in HALVES}
DTYPE = {"double": "float64", "float": "float32"} | {half: half for half in HALVES}
CELLS: dict[str, Cell] = {
    "lstm": symcell.load("lstm"),
    "mlstm": symcell.load("mlstm"),  # matrices that vary in time, walks along and across them
    "over_units": symcell.parse(FEATURES["over_units"], name="over_units"),  # a loop that Clang does not vectorise
}


@contextlib.contextmanager
def compiled_by(machine: Machine) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", " ".join(machine.compiler))
        patch.setenv("SYMCELL_CFLAGS", " ".join([*machine.flags, "-Wall", "-Wextra", "-Werror"]))
        yield


@pytest.mark.parametrize(("machine", "name", "number"), [
    ("clang", "lstm", "float"), ("clang", "over_units", "double"), ("arm64", "lstm", "double"),
    ("arm64", "mlstm", "float"), ("clang", "mlstm", "float16"),
    *(pytest.param(*case, marks=pytest.mark.whole) for case in (
        ("x86-64", "mlstm", "float16"), ("haswell", "lstm", "bfloat16"), ("arm64", "lstm", "bfloat16"),
        ("clang", "over_units", "bfloat16"), ("native", "mlstm", "bfloat16"),
    )),
])  # fmt: skip
def test_results_are_right_there(machine: str, name: str, number: str, tmp_path: Path) -> None:
    how, cell = MACHINES[machine].or_skip(), CELLS[name]
    module = symcell.compile(cell, target="c")
    with elsewhere(module, how, tmp_path, number) if how.emulator else compiled_by(how):
        for kind in KINDS:
            case = random_case(cell, kind)
            case = rounded(case, number) if number in HALVES else case
            exact, found = reference(cell, case), run(module, case, DTYPE[number])
            for group, values in ((exact.values(), found.values()), (exact.gradients(), found.gradients())):
                reals = {k: real(v) for k, v in group.items()}
                assert set(values) == set(reals)
                for tensor, value in values.items():
                    apart = error(value, reals[tensor], scale_of(reals[tensor], reals, TOLERANCES[DTYPE[number]].small))
                    assert apart <= LIMIT[number], f"{kind.title}, {tensor}: {apart:.1e} off"
