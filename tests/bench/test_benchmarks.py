"""The programs of benchmarks/: their JAX scans are the cells, and their summary and picture show what was found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symcell
from symcell.bench import GRID, Report, Row
from symcell.bench.contenders import LOOP, MODULE, PRODUCTS, contenders_of
from symcell.bench.work import Work, numbers, sized

FOLDER = Path(__file__).parents[2] / "benchmarks"
MACHINE = {"cpu": "A CPU", "cores": 2, "vector": ["AVX2"], "date": "2026-01-02", "versions": {"numpy": "2.0"}}


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in ("cpu", "jax_cells", "plot_cpu", "summary"):
        sys.modules.pop(name, None)


def rows() -> tuple[Row, ...]:
    one, other = (
        Row("gru", "train", s.steps, s.batch, s.inputs, s.hidden, {"numpy": k, MODULE: 8.0, LOOP: 32.0, PRODUCTS: 1.0})
        for s, k in zip(GRID[:2], (4.0, 1.0), strict=True)
    )
    return one, other, Row("gru", "memory", 128, 1, 8, 8, {"numpy": 3.0, MODULE: 6.0})


@pytest.mark.parametrize("name", ["lstm", "gru", "layernorm_lstm", "peephole_lstm"])
def test_scans_are_the_cells(programs: None, name: str) -> None:
    pytest.importorskip("jax")
    import jax_cells

    cell = symcell.load(name)
    work = Work(cell, 5, 3, sized(cell, 4, 6))
    given = numbers(work)
    (scan,) = jax_cells.contender(cell)
    emitted = contenders_of(cell, ("numpy",))[0]
    for measure in ("train", "inference", "step"):
        y = np.asarray(scan.make(work, measure, given)())
        np.testing.assert_allclose(y, emitted.make(work, measure, given)(), rtol=1e-4, atol=1e-5)


def test_only_written_scans_take_part(programs: None) -> None:
    import jax_cells

    assert list(jax_cells.contender(symcell.load("mlstm"))) == []
    assert set(jax_cells.CELLS) <= set(symcell.names())


def test_means_over_the_sizes_of_a_train_step(programs: None) -> None:
    import cpu

    assert cpu.means(rows()) == {"gru": {MODULE: 0.25, LOOP: 0.062, PRODUCTS: 2.0}}


def test_the_summary_is_a_table(programs: None) -> None:
    from summary import summary

    text = summary(Report(rows(), MACHINE, ("a note",)))
    assert "A CPU, 2 cores with AVX2; NumPy 2.0; 2026-01-02:" in text
    assert "target `numpy`, geometric means: 0.25 of `nn.GRU`, 0.06 of the PyTorch loop" in text
    assert "| gru | 128, 1, 128, 128 | 4.00 | 8.00 | 32.0 | 1.00 | 0.50 |" in text
    assert "| gru | 128, 1, 8, 8 | 3.00 | 6.00 | – | – | 0.50 |" in text
    assert "Notes: a note." in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


def test_the_picture_is_drawn(programs: None, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from plot_cpu import plot

    plot(Report(rows(), MACHINE), tmp_path / "cpu.png")
    assert (tmp_path / "cpu.png").read_bytes().startswith(b"\x89PNG")


def test_the_committed_results_are_read(programs: None) -> None:
    from summary import summary

    report = Report.load(FOLDER / "results" / "cpu.json")
    assert {"rnn", "gru", "lstm"} <= {row.cell for row in report.rows if row.measure == "train"}
    assert summary(report).count("\n| ") > len(report.rows)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_program_finds_what_it_imports(path: Path) -> None:
    """Nothing else runs those that take minutes."""
    code = f"import runpy; runpy.run_path({str(path)!r}, run_name='imported')"
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, env=os.environ | {"PYTHONPATH": str(FOLDER)},
                          capture_output=True, text=True, check=False)  # fmt: skip
    optional = any(f"No module named '{name}'" in done.stderr for name in ("jax", "torch"))
    assert done.returncode == 0 or optional, done.stderr
