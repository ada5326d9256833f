"""``symcell flow``: what it prints, writes and says of mistakes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import symcell
from symcell import checkpoint
from symcell.cli import app

SMALL = ("--T", "6", "--size", "H=4", "--size", "D=3", "--batch", "1", "--no-sweeps")


def run(*args: str) -> Result:
    return CliRunner().invoke(app, ["flow", *args])


def test_json_of_parameters_in_a_file(tmp_path: Path) -> None:
    module = symcell.compile("rnn")
    params = module.init_params(D=3, H=4, seed=9, dtype="float64")
    np.savez(tmp_path / "rnn.npz", **params)
    found = run("rnn", "--T", "6", "--no-sweeps", "--json", "--params", str(tmp_path / "rnn.npz"))
    assert found.exit_code == 0, found.output
    (cell,) = json.loads(found.output)["cells"]
    assert cell["sizes"] == {"D": 3, "H": 4}
    assert [s["name"] for s in cell["stages"]] == ["at initialisation", "with the parameters given"]


def test_parameters_of_a_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    module = symcell.compile("gru")
    checkpoint.save(tmp_path / "gru.safetensors", module, module.init_params(D=3, H=4, seed=9))
    found = run("rnn", "gru", *SMALL, "--params", f"gru={tmp_path / 'gru.safetensors'}")
    assert found.exit_code == 0, found.output
    assert found.output.count("with the parameters given") >= 2


def test_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = run("rnn", *SMALL, "--out", str(tmp_path / "new" / "out"))
    assert found.exit_code == 0, found.output
    names = sorted(p.name for p in (tmp_path / "new" / "out").iterdir())
    drawn = [f"{n}.{k}" for n in ("overview", "gradients", "singular") for k in ("png", "svg")]
    assert names == sorted(["flow.json", "flow.csv", *drawn])
    assert f"written: {tmp_path / 'new' / 'out' / 'flow.csv'}" in found.output


def test_letters_that_the_font_lacks_are_no_warning(tmp_path: Path) -> None:
    """Warnings are errors here; Korean letters are not in matplotlib's own font."""
    pytest.importorskip("matplotlib")
    cell = tmp_path / "셀.cell"
    cell.write_text("h[t] = tanh(W @ x[t] + U @ h[t-1])\n", "utf-8")
    found = run(str(cell), *SMALL, "--out", str(tmp_path / "out"))
    assert found.exit_code == 0, found.output


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = run("rnn", *SMALL, "--out", str(tmp_path / "out"))
    assert found.exit_code == 2
    assert "pip install 'symcell[plot]'" in found.output
    assert not (tmp_path / "out").exists()
    found = run("rnn", *SMALL, "--out", str(tmp_path / "out"), "--no-plots")
    assert found.exit_code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["flow.csv", "flow.json"]


@pytest.mark.parametrize(("args", "said"), [
    (["nosuch"], "nosuch"),
    ([], "Missing argument"),
    (["rnn", "--T", "1"], "1 is not in the range x>=2"),
    (["rnn", "--size", "Q=3"], "no size Q"),
    (["rnn", "--train", "dancing"], "expected adding or copy"),
    (["rnn", "--params", "no/such.npz"], "No such file"),
    (["rnn", "gru", "--params", "x.npz"], "expected CELL=FILE, with one of rnn, gru"),
    (["lmu"], "--params lmu=FILE"),
])  # fmt: skip
def test_mistakes(args: list[str], said: str) -> None:
    found = run(*args)
    assert found.exit_code == 2
    assert said in " ".join(found.output.split())
    assert "Traceback" not in found.output


def test_parameters_that_do_not_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", W=np.ones((3, 2)), U=np.ones((4, 4)), b=np.ones(3))
    found = run("rnn", "--params", str(tmp_path / "a.npz"))
    assert found.exit_code == 2
    assert "rnn: the parameters do not fit: " in found.output
    (tmp_path / "b.npz").write_bytes(b"PK no archive")
    found = run("rnn", "--params", str(tmp_path / "b.npz"))
    assert found.exit_code == 2
    assert "no .npz of arrays" in found.output
