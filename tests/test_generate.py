"""Modules on the disk: whole, reproducible, and known to the manifest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import symcell
from symcell import pipeline
from symcell.cell import CellError
from symcell.generate import check, find, generate, manifest, writing
from symcell.generate.manifest import ManifestError
from symcell.pipeline import TARGETS, source

ROOT = Path(__file__).parents[1]
OUT = Path("out")
MINE = '"""Mine"""\nh[t] = tanh(W @ x[t] + U @ h[t-1])\n'
NEWER = MINE.replace("tanh", "softsign")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test has a current directory of its own, with a cell in it."""
    monkeypatch.chdir(tmp_path)
    Path("mine.cell").write_text(MINE)
    return tmp_path


def write(*cells, targets=TARGETS, directory=OUT):
    return {w.path.name: w.state for w in generate([find(cell) for cell in cells], directory, targets)}


def kinds(directory=OUT):
    return {(p.path.name, p.kind) for p in check(directory).problems}


def contents(directory=OUT):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_files_are_the_source_of_the_pipeline():
    write("lstm", "mine")
    for cell in ("lstm", "mine"):
        for target in TARGETS:
            assert (OUT / f"{cell}_{target}.py").read_text("utf-8") == source(symcell.load(cell), target)


def test_a_second_run_writes_nothing():
    write("rnn", "mine")
    before = {path: path.stat().st_mtime_ns for path in OUT.iterdir()}
    inodes = {path: path.stat().st_ino for path in OUT.iterdir()}
    assert set(write("rnn", "mine").values()) == {"unchanged"}
    assert {path: path.stat().st_mtime_ns for path in OUT.iterdir()} == before
    assert {path: path.stat().st_ino for path in OUT.iterdir()} == inodes


def test_bytes_do_not_depend_on_hashes_order_or_company(here):
    cells = ["layernorm_lstm", "projected_lstm", "mine"]
    write(*cells)
    orders = {"1": cells[::-1], "77": ["gru", *cells]}
    running = []
    for seed, order in orders.items():
        command = [sys.executable, "-m", "symcell", "generate", *order, "--out", f"out{seed}"]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
    assert [process.wait() for process in running] == [0, 0]
    for seed in orders:
        other = contents(Path(f"out{seed}"))
        for name, data in contents().items():
            if name == manifest.NAME:
                entries = json.loads(other[name])["files"]
                assert {k: v for k, v in entries.items() if v["cell"] != "gru"} == json.loads(data)["files"]
            else:
                assert other[name] == data, name


def test_targets_share_the_graphs_of_a_cell(monkeypatch):
    derived = []
    graphs = pipeline.graphs
    monkeypatch.setattr(pipeline, "graphs", lambda cell: derived.append(cell.name) or graphs(cell))
    write("rnn", "mine")
    check(OUT)
    assert derived == ["rnn", "mine", "mine", "rnn"]


def test_the_manifest_names_no_machine_and_no_time(here):
    write("rnn", "mine")
    text = (OUT / manifest.NAME).read_text("utf-8")
    assert str(here) not in text
    entries = json.loads(text)["files"]
    assert " ".join(sorted(entries["mine_numpy.py"])) == "cell sha256 source stamp target version"
    assert entries["mine_numpy.py"]["source"] == "../mine.cell"
    assert entries["rnn_numpy.py"]["source"] == "shipped"
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def test_a_file_outside_the_current_directory_is_not_named(here, tmp_path_factory):
    away = tmp_path_factory.mktemp("away") / "far.cell"
    away.write_text(MINE)
    write(str(away))
    assert {entry.source for entry in manifest.read(OUT).files.values()} == {None}
    away.write_text(NEWER)
    report = check(OUT)
    assert report.ok
    assert "no far.cell at hand" in report.notes[0]


def test_other_cells_keep_their_entries():
    write("rnn", "mine")
    before = dict(manifest.read(OUT).files)
    Path("mine.cell").write_text(NEWER)
    assert write("mine", targets=["numpy"]) == {"mine_numpy.py": "written", manifest.NAME: "written"}
    after = dict(manifest.read(OUT).files)
    assert after.pop("mine_numpy.py") != before.pop("mine_numpy.py")
    assert after == before
    assert kinds() == {("mine_c.py", "stale"), ("mine_cupy.py", "stale")}


def test_two_cells_of_one_name():
    Path("folder").mkdir()
    Path("folder/mine.cell").write_text(MINE)
    modules = {f"mine_{target}.py" for target in TARGETS}
    assert set(write("mine", "folder/mine.cell")) == modules | {"__init__.py", manifest.NAME}
    Path("folder/mine.cell").write_text(NEWER)
    with pytest.raises(CellError, match="are both called mine"):
        write("mine", "folder/mine.cell", directory=Path("none"))
    assert not Path("none").exists()


def test_a_cell_in_a_folder_is_compared_with_its_own_file():
    Path("folder").mkdir()
    Path("folder/rnn.cell").write_text(MINE)
    write("folder/rnn.cell")
    assert check(OUT).ok
    Path("folder/rnn.cell").write_text(NEWER)
    report = check(OUT)
    assert {p.kind for p in report.problems} == {"stale"}
    assert report.commands == ("symcell generate folder/rnn.cell --out out",)


def test_an_emission_that_fails_leaves_everything_alone(monkeypatch):
    write("mine")
    before = contents()
    Path("mine.cell").write_text(NEWER)

    plans = writing.plans
    monkeypatch.setattr(writing, "plans", lambda cell, targets: {"mine": plans}[cell.name](cell, targets))
    with pytest.raises(KeyError):
        write("mine", "rnn")
    assert contents() == before


def test_check_finds_what_is_missing():
    write("rnn", "mine")
    (OUT / "mine_cupy.py").unlink()
    (OUT / "__init__.py").unlink()
    assert kinds() == {("mine_cupy.py", "missing"), ("__init__.py", "missing")}
    assert check(OUT).commands == ("symcell generate mine --out out",)
    assert write("mine")["mine_cupy.py"] == "written"
    assert check(OUT).ok


def test_check_tells_an_edit_from_an_old_file():
    write("mine")
    path = OUT / "mine_numpy.py"
    path.write_text(path.read_text("utf-8").replace("np.tanh", "np.sinh"), "utf-8")
    (problem,) = check(OUT).problems
    assert (problem.path, problem.kind) == (path, "edited")
    assert any(line.startswith("-") and "np.sinh" in line for line in problem.diff)
    Path("mine.cell").write_text(NEWER)
    assert kinds() == {("mine_numpy.py", "edited"), ("mine_c.py", "stale"), ("mine_cupy.py", "stale")}


def test_check_says_why_a_file_is_stale(monkeypatch):
    write("mine")
    Path("mine.cell").write_text(NEWER)
    assert {p.message for p in check(OUT).problems} == {"the equations have changed since (mine.cell)"}
    Path("mine.cell").write_text(MINE)
    emitter = writing.emitter
    longer = lambda target: SimpleNamespace(emit=lambda plan: emitter(target).emit(plan) + "# more\n")  # noqa: E731
    monkeypatch.setattr(writing, "emitter", longer)
    assert {p.message for p in check(OUT).problems} == {"symcell's plan, templates or emitter have changed since"}
    monkeypatch.setattr("symcell.generate.checking.__version__", "9.9")
    assert {p.message for p in check(OUT).problems} == {"it was written by symcell 0.1.0; this is 9.9"}


def test_check_tells_a_mistake_in_the_equations():
    write("mine")
    Path("mine.cell").write_text("h[t] = 1 +\n")
    (problem,) = check(OUT).problems
    assert problem.kind == "equations"
    assert "mine.cell:1:" in problem.message


def test_strangers_are_pointed_out():
    write("mine")
    (OUT / "rnn_numpy.py").write_text(source(symcell.load("rnn"), "numpy"), "utf-8")
    (OUT / "helper.py").write_text("x = 1\n")
    (OUT / "notes.txt").write_text("not Python\n")
    assert kinds() == {("rnn_numpy.py", "unknown"), ("helper.py", "unknown")}
    assert check(OUT).commands == ("symcell generate rnn --target numpy --out out",)


def test_a_directory_of_other_files_is_shared(here):
    Path("app.py").write_text("x = 1\n")
    write("mine", directory=Path())
    assert not Path("__init__.py").exists()
    assert check(Path()).ok
    Path("rnn_numpy.py").write_text(source(symcell.load("rnn"), "numpy"), "utf-8")
    assert kinds(Path()) == {("rnn_numpy.py", "unknown")}


def test_the_package_file_is_written_once_and_then_yours():
    assert write("mine")["__init__.py"] == "written"
    (OUT / "__init__.py").write_text("x = 1\n")
    assert "__init__.py" not in write("mine")
    assert check(OUT).ok


def test_a_manifest_that_was_edited_or_is_behind():
    write("mine")
    path = OUT / manifest.NAME
    whole = path.read_bytes()
    path.write_bytes(whole + b"\n")
    assert kinds() == {(manifest.NAME, "manifest")}
    Path("mine.cell").write_text(NEWER)
    write("mine")
    path.write_bytes(whole)
    assert kinds() == {(manifest.NAME, "manifest")}, "as after a kill between the modules and the manifest"
    write("mine")
    assert check(OUT).ok


DAMAGED = [
    b"",
    b"\xff",
    b"{",
    b"[]",
    b"null",
    b"[" * 100_000,
    b'{"format": 2}',
    b'{"files": {}, "format": 1}',
    b'{"files": [], "format": 1, "shared": false}',
    b'{"files": {"a_numpy.py": 1}, "format": 1, "shared": false}',
]


@pytest.mark.parametrize("data", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_manifest_is_one_error(data):
    with pytest.raises(ManifestError):
        manifest.decode(data)


@pytest.mark.parametrize("damage", [{"cell": "../mine"}, {"target": "x"}, {"sha256": 1}, {"source": 3}, {"cell": None}])
def test_an_entry_must_be_about_its_own_file(damage):
    write("mine", targets=["numpy"])
    data = json.loads((OUT / manifest.NAME).read_text("utf-8"))
    data["files"]["mine_numpy.py"] |= damage
    with pytest.raises(ManifestError, match=r"mine_numpy\.py"):
        manifest.decode(json.dumps(data).encode())


def test_without_a_manifest_no_equations_get_lost():
    write("mine", "rnn")
    write("gru", targets=["numpy"])
    Path("mine.cell").unlink()
    Path("gru.cell").write_text(MINE)
    (OUT / manifest.NAME).unlink()
    commands = check(OUT).commands
    assert commands == ("symcell generate gru --target numpy --out out",
                        "symcell generate out/mine_c.py rnn --out out")  # fmt: skip
    write("out/mine_c.py", "rnn")
    write("gru", targets=["numpy"])
    assert check(OUT).ok


def test_equations_in_a_module_stand_in_for_the_file():
    write("mine")
    Path("mine.cell").unlink()
    assert check(OUT).ok
    path = OUT / "mine_cupy.py"
    path.write_text("import os\nos.abort()\n" + path.read_text("utf-8"), "utf-8")
    report = check(OUT)
    assert {(p.path.name, p.kind) for p in report.problems} == {("mine_cupy.py", "edited")}
    assert report.commands == ("symcell generate out/mine_c.py --out out",)
    write("out/mine_c.py")
    assert check(OUT).ok


def test_a_cell_that_is_gone_is_forgotten():
    write("mine", "rnn")
    Path("mine.cell").unlink()
    for path in OUT.glob("mine_*"):
        path.unlink()
    assert kinds() == {(f"mine_{target}.py", "missing") for target in TARGETS}
    assert {name for name, state in write("rnn").items() if state == "forgotten"} == {f"mine_{t}.py" for t in TARGETS}
    assert check(OUT).ok


NO_MODULES = ["", "EQUATIONS = 1", "EQUATIONS = open('x').read()\nSTAMP = ''", "(" * 5000, "\0", "x = '\\d'"]


@pytest.mark.parametrize("text", NO_MODULES, ids=range(len(NO_MODULES)))
def test_a_module_without_equations_is_an_error(text):
    Path("mine_numpy.py").write_text(text)
    with pytest.raises(CellError, match="EQUATIONS"):
        find("mine_numpy.py")


@pytest.mark.parametrize("path", ["no_numpy.py", "mine.py", "_numpy.py", "a\0_numpy.py"])
def test_a_module_that_is_not_there_is_an_error(path):
    with pytest.raises(CellError):
        find(path)


def test_leftovers_of_a_killed_run_are_removed():
    OUT.mkdir()
    (OUT / ".mine_numpy.py.0123abcd.tmp").write_text("half")
    (OUT / ".mine_numpy.py.tmp").write_text("somebody else's")
    write("mine")
    assert {path.name for path in OUT.glob(".*")} == {".mine_numpy.py.tmp"}


KILLED = """
import os, signal
from pathlib import Path
from types import SimpleNamespace
from symcell.generate import check, find, generate

out = Path("out")
old, new = Path("mine.cell").read_text(), Path("mine.cell").read_text().replace("tanh", "softsign")

def write(text):
    Path("mine.cell").write_text(text)
    generate([find("mine")], out, ["numpy"])
    return {path.name: path.read_bytes() for path in out.iterdir()}

whole = [write(new), write(old)]
for name in ("fsync", "replace"):
    for moment in range(20):
        child = os.fork()
        if child == 0:
            real, calls = getattr(os, name), []
            def dying(*arguments):
                calls.append(name)
                if len(calls) > moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments)
            setattr(os, name, dying)
            write(new)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        for path in out.iterdir():
            if not path.name.endswith(".tmp"):
                assert path.read_bytes() in [files[path.name] for files in whole], (name, moment, path)
        check(out)
        assert write(new) == whole[0] and check(out).ok, (name, moment)
        assert write(old) == whole[1]
        if not killed:
            break
    print(name, moment)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment_every_file_is_old_or_new(here):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()} == {
        "fsync": 3, "replace": 2}, done.stdout  # fmt: skip


TOGETHER = """
import os
from pathlib import Path
from types import SimpleNamespace
from symcell.generate import find, generate

cells = [[find("rnn")], [find("mine")]]
children = []
for cell in cells:
    child = os.fork()
    if child == 0:
        for _ in range(4):
            generate(cell, Path("out"), ["numpy"])
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_runs_at_the_same_time_do_not_lose_each_other(here):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", TOGETHER], env=environment, check=True)
    assert {entry.cell for entry in manifest.read(OUT).files.values()} == {"rnn", "mine"}
    assert check(OUT).ok
