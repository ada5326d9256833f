"""The verification as a whole: what passes, what must not, and what is said when a witness is missing."""

from __future__ import annotations

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


def parse(text: str) -> Cell:
    return symcell.parse(text, name="test")


TORCH: set[str] = set() if pytorch.missing() else {"torch"}
"""A witness where PyTorch is installed."""

RNN = "h[t] = tanh(W @ x[t] + U @ h[t-1] + b)"


def one(found: Report) -> CellReport:
    assert len(found.cells) == 1
    return found.cells[0]


def rendered(report: Report, width: int = 100) -> str:
    console = Console(width=width, record=True, file=None, force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(report.render(width))
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
        shown = rendered(report, width)
        legend = shown[shown.index("within tolerance") :]
        assert "left out: no C++ compiler" in legend
        assert "left out: PyTorch is not installed" in legend
        assert "–torch" not in shown.removesuffix(legend), "a column without a number"
        assert "–step" in shown.removesuffix(legend)


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


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_tables_fit(width: int) -> None:
    report = verify([symcell.load("rnn")])
    shown = rendered(report, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "rnn: all 7 tensors within tolerance" in shown
    assert "1 of 1 cells verified" in shown
    if width >= 80:
        assert "dh[0]" in shown
        for head in ("numpy", "f64", "f32 ULP", "adjoint", "–step", "–diff", "–torch"):
            assert head in shown
