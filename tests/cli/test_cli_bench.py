"""``bench``: a thin command over :mod:`symcell.bench`."""

from __future__ import annotations

import json

import pytest

from symcell import bench
from symcell.bench import CPU_TARGETS, GRID, MEASURES, Pace, Report, Size
from symcell.bench.contenders import PRODUCTS

MACHINE = {"cpu": "A CPU", "cores": 2, "vector": []}


@pytest.fixture
def asked(monkeypatch):
    """What was to be measured, by a stand-in."""
    seen = []

    def stand_in(cells, sizes, measures, **options):
        seen.append(([c.name for c in cells], list(sizes), list(measures), options))
        return Report((), MACHINE)

    monkeypatch.setattr(bench, "bench", stand_in)
    return seen


def test_without_arguments(symcell, asked):
    symcell("bench")
    ((cells, sizes, measures, options),) = asked
    assert {"rnn", "gru", "lstm"} <= set(cells)
    assert sizes == [Size(128, 32, 128, 128)]
    assert measures == list(MEASURES)
    assert options["targets"] == CPU_TARGETS
    assert not options["compiled"]


def test_options_are_handed_on(symcell, asked):
    symcell("bench", "mgu", "gru", "--steps", "5", "--batch", "6", "--inputs", "7", "--hidden", "8", "--compile",
            "--measure", "step", "--measure", "train", "--target", "numpy", "--rounds", "2")  # fmt: skip
    symcell("bench", "mgu", "--grid")
    (cells, sizes, measures, options), (_, grid, _, _) = asked
    assert cells == ["mgu", "gru"]
    assert sizes == [Size(5, 6, 7, 8)]
    assert measures == ["train", "step"]
    assert options["targets"] == ("numpy",)
    assert options["compiled"]
    assert options["pace"] == Pace(rounds=2, least=2)
    assert grid == list(GRID)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--target", "cupy"), "which run on the CPU"),
        (("--measure", "speed"), "'speed' is none of train"),
        (("--batch", "0"), "0 is not in the range"),
    ],
)
def test_what_is_no_option_is_told(symcell, asked, arguments, what):
    assert what in symcell("bench", "rnn", *arguments, status=2).stderr.replace("\n", " ")
    assert asked == []


def test_a_cell_of_one_s_own(symcell, tmp_path, monkeypatch):
    """A real measurement; without PyTorch a line says so."""
    monkeypatch.setattr(bench.pytorch, "missing", lambda: "PyTorch is not installed")
    (tmp_path / "mine.cell").write_text("h[t] = tanh(W @ x[t] + U @ h[t-1] + b)\n")
    output = symcell("bench", "mine", "--measure", "train", "--target", "numpy", "--steps", "4", "--batch", "2",
                     "--hidden", "3", "--rounds", "1", "--out", "found.json").output  # fmt: skip
    assert "mine: train step (forward + backward), ms" in output
    assert any(line.startswith("4,2,3,3 ") for line in output.splitlines())
    assert "note: PyTorch is not installed: left out" in output
    (row,) = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert set(row["values"]) == {"numpy", PRODUCTS}
    assert all(value > 0 for value in row["values"].values())
