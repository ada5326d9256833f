"""Numbers of 16 bits on trial: what is rounded passes, what is wrong does not."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

import symcell
from symcell.cell import CellError
from symcell.verify import trial
from symcell.verify.cases import Kind, random_case
from symcell.verify.halves import HALVES, Alike, alike, rounded
from symcell.verify.targets import Target, compiler_missing, run, targets

pytest.importorskip("ml_dtypes")
pytestmark = pytest.mark.usefixtures("soon")

CELL = symcell.load("layernorm_lstm")
"""Rows whose units meet, gates that are taped, products before, in and behind the loop."""

ROUNDING = re.compile(r"_round\([^\n]+, dtype\)$", re.MULTILINE)

RNN = "h[t] = tanh(W @ x[t] + U @ h[t-1] + b)"


def test_targets_are_compared_with_the_reference_and_with_each_other() -> None:
    targets = ("numpy",) if compiler_missing() else ("numpy", "c")
    (found,) = symcell.verify(symcell.parse(RNN, name="rnn"), targets=targets, dtypes=HALVES).cells
    assert found.ok, found.summary()
    columns = {column.name: column for column in found.columns if column.kind in HALVES}
    names = [f"{target} {short} ULP" for short in ("f16", "bf16") for target in targets]
    assert {*names} <= columns.keys()
    assert ("c–numpy bf16 ULP" in columns) == (len(targets) == 2)
    for column in columns.values():
        worst = found.worst(column)
        assert worst is not None
        assert worst <= column.tolerance.limit
        assert worst > 0 or "–" in column.name, "C may round as NumPy does"


def test_nothing_is_said_of_types_that_were_not_asked_for() -> None:
    (found,) = symcell.verify(symcell.parse(RNN, name="rnn"), targets=["numpy"], dtypes=["float16"]).cells
    assert {column.kind for column in found.columns if column.kind in HALVES} == {"float16"}
    (found,) = symcell.verify(symcell.parse(RNN, name="rnn"), targets=["numpy"]).cells
    assert not any(column.kind in HALVES for column in found.columns)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("return array if array.dtype == dtype else array.astype(dtype)\n",
         "return array if array.dtype == dtype else (array * 1.2).astype(dtype)\n"),
        ("return np.matmul(_rounded(left, dtype), right, out=out)", "return np.matmul(left * 0, right, out=out)"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_16_bits_alone_is_caught(tmp_path: Path, right: str, wrong: str) -> None:
    """The same lines do nothing where numbers have more bits."""
    text = symcell.source(symcell.parse(RNN, name="mine"), "numpy")
    assert right in text
    path = tmp_path / "mine_numpy.py"
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    (found,) = symcell.verify(path, dtypes=["bfloat16"]).cells
    assert {column.kind for _, column in found.failures()} == {"bfloat16"}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    ("function", "count"), [("_forward_sweep", 1), ("_forward_sweep", 0), ("_backward_sweep", 0)]
)
def test_a_rounding_that_is_missing_shows(dtype: str, function: str, count: int) -> None:
    """Of the product before the loop alone (``count`` 1), or all of a sweep (0): then many numbers differ."""
    text = symcell.source(CELL, "numpy")
    before, head, after = text.partition(f"def {function}(")
    broken, removed = ROUNDING.subn("pass", after, count)
    assert removed >= 1
    case = rounded(random_case(CELL, Kind("lengths", 8, 8, lengths=(8, 8, 3, 8, 5, 8, 8, 8))), dtype)
    whole, other = (run(loaded(code), case, dtype) for code in (text, before + head + broken))
    found = alike(other, whole)
    assert not found.ok, found
    assert alike(whole, whole) == Alike(0, found.total, 0)


def test_targets_that_round_elsewhere_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ROUNDING.sub("pass", symcell.source(CELL, "numpy"))
    other = Target("c", "c", lambda _: loaded(text))
    monkeypatch.setattr(trial, "targets", lambda: (targets()[0], other))
    (found,) = symcell.verify(CELL, dtypes=["bfloat16"]).cells
    assert not found.failures(), "each is near the reference"
    assert not found.problems
    said = "\n".join(found.notes)
    assert re.search(r"c and numpy, bfloat16, .*: \d+ of \d+ numbers differ, by \d+ ULP at most", said), said


def loaded(text: str) -> types.ModuleType:
    module = types.ModuleType("module")
    exec(compile(text, "<module>", "exec", dont_inherit=True), module.__dict__)
    return module


def test_types_that_are_unknown_or_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="dtypes: expected some of float16, bfloat16, got 'int8'"):
        symcell.verify("rnn", dtypes=["int8"])
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(CellError, match="bfloat16 needs the package ml_dtypes: pip install ml_dtypes"):
        symcell.verify("rnn", dtypes=["bfloat16"])
