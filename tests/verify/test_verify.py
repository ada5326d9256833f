"""The verification as a whole: what passes, what must not, and what is said when a witness is missing."""

from __future__ import annotations

import json
import re
import types
from dataclasses import replace
from typing import Any

import pytest
from feature_cells import FEATURES
from rich.console import Console

import symcell
from symcell.cell import Cell
from symcell.graph import Pointwise
from symcell.verify import Report, pytorch, trial, verify
from symcell.verify.report import CellReport
from symcell.verify.targets import Target

pytestmark = pytest.mark.usefixtures("soon")


def parse(text: str) -> Cell:
    return symcell.parse(text, name="test")


TORCH: set[str] = set() if pytorch.missing() else {"torch"}
"""A witness where PyTorch is installed."""

RNN = "h[t] = tanh(W @ x[t] + U @ h[t-1] + b)"


def one(found: Report) -> CellReport:
    assert len(found.cells) == 1
    return found.cells[0]


def rendered(report: Report, width: int = 100, *, legend: bool = False) -> str:
    console = Console(width=width, record=True, file=None, force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(report.render(width, legend=legend))
    return captured.get()


@pytest.mark.parametrize(
    "name",
    [
        "kinks",
        "over_units",
        "two_inputs",
        "learned_lags",
        "unread_input",
        "feed_forward",
        "scalars",
        "smooth",
        "matrix_memory",
        "matrix_lags",
        "matrix_start",
        "matrix_input_and_output",
        "constant_arrays",
        "sizes_named_t_and_b",
    ],
)
def test_cells_of_all_kinds_pass(name: str) -> None:
    report = verify([symcell.parse(FEATURES[name], name=name)])
    assert report.ok, str(report)
    for row in one(report).rows:
        for column in one(report).columns:
            expected = not column.missing and (
                row.tensor.startswith("d") or column.kind not in ("derived", "complex", "central")
            )
            assert (column.title in row.errors) == expected, f"{row.tensor}, {column.title}"


def test_progress_and_rows() -> None:
    told: list[str] = []
    report = verify([symcell.load("rnn"), symcell.load("narx")], progress=told.append)
    assert told == ["rnn (1 of 2)", "narx (2 of 2)"]
    assert report.ok
    assert [row.tensor for row in report.cells[0].rows] == [
        "y",
        "last h",
        *(f"d{p}" for p in _flat("rnn")),
        "dx",
        "dh[0]",
    ]
    notes = ("the same cell as torch.nn.RNN, which is a witness too",) if TORCH else ()
    assert report.cells[0].notes == notes
    said = ["rnn: all 7 tensors within tolerance", *(f"  {note}" for note in notes)]
    assert str(report).splitlines() == [*said, "narx: all 8 tensors within tolerance"]
    assert report.cells[1].notes == ()


def _flat(name: str) -> tuple[str, ...]:
    from symcell.verify.cases import KINDS, random_case

    return tuple(random_case(symcell.load(name), KINDS[0]).params)


def test_errors_are_small() -> None:
    """Far below the tolerances: a change that costs digits is noticed here."""
    found = one(verify([symcell.load("lstm")]))
    worst = {column.kind: found.worst(column) or 0 for column in found.columns}
    assert worst["float64"] < 1e-14
    assert worst["float32"] < 32
    assert worst["derived"] < 1e-45
    assert worst["central"] < 1e-8


def twisted(monkeypatch: pytest.MonkeyPatch, source: Any) -> None:
    """Every NumPy module that is verified is built from changed source."""
    monkeypatch.setattr(trial, "targets", lambda: (Target("numpy", "numpy", source),))


def changed(before: str, after: str) -> Any:
    from symcell.pipeline import source

    def build(of: Cell) -> types.ModuleType:
        code = source(of, "numpy")
        assert before in code
        module = types.ModuleType("changed")
        exec(compile(code.replace(before, after), "<changed>", "exec"), module.__dict__)
        return module

    return build


def test_a_wrong_kernel_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    twisted(monkeypatch, changed("return Grads(grads, dx", "grads.flat[0] *= 1\n    return Grads(grads, dx"))
    assert verify([parse(RNN)]).ok
    twisted(monkeypatch, changed("return Grads(grads, dx", "grads.flat[0] *= 1 + 1e-9\n    return Grads(grads, dx"))
    report = verify([parse(RNN)])
    assert not report.ok
    failing = {(row.tensor, column.kind) for row, column in one(report).failures()}
    assert len({tensor for tensor, _ in failing}) == 1
    assert {kind for _, kind in failing} == {"float64", "complex"} | TORCH
    assert "numpy float64 and the reference are 1e-09 apart, 1e-12 allowed" in str(report)
    shown = rendered(report)
    assert "e-09 !" in shown or "e-10 !" in shown
    assert "0 of 1 cells verified" in shown


def test_a_module_that_breaks_down_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    twisted(
        monkeypatch,
        changed("return Grads(grads, dx", "raise RuntimeError('none today')\n    return Grads(grads, dx"),
    )
    report = verify([parse(RNN)])
    assert not report.ok
    assert "numpy float64, given states: RuntimeError: none today" in one(report).problems


def test_a_target_that_cannot_be_built_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(of: Cell) -> types.ModuleType:
        raise NotImplementedError("a function without a printer")

    twisted(monkeypatch, build)
    assert one(verify([parse(RNN)])).problems == ("numpy: NotImplementedError: a function without a printer",)


def test_a_wrong_adjoint_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Derivation and kernels that agree with each other do not pass: complex steps and PyTorch disagree."""
    import symcell.pipeline as pipeline
    from symcell.adjoint import adjoint

    def wrong(graph: Any) -> Any:
        found = adjoint(graph)
        steps = tuple(
            Pointwise(op.out, -op.body) if isinstance(op, Pointwise) and op.out == "da_h" else op
            for op in found.graph.steps
        )
        assert steps != found.graph.steps
        return replace(found, graph=replace(found.graph, steps=steps))

    monkeypatch.setattr(pipeline, "adjoint", wrong)
    failing = {column.kind for _, column in one(verify([parse(RNN)])).failures()}
    assert failing == {"derived", "complex", "central"} | TORCH


def test_missing_witnesses_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from symcell.verify import targets

    monkeypatch.setattr(targets, "gpu_missing", lambda: "no CUDA device")
    monkeypatch.setattr(targets, "emulator_missing", lambda: "no C++ compiler")
    monkeypatch.setattr(pytorch, "missing", lambda: "PyTorch is not installed")
    report = verify([parse(RNN)])
    assert report.ok
    missing = {c.kind: c.missing for c in one(report).columns if c.missing}
    assert missing == dict.fromkeys(("float64", "float32", "apart"), "no C++ compiler") | {
        "torch": "PyTorch is not installed"
    }
    for width in (80, 120):
        table, notes = rendered(report, width).split("within tolerance")
        words = " ".join(notes.split())
        assert "left out: cupy f64, cupy f32 ULP, cupy-numpy (no C++ compiler)" in words
        assert "left out: numpy-torch (PyTorch is not installed)" in words
        assert "–torch" not in table, "a column without a number"
        assert "–step" in table
        assert "numpy-torch numpy and PyTorch left out" in " ".join(rendered(report, width, legend=True).split())


def test_a_cell_that_is_nowhere_defined() -> None:
    report = verify([parse("h[t] = log(-1 - x[t]**2) + h[t-1]")])
    assert not report.ok
    assert one(report).problems[0] == "given states: no point was found where all values are finite"


def test_a_cell_that_is_not_defined_everywhere() -> None:
    report = verify([parse("x: H\nh[t] = log(h[t-1]) * b + sqrt(x[t] + 4)")])
    assert report.ok, str(report)
    assert one(report).notes == ("own start: no point was found where all values are finite",)


def test_at_a_kink_the_other_difference_is_taken() -> None:
    text = "x: H\nh[t] = 0.2*(abs(h[t-1]) + maximum(h[t-1], 0) + max(h[t-1]) + norm(h[t-1])) + x[t] * a"
    report = verify([parse(text)])
    assert report.ok, str(report)


def test_nothing_is_cut_where_tables_are_narrow() -> None:
    """Every number of every column stands in some table, whatever the width; no table has one column alone."""
    report = verify([symcell.load("rnn")])
    made = [c for c in one(report).columns if not c.missing]
    for width in (45, 60, 80, 100, 140):
        shown = rendered(report, width, legend=True)
        assert max(map(len, shown.splitlines())) <= width
        assert "rnn: all 7 tensors within tolerance" in shown
        assert "1 of 1 cells verified" in shown
        tables = shown.split("tensor  ")[1:]
        assert "…" not in shown
        lines = [line.split() for line in shown.splitlines() if line.startswith("dW")]
        assert len(lines) == len(tables)
        numbers = [number for line in lines for number in line[1:]]
        assert len(numbers) == len(made), "one for each comparison"
        assert len(tables) == 1 or len(lines[-1]) > 3, "not one column alone in the last table"
        for column in made:
            assert column.name in shown
            assert column.title in " ".join(shown.split())


def test_data_is_json_and_has_every_number() -> None:
    """Protects programs that read it: keys, and no word that JSON lacks."""
    report = verify([symcell.load("rnn")], targets=["numpy"])
    data = json.loads(json.dumps(report.data(), allow_nan=False))
    assert list(data) == ["ok", "cells"]
    (cell,) = data["cells"]
    assert list(cell) == ["cell", "ok", "summary", "problems", "notes", "columns", "tensors"]
    heads = {column["name"]: column for column in cell["columns"]}
    assert {"numpy f64", "numpy f32 ULP", "adjoint-step", "numpy-step", "numpy-diff"} <= set(heads)
    assert not any("cupy" in name or name.startswith("c ") for name in heads), "they were not asked for"
    assert heads["numpy f64"]["tolerance"]["limit"] == 1e-12
    assert [t["name"] for t in cell["tensors"]] == [row.tensor for row in one(report).rows]
    assert cell["tensors"][0]["errors"]["numpy f64"] == one(report).rows[0].errors["numpy float64 and the reference"]
    broken = replace(one(report), rows=(replace(one(report).rows[0], errors={made: float("inf") for made in
                                                                            one(report).rows[0].errors}),))  # fmt: skip
    assert set(broken.data()["tensors"][0]["errors"].values()) == {None}
    assert not broken.data()["ok"]


def test_other_seeds_are_other_numbers() -> None:
    first, again, other = (verify("rnn", targets=["numpy"], seed=seed).cells[0].rows for seed in (0, 0, 7))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"targets": ["fortran"]}, ValueError, "targets: expected some of numpy, c, cupy, got 'fortran'"),
        ({"seed": -1}, ValueError, "seed: expected 0 or more, got -1"),
        ({"targets": ["c"]}, symcell.CellError, "the target c cannot run here: no C compiler"),
    ],
)
def test_what_cannot_be_verified_is_an_error(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    from symcell.verify import targets

    monkeypatch.setattr(targets, "compiler_missing", lambda: "no C compiler")
    with pytest.raises(error, match=re.escape(message)):
        verify("rnn", **options)
