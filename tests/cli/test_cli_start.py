"""The command line starts fast, and fails politely."""

from __future__ import annotations

import subprocess
import sys

import pytest

from symcell import __version__
from symcell.cli import app

HEAVY = ("sympy", "mpmath", "numpy", "jinja2", "networkx", "rich", "torch", "cupy")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_start_up_imports_nothing_heavy(process, option):
    code = f"""
import sys
from symcell.cli import app
try:
    app([{option!r}], prog_name="symcell")
except SystemExit as end:
    assert end.code == 0
found = [name for name in {HEAVY} if name in sys.modules]
assert not found, found
"""
    done = process("-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("typed", ["symcell show ls", "symcell verify rnn ls", "symcell bench ls", "symcell plan ls",
                                   "symcell new mine --from ls", "symcell diff rnn ls", "symcell compare rnn gru ls",
                                   "symcell flow rnn ls", "symcell watch ls", "symcell derive ls"])
def test_a_shell_completes_cells_without_waiting(process, tmp_path, typed):
    """Protects completion from importing what takes a second: it runs at every press of the key."""
    (tmp_path / "lsmine.cell").write_text("not even a cell\n")
    code = f"""
import os, sys
words = {typed!r}
os.environ.update(_SYMCELL_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1))
from symcell.cli import main
try:
    main()
finally:
    found = [name for name in {HEAVY} if name in sys.modules]
    assert not found, found
"""
    done = process("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["plain,lsmine", "plain,lstm"]


def test_runs_as_a_module(process):
    done = process("-m", "symcell", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"symcell {__version__}\n", "")


def test_help_lists_the_commands_in_the_order_of_work(symcell):
    words = symcell("--help").output.partition("Commands:")[2].split()
    commands = [word for word in words if word in ("list", "show", "new", "derive", "generate", "check", "verify")]
    assert list(dict.fromkeys(commands)) == ["list", "show", "new", "derive", "generate", "check", "verify"]


@pytest.mark.parametrize("command", ["show", "derive", "generate", "verify"])
def test_an_unknown_cell_is_a_message(symcell, command):
    result = symcell(command, "lsmt", status=2)
    assert "no cell is called 'lsmt'" in result.stderr
    assert "did you mean" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["show", "derive", "generate", "verify"])
def test_a_mistake_in_a_cell_is_shown_where_it_is(symcell, tmp_path, command):
    (tmp_path / "wrong.cell").write_text("h[t] = tanh(W @ x[t] + U @ h[t-1]\n")
    assert "wrong.cell:1:" in symcell(command, "wrong", status=2).stderr


def test_a_file_error_names_the_file_that_was_meant(symcell):
    result = symcell("derive", "rnn", "--out", "no/such/folder.tex", status=2)
    assert result.stderr == "symcell: no/such/folder.tex: No such file or directory\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end differently there")
def test_a_broken_pipe_is_quiet(tmp_path):
    code = "import symcell.cli as c; c.main()"
    command = [sys.executable, "-c", code, "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as running:
        running.stdout.close()
        assert running.stderr.read() == b""


def test_a_terminal_of_another_encoding_is_no_reason_to_crash(process, tmp_path):
    (tmp_path / "mine.cell").write_text('"""Zelle π 셀 ∂"""\nh[t] = sigmoid(U @ h[t-1] + x[t])  # ⊙\n', "utf-8")
    done = process("-c", SEVERAL, PYTHONIOENCODING="euc-kr")
    assert done.returncode == 0, done.stderr


SEVERAL = """
import contextlib, os, sys
sys.stdout = open(os.devnull, "w", encoding=sys.stdout.encoding)
from symcell.cli import main
for command in (["list"], ["show", "mine"], ["derive", "mine"], ["generate", "mine"], ["check"]):
    sys.argv = ["symcell", *command]
    try:
        main()
    except SystemExit as end:
        assert not end.code, command
"""


def test_no_colours_in_a_pipe(symcell):
    assert "\x1b" not in symcell("list").output


def test_help_tells_what_each_command_does_in_a_line_of_80_columns(symcell):
    commands = symcell("--help").output.partition("Commands:\n")[2].splitlines()
    assert len(commands) == len(app.commands)
    assert [line for line in commands if "..." in line or len(line) > 80] == []
