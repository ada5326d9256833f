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
            progress(cell)
            seen.append(cell)
        return Report(tuple(CellReport(c, (), (), ("it is wrong",) if c == "gru" else ()) for c in cells))

    monkeypatch.setattr(verify, "verify", stand_in)
    return seen


def test_all_shipped_cells_are_verified_where_none_is_named(symcell, asked):
    assert "it is wrong" in symcell("verify", status=1).output
    assert asked == list(library.names())


def test_the_status_follows_the_verdict(symcell, asked):
    assert "1 of 1 cells verified" in symcell("verify", "lstm").output
    assert "1 of 2 cells verified" in symcell("verify", "lstm", "gru", status=1).output
    assert asked == ["lstm", "lstm", "gru"]


def test_a_file_is_tried_as_it_stands(symcell, tmp_path):
    symcell("generate", "rnn", "--target", "numpy", "--out", "some")
    assert "1 of 1 cells verified" in symcell("verify", "some/rnn_numpy.py").output
    path = tmp_path / "some" / "rnn_numpy.py"
    path.write_text(path.read_text().replace("np.tanh(", "np.sin("))
    output = symcell("verify", "some/rnn_numpy.py", status=1).output
    assert "differs from what would be generated now" in output
    assert "0 of 1 cells verified" in output


def test_what_is_no_module_is_told_without_a_traceback(symcell, tmp_path):
    (tmp_path / "mine.py").write_text("x = 1\n")
    for name, what in (("mine.py", "has no EQUATIONS"), ("gone.py", "cannot be read")):
        assert what in symcell("verify", name, status=2).stderr
