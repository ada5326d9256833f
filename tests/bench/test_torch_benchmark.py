"""The benchmark of the PyTorch module: its cases run, and its results are kept, summed up and drawn."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

FOLDER = Path(__file__).parents[2] / "benchmarks"
MACHINE = {"cores": 2, "vector": ["AVX2"]}
NAMES = ("torch_module", "torch_cases", "torch_compile", "plot_torch", "within")


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


def rows() -> list[object]:
    from torch_module import Row

    return [
        Row("step", "lstm, B 1, H 8", "ours", "theirs", 1.0, {"ours": 1.0, "theirs": 4.0}, {"ours": [1.0, 1.1]}),
        Row("step", "gru, B 1, H 8", "ours", "theirs", 1.0, {"ours": 4.0, "theirs": 1.0}),
        Row("call", "gru, inference", "ours", None, 0.06, {"ours": 0.05, "theirs": 0.1}),
    ]


def test_one_case_of_every_claim_runs() -> None:
    from torch_cases import cases

    first = {case.group: case for case in reversed(list(cases(quick=True)))}
    assert len(first) == 7
    for case in first.values():
        runs = case.make()
        assert {case.of, *([case.over] if case.over else [])} <= runs.keys()
        for run in runs.values():
            run()


def test_both_contenders_compute_the_same() -> None:
    """What is timed beside PyTorch is as much work."""
    from torch_cases import OURS, PYTORCH, Size, beside

    for how in ("1 layer", "2 layers", "bidirectional", "packed"):
        runs = beside("gru", Size(5, 3, 4, 6), how).make()
        ours, theirs = (np.shape(getattr(runs[name](), "data", None)) for name in (OURS, PYTORCH))
        assert ours == theirs


def test_a_claim_holds_up_to_its_bound() -> None:
    assert [row.value for row in rows()] == [0.25, 4.0, 0.05]
    assert [row.holds for row in rows()] == [True, False, True]


def test_results_are_kept_summed_up_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from plot_torch import plot
    from torch_module import means, read, summary, write

    write(tmp_path / "torch_module.json", rows(), True)
    found, machine = read(tmp_path / "torch_module.json")
    assert found == rows()
    assert str(Path.home()) not in (tmp_path / "torch_module.json").read_text("utf-8")
    assert machine["cores"]
    assert means(found) == {"step": 1.0}
    assert "| step | lstm, B 1, H 8 | 1 | theirs | 4 | 0.25 (≤ 1) |" in summary(found)
    assert "| call | gru, inference | 0.05 |  |  | 50 µs (≤ 60) |" in summary(found)
    plot(found, MACHINE, tmp_path / "torch_module.png")
    assert (tmp_path / "torch_module.png").read_bytes().startswith(b"\x89PNG")
