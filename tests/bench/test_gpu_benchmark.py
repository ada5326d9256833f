"""benchmarks/gpu.py without a GPU: NumPy's module stands in for CuPy's, and PyTorch runs on the CPU."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import symcell
from symcell.emulate import nvrtc

torch = pytest.importorskip("torch")

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    cupy = ModuleType("cupy")
    vars(cupy).update(vars(np), get_default_memory_pool=lambda: SimpleNamespace(free_all_blocks=lambda: None))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    import gpu
    import gpu_contenders
    import gpu_measure
    import gpu_timing

    drawn = gpu_contenders.given
    monkeypatch.setattr(gpu_contenders, "module", lambda cell, strategy, tf32: symcell.compile(cell))
    monkeypatch.setattr(gpu_measure, "given", lambda work: drawn(work, "cpu"))
    monkeypatch.setattr(gpu_timing, "DeviceClock", lambda: time.perf_counter)
    yield gpu
    for name in ("gpu", "from_checkout", "within", *(path.stem for path in FOLDER.glob("*gpu*.py"))):
        sys.modules.pop(name, None)


def rows(gpu: ModuleType, *arguments: str) -> list[dict[str, object]]:
    asked = gpu.parsed(["--no-tests", "--no-basics", "--no-compile", "--seconds", "600", *arguments])
    results = gpu.Results(asked.out / "found.json", {}, {})
    gpu.measure_all(gpu.chosen(asked), asked, results, gpu.Budget(asked.seconds))
    assert gpu.table(results.rows)
    return json.loads((asked.out / "found.json").read_text())["rows"]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "peephole_lstm", "mlstm"])
def test_contenders_agree_with_float64(gpu: ModuleType, cell: str, tmp_path: Path) -> None:
    """Every contender computes the cell, and gradients are compared by name."""
    (row,) = rows(gpu, "--cell", cell, "-T", "4", "-B", "3", "-H", "6", "-D", "6", "--loop", "--out", str(tmp_path))
    assert not row["failed"]
    limits = {"torch.nn float16": 2e-2, "torch.nn bfloat16": 0.1, "symcell auto float16": 2e-2}
    for name, errors in row["errors"].items():
        assert len(errors) == 2, "y, and the gradient that is farthest off"
        assert all(0 <= off < limits.get(name, 2e-6) for off in errors.values()), (name, errors)
    assert set(row["times"]["train"]) == set(row["times"]["forward"]) == set(row["errors"])
    assert {"symcell auto float32", "torch loop"} <= set(row["errors"])


def test_what_is_wrong_shows(gpu: ModuleType) -> None:
    apart = sys.modules["gpu_contenders"].apart
    exact = {"y": torch.ones(3), "d W": torch.ones(2), "d b": torch.ones(2)}
    found = apart({**exact, "d W": torch.tensor([1.0, 2.0]), "d b": torch.tensor([1.0, 1.1])}, exact)
    assert found == {"y": 0.0, "d W": pytest.approx(0.5**0.5)}
    lost = apart({**exact, "d b": torch.tensor([float("nan"), 1.0])}, exact)
    assert np.isnan(lost["d b"]), "a NaN never passes"


def test_one_that_fails_is_recorded(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such\nkernel")

    monkeypatch.setattr(sys.modules["gpu_contenders"], "module", broken)
    (row,) = rows(gpu, "-T", "2", "-B", "2", "-H", "3", "--out", str(tmp_path))
    assert set(row["failed"]) == {"symcell auto float32", "symcell auto float16"}
    assert set(row["failed"].values()) == {"RuntimeError: no such kernel"}
    assert "torch.nn float32" in row["times"]["train"]


def test_what_there_is_no_time_for_is_listed(gpu: ModuleType, tmp_path: Path) -> None:
    asked = gpu.parsed(["--no-compile", "--out", str(tmp_path)])
    results = gpu.Results(tmp_path / "found.json", {}, {})
    gpu.measure_all(gpu.chosen(asked), asked, results, gpu.Budget(1))
    assert results.skipped == [str(case) for case in gpu.gpu_cases.whole()]
    assert not results.rows


def test_a_whole_run_writes_prints_and_draws(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    found = gpu.gpu_machine.Found
    device = {"name": "NVIDIA T1000", "driver": "1", "libraries": {}}
    monkeypatch.setattr(gpu.gpu_machine, "device", lambda: device)
    monkeypatch.setattr(
        gpu.gpu_machine, "basics", lambda quick: [found("a barrier", "µs", 1.0, 0.5, 2.0), found("b", "µs", error="no")]
    )
    monkeypatch.setattr(gpu.faulthandler, "dump_traceback_later", lambda seconds, exit: None)
    monkeypatch.setattr(gpu, "tests", lambda seconds: {"status": 0, "last": ["12 passed"], "output": ["12 passed"]})
    sizes = ["-T", "2", "-B", "2", "-B", "3", "-H", "4", "--loop"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--no-compile", *sizes, "--out", str(tmp_path)])
    assert gpu.main() == 0
    assert (tmp_path / "gpu_own_t1000.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((tmp_path / "gpu_own_t1000.json").read_text())
    assert written["machine"] == device
    assert written["basics"] == [{"what": "a barrier", "unit": "µs", "value": 1.0, "least": 0.5, "most": 2.0},
                                 {"what": "b", "unit": "µs", "error": "no"}]  # fmt: skip
    assert [row["B"] for row in written["rows"]] == [2, 3]
    assert written["tests"]["last"] == ["12 passed"]
    output = capsys.readouterr().out
    assert "train, ms: forward + backward" in output
    assert "tests: 12 passed" in output


def test_a_command_ends_with_its_children(gpu: ModuleType) -> None:
    """Or what is measured next shares the GPU with it."""
    from within import Done, within

    assert within(20, [sys.executable, "-c", "print(1)"]) == Done(0, "1\n")
    start = time.monotonic()
    done = within(1, ["sh", "-c", "echo begun; sleep 60 & sleep 60"])
    assert done == Done(None, "begun\n")
    assert time.monotonic() - start < 20, "a child would keep the pipe open"


def test_a_strategy_that_is_asked_for_is_measured_alone(gpu: ModuleType, tmp_path: Path) -> None:
    """Else the module's own choice is, in float32 and float16, and in a few cases every strategy and precision."""
    (row,) = rows(gpu, "-T", "2", "-B", "2", "-H", "3", "--strategy", "block", "--out", str(tmp_path))
    assert [name for name in row["errors"] if name.startswith("symcell")] == ["symcell block float32"]
    cases = gpu.gpu_cases.whole()
    closely = [case for case in cases if case.closely]
    assert 0 < len(closely) < len(cases) / 4
    assert {case.ways for case in cases if not (case.closely or case.hidden >= gpu.gpu_cases.LARGE)} == {
        (("auto", "float32"), ("auto", "float16"))}  # fmt: skip
    known = sys.modules["gpu_contenders"]
    assert set(known.STRATEGIES) == set(symcell.compile("lstm", "cupy", emulate=True).STRATEGIES)
    assert {way[0] for way in closely[0].ways} == {*known.STRATEGIES} - {"block"}, "few sizes fit one block"
    assert {way[1] for way in closely[0].ways} == {*known.CUDNN}


def test_every_case_is_one_of_a_cell(gpu: ModuleType) -> None:
    cases = gpu.gpu_cases.whole()
    assert len(cases) == len({str(case) for case in cases})
    for case in (*gpu.gpu_cases.QUICK, gpu.gpu_cases.COMPILED, *cases):
        assert set(case.work().sizes.values()) == {case.hidden}


@pytest.mark.skipif(not nvrtc.available(), reason="no NVRTC")
def test_a_dry_run_compiles_the_kernels(gpu: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    asked = gpu.parsed(["--dry-run", "--cell", "gru"])
    assert gpu.dry_run(gpu.chosen(asked), asked) == 0
    assert "parts of a step: " in capsys.readouterr().out
