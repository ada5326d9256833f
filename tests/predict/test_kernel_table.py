"""benchmarks/results/kernels.json says of every kernel of every shipped cell what it takes: no register spills, and all
fits the device that stands for an architecture."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

import symcell
from symcell.emulate import nvrtc

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOOLS))
        yield importlib.import_module("kernel_table")


def test_every_kernel_is_there_and_fits(tool: ModuleType) -> None:
    rows = tool.rows()
    assert {tool.Key(row.cell, row.arch, row.precision) for row in rows} >= set(tool.keys(symcell.names()))
    assert not {f"{row.cell} {row.arch} {row.precision} {row.kernel}: {text}" for row in rows
                for text in tool.faults(row)}  # fmt: skip


def test_what_does_not_fit_is_a_fault(tool: ModuleType) -> None:
    row = tool.Row("lstm", "sm_75", "float32", "forward_steps", "", 255, 0, 0, 64 << 10, 40)
    assert tool.faults(row) == []
    for wrong in ({"spilled": 8}, {"registers": 257}, {"static": 4}, {"blocks": 41}):
        assert len(tool.faults(replace(row, **wrong))) == 1


@pytest.mark.whole
@pytest.mark.parametrize("cell", symcell.names())
def test_the_table_is_of_the_kernels_as_they_are(tool: ModuleType, cell: str) -> None:
    """By the fingerprints of their sources: without compiling any."""
    assert not tool.changed(cell, tool.rows())[0], "run python tools/kernel_table.py, which takes an hour"


@pytest.mark.skipif(not nvrtc.available(), reason="no NVRTC")
def test_a_kernel_compiles_to_what_the_table_says(tool: ModuleType) -> None:
    """With the same NVRTC, and as long as it is the same; else it still spills nothing."""
    key = tool.Key("gru", "sm_90", "float16")
    (source,) = [source for source in tool.sources_of(key) if source.kernels == ("forward_steps",)]
    (row,) = tool.compiled(key, source)
    assert not tool.faults(row)
    (kept,) = [found for found in tool.rows() if (found.cell, found.arch, found.precision, found.kernel) == (
        row.cell, row.arch, row.precision, row.kernel)]  # fmt: skip
    same = tool.read()["nvrtc"] == ".".join(map(str, nvrtc.version())) and kept.code == row.code
    assert row == kept or not same
