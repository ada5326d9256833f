"""``verify``: a thin command over :mod:`symcell.verify`."""

from __future__ import annotations

import pytest

import symcell as library
from symcell import verify
from symcell.verify import CellReport, Report


@pytest.fixture
def asked(monkeypatch):
    """Which cells were to be verified, by a stand-in whose verdict depends on the name."""
    seen: list[str] = []

    def stand_in(cells, *, progress=None):
        for cell in cells:
            progress(cell.name)
            seen.append(cell.name)
        return Report(tuple(CellReport(c.name, (), (), ("it is wrong",) if c.name == "gru" else ()) for c in cells))

    monkeypatch.setattr(verify, "verify", stand_in)
    return seen


def test_all_shipped_cells_are_verified_where_none_is_named(symcell, asked):
    assert "it is wrong" in symcell("verify", status=1).output
    assert asked == list(library.names())


def test_the_status_follows_the_verdict(symcell, asked):
    assert "1 of 1 cells verified" in symcell("verify", "lstm").output
    assert "1 of 2 cells verified" in symcell("verify", "lstm", "gru", status=1).output
    assert asked == ["lstm", "lstm", "gru"]
