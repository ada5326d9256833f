"""``generate`` and ``check`` as one uses them."""

from __future__ import annotations

import re
import shutil

import pytest

from symcell.generate import checking, sources
from symcell.pipeline import TARGETS

ALONE = """
import sys
sys.path.insert(0, ".")
import numpy as np
import mycell_numpy as cell

assert not any(name.partition(".")[0] in ("symcell", "sympy") for name in sys.modules)
assert "i[t] = 1 - f[t]" in cell.EQUATIONS
params = cell.init_params(D=3, H=4, seed=1, dtype="float64")
x = np.random.default_rng(0).standard_normal((5, 2, 3))
y, last, tape = cell.forward(params, x)
grads = cell.backward(params, tape, np.ones_like(y))
assert y.shape == (5, 2, 4) and grads.x.shape == x.shape and np.isfinite(grads.params.flat).all()
assert grads.params.flat.any() and "W_i" not in grads.params and last["c"].shape == (2, 4)
print("ok")
"""


@pytest.fixture
def mycell(symcell, tmp_path):
    """A cell made from another, one gate edited, generated and checked."""
    symcell("new", "mycell", "--from", "lstm")
    path = tmp_path / "mycell.cell"
    edited = re.sub(r"(?m)^i\[t\] = .*$", "i[t] = 1 - f[t]   # input gate", path.read_text("utf-8"))
    path.write_text(edited, "utf-8")
    symcell("generate", "mycell", "--out", "mycells")
    return tmp_path / "mycells"


def test_from_a_name_to_a_module_that_stands_alone(symcell, process, mycell, tmp_path):
    assert symcell("check", "mycells").output == f"mycells: {len(TARGETS)} files are what would be generated now\n"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(mycell / "mycell_numpy.py", elsewhere)
    (elsewhere / "alone.py").write_text(ALONE)
    done = process("-I", "-c", "import os; os.chdir('elsewhere'); exec(open('alone.py').read())")
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_check_without_the_cell_file_reads_the_equations_in_the_module(symcell, mycell, tmp_path):
    (tmp_path / "mycell.cell").unlink()
    output = symcell("check", "mycells").output
    assert "no mycell.cell at hand" in output
    assert f"{len(TARGETS)} files are what would be generated now" in output


def test_generate_says_what_it_did(symcell, mycell):
    assert symcell("generate", "mycell", "--out", "mycells").output.splitlines() == [
        *(f"unchanged: mycells/mycell_{target}.py" for target in TARGETS),
        "unchanged: mycells/MANIFEST.json",
        f"{len(TARGETS) + 1} unchanged in mycells",
    ]


def test_targets_can_be_chosen(symcell, tmp_path):
    symcell("generate", "rnn", "--target", "numpy", "--target", "numpy")
    found = {p.name for p in (tmp_path / "generated").iterdir()}
    assert found == {"MANIFEST.json", "__init__.py", "rnn_numpy.py"}
    result = symcell("generate", "rnn", "--target", "fortran", status=2)
    assert "'fortran' is none of numpy, c, cupy" in result.stderr


def mend(symcell, output):
    """Runs the commands that a report ends with."""
    commands = re.findall(r"^to mend: symcell (.*)$", output, re.MULTILINE)
    assert commands
    for command in commands:
        symcell(*command.split())


def test_an_edit_by_hand_is_shown_and_mended(symcell, mycell):
    path = mycell / "mycell_numpy.py"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"np.tanh(c_t, out=tanh_c_t)", b"np.sinh(c_t, out=tanh_c_t)", 1))
    output = symcell("check", "mycells", status=1).output
    assert "edited: mycells/mycell_numpy.py" in output
    assert "    -        np.sinh(c_t, out=tanh_c_t)\n    +        np.tanh(c_t, out=tanh_c_t)\n" in output
    assert "to mend: symcell generate mycell --out mycells\n" in output
    mend(symcell, output)
    assert path.read_bytes() == whole
    symcell("check", "mycells")


def test_changed_equations_are_shown_and_mended(symcell, mycell, tmp_path):
    path = tmp_path / "mycell.cell"
    path.write_text(path.read_text("utf-8").replace("tanh(c[t])", "softsign(c[t])"), "utf-8")
    output = symcell("check", "mycells", status=1).output
    assert "stale: mycells/mycell_numpy.py: the equations have changed since (mycell.cell)" in output
    assert "more lines; --full shows them" in output
    assert "more lines" not in symcell("check", "mycells", "--full", status=1).output
    mend(symcell, output)
    symcell("check", "mycells")


NO_ENTRY = '{"format": 1, "files": {"../x.py": {}}, "shared": false}'


@pytest.mark.parametrize("damage", ["", "[]", NO_ENTRY], ids=["empty", "list", "entry"])
def test_a_damaged_manifest_is_told_and_mended(symcell, mycell, damage):
    (mycell / "MANIFEST.json").write_text(damage, "utf-8")
    output = symcell("check", "mycells", status=1).output
    assert "manifest: mycells/MANIFEST.json: this manifest cannot be read" in output
    mend(symcell, output)
    symcell("check", "mycells")


def test_a_missing_directory_is_told_and_mended(symcell, monkeypatch):
    monkeypatch.setattr(sources, "names", lambda: ("mgu", "rnn"))
    monkeypatch.setattr(checking, "names", lambda: ("mgu", "rnn"))
    output = symcell("check", status=1).output
    assert "missing: generated: there is no such directory" in output
    assert output.endswith("to mend: symcell generate\n")
    mend(symcell, output)
    assert symcell("check").output == f"generated: {2 * len(TARGETS)} files are what would be generated now\n"


def test_only_a_few_diffs_are_shown_at_length(symcell, tmp_path):
    symcell("generate", "rnn", "gru", "mgu")
    for path in (tmp_path / "generated").glob("*_*py.py"):
        path.write_text(path.read_text("utf-8") + "\n# mine\n", "utf-8")
    output = symcell("check", status=1).output
    assert output.count("    @@") == 3
    assert "(3 more diffs; --full shows them)" in output
    assert symcell("check", "--full", status=1).output.count("    @@") == 6
    assert output.endswith("to mend: symcell generate gru mgu rnn\n")


def test_a_directory_that_is_a_file(symcell, tmp_path):
    (tmp_path / "mine").write_text("")
    assert "is a file" in symcell("check", "mine", status=2).stderr
    assert "is a file" in symcell("generate", "rnn", "--out", "mine", status=2).stderr
