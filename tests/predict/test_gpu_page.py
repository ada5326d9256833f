"""docs/gpu.md is what its tool writes, and says which of its numbers were measured."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TIMES = {"median": 2.0, "least": 1.5, "most": 3.25}


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield importlib.import_module("gpu_page")


def results(**more: Any) -> dict[str, Any]:
    """As benchmarks/gpu.py writes them."""
    times = {"symcell plain float32": TIMES, "torch.nn float32": {**TIMES, "median": 8.0}}
    row = {"cell": "gru", "T": 256, "B": 16, "D": 512, "H": 512, "times": {"forward": times, "train": times},
           "errors": {"symcell plain float32": {"y": 2e-7, "d U_n": 3e-6}}, "failed": {}}  # fmt: skip
    return {
        "machine": {"name": "NVIDIA H100 80GB HBM3", "driver": "580", "libraries": {"torch": "2.11"},
                    "host": {"date": "2026-01-02"}},
        "options": {"kind": "whole"},
        "basics": [{"what": "grid barrier, 8 blocks", "unit": "µs", "value": 1.1, "least": 1.0, "most": 1.2},
                   {"what": "graph node, 1 blocks", "unit": "µs", "error": "RuntimeError: no"}],
        "rows": [row, {**row, "cell": "rnn", "times": {}}],
        **more,
    }  # fmt: skip


def test_the_page_is_current(tool: ModuleType) -> None:
    assert tool.PAGE.read_text("utf-8") == tool.page(tool.measurements()), "run python tools/gpu_page.py --write"


def test_without_measurements_nothing_is_said_to_be_measured(tool: ModuleType) -> None:
    page = tool.page([])
    assert "## Measured" not in page
    assert "by the rule with which a module chooses" in page
    assert page.count(": predicted |") == 3


def test_measurements_stand_beside_predictions(tool: ModuleType) -> None:
    page = tool.page([results()])
    assert "## Measured on an NVIDIA H100 80GB HBM3" in page
    assert "| grid barrier, 8 blocks | 1.1 µs | 1 … 1.2 |" in page
    (row,) = [line for line in page.splitlines() if line.startswith("| gru | 256 |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:5] == ["gru", "256", "16", "512", "2 / 2 plain"]
    assert cells[6:] == ["8 / 8", "–", "–", "–", "2e-07 / 3e-06"]
    forward, train = map(float, cells[5].split(" / "))
    assert 0 < forward < train


def test_only_whole_runs_are_shown(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "RESULTS", tmp_path)
    (tmp_path / "gpu_a.json").write_text(json.dumps(results()))
    (tmp_path / "gpu_quick_a.json").write_text(json.dumps(results(options={"kind": "quick"})))
    assert [found["options"]["kind"] for found in tool.measurements()] == ["whole"]
