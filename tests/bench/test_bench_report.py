"""What is kept of a benchmark, and how it is shown."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from rich.console import Console

import symcell
from symcell import bench as library
from symcell.bench import Contender, Pace, Report, Row, Size, bench
from symcell.bench.contenders import COMPILED, LOOP, MODULE, PRODUCTS
from symcell.bench.machine import this_machine
from symcell.bench.report import mean
from symcell.bench.table import number

QUICK = Pace(rounds=3, least=3, rest=0, turn=0)
ROW = Row("mine", "train", 128, 32, 8, 16, {"numpy": 6.0, MODULE: 4.0, PRODUCTS: 2.0}, {"numpy": [5.0, 6.0, 9.0]})


def constant(milliseconds: dict[str, float]):
    """Contenders by name, each a stand-in."""
    return [Contender(name, lambda *work: lambda: None) for name in milliseconds]


def test_ratios_are_of_the_best_emitted_module() -> None:
    assert ROW.ours == "numpy"
    assert ROW.ratio(MODULE) == 1.5
    assert ROW.ratio(PRODUCTS) == 3
    assert ROW.ratio(PRODUCTS, MODULE) == 2
    assert ROW.ratio(LOOP) is None
    assert dataclasses.replace(ROW, values={MODULE: 1.0}).ratio(MODULE) is None


def test_means_are_geometric() -> None:
    assert mean([0.5, 2.0, None]) == pytest.approx(1)
    assert mean([None]) is None


def test_a_file_holds_everything(tmp_path) -> None:
    path = tmp_path / "found.json"
    Report((ROW,), this_machine(), ("a note",)).save(path, more=1)
    assert [p.name for p in tmp_path.iterdir()] == ["found.json"]
    data = json.loads(path.read_text())
    assert {"cpu", "cores", "vector", "date", "versions", "threads"} == set(data["machine"])
    assert data["machine"]["versions"]["symcell"] == symcell.__version__
    assert data["more"] == 1
    assert data["rows"] == [
        {
            "cell": "mine",
            "measure": "train",
            "steps": 128,
            "batch": 32,
            "inputs": 8,
            "hidden": 16,
            "unit": "ms",
            "values": {"numpy": 6.0, MODULE: 4.0, PRODUCTS: 2.0},
            "samples": {"numpy": [5.0, 6.0, 9.0]},
        }
    ]
    assert Report.load(path) == Report((ROW,), data["machine"], ("a note",))


def test_values_are_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "contenders_of", lambda cell, targets, compiled: constant({"numpy": 1}))
    monkeypatch.setattr(library, "interleaved", lambda runs, pace: {name: [9.0, 1.0, 2.0] for name in runs})
    (row,) = bench([symcell.load("rnn")], [Size(4, 2, 3, 5)], ["train"], pace=QUICK).rows
    assert row.values == {"numpy": 2.0}
    assert row.samples == {"numpy": [9.0, 1.0, 2.0]}
    assert row.sizes == (4, 2, 3, 5)


def test_a_stream_has_one_step_of_all_samples_and_of_one() -> None:
    sizes = [Size(8, 2, 3, 5), Size(9, 2, 3, 5)]
    rows = bench([symcell.load("rnn")], sizes, ["step"], targets=("numpy",), pace=QUICK).rows
    assert [row.sizes for row in rows] == [(1, 2, 3, 5), (1, 1, 3, 5)]


def test_what_cannot_run_is_left_out_with_a_note() -> None:
    def broken(work, measure, numbers):
        raise RuntimeError("no compiler\nfound")

    report = bench([symcell.load("rnn")], [Size(2, 2, 3, 5)], ["train"], targets=("numpy",),
                   extra=lambda cell: [Contender("other", broken)], pace=QUICK)  # fmt: skip
    assert "other" not in report.rows[0].values
    assert {"numpy", PRODUCTS} <= set(report.rows[0].values)
    assert "other left out of rnn: no compiler" in report.notes


def test_missing_libraries_are_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library.pytorch, "missing", lambda: "PyTorch is not installed")
    monkeypatch.setattr(library.memory, "missing", lambda: "memory on Linux only")
    report = bench([symcell.load("rnn")], [Size(2, 2, 3, 5)], ["train", "memory"], targets=("numpy",), pace=QUICK)
    assert report.notes == ("PyTorch is not installed: left out", "memory on Linux only")
    assert [(row.measure, list(row.values)) for row in report.rows] == [("train", ["numpy", PRODUCTS])]


def test_tables_fit_a_terminal_of_80_columns() -> None:
    names = ("numpy", "c", MODULE, LOOP, COMPILED, PRODUCTS)
    rows = tuple(
        Row("a_cell", measure, 512, 64, 1024, 1024, dict.fromkeys(names, 12345.6)) for measure in ("train", "memory")
    )
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(Report(rows, {"cpu": "A CPU", "cores": 2, "vector": ["AVX2"]}, ("left out",)).render())
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("a_cell: train step") for line in lines)
    (row, _) = (line for line in lines if line.startswith("512,64,1024,1024"))
    assert row.split()[1:] == ["12346"] * 6 + ["1.00"] * 2
    assert lines[-1] == "note: left out"


def test_three_digits() -> None:
    assert [number(v) for v in (None, 0.01234, 1.234, 12.34, 123.4, 1234.5)] == [
        "–", "0.012", "1.23", "12.3", "123", "1234",
    ]  # fmt: skip


def test_the_shipped_cells_that_pytorch_has() -> None:
    known = library.known_to_torch()
    assert {"rnn", "gru", "lstm"} <= set(known)
    assert not {"layernorm_lstm", "gru_original", "mlstm"} & set(known)
