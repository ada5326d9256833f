"""The committed modules are what symcell writes today, for every cell and target."""

from __future__ import annotations

from pathlib import Path

import symcell
from symcell.generate import check
from symcell.pipeline import TARGETS

GENERATED = Path(__file__).parents[1] / "generated"


def test_generated_files_are_up_to_date(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    report = check(GENERATED)
    found = [f"{p.kind}: {p.path.name}: {p.message}" for p in report.problems]
    assert report.ok, "\n".join([*found, "run `symcell generate` in the root of the repository"])
    assert report.notes == ()


def test_every_shipped_cell_is_there_for_every_target():
    found = {path.name for path in GENERATED.glob("*_*.py")} - {"__init__.py"}
    assert found == {f"{name}_{target}.py" for name in symcell.names() for target in TARGETS}
