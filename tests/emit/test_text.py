"""A user's words and names stay words and names: on every target, whatever they are."""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import re
import subprocess
import sys
import time
import tokenize
import types
from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest
import random_cells

import symcell
from symcell.cell import Cell
from symcell.emit.comments import comment
from symcell.emit.python.names import RESERVED
from symcell.emit.python.text import WIDTH, code_lines, comment_lines, docstring, literal, string_lines
from symcell.pipeline import TARGETS, source
from symcell.verify.cases import Kind, random_case
from symcell.verify.reference import reference
from symcell.verify.targets import run
from symcell.verify.tolerances import error, real

RUFF = [sys.executable, "-m", "ruff"] if find_spec("ruff") else ["ruff"]
Compile = Callable[[Cell], types.ModuleType]

HOSTILE = (
    "quotes \" and ' and `",
    "'''",
    'he said """stop"""',
    '"',
    "*/ int x; /*",
    "// comment",
    "{{ 7 * 7 }} {% raise %} {# gone #}",
    "<script>alert(1)</script>",
    r"\write18{rm -rf /} \input{x}",
    "a trailing backslash \\",
    'a trailing quote "',
    r"\N{BULLET} \x41 \u0041 \0 \n",
    "%s %(name)s {0} {name} $HOME",
    "??/ ??> trigraphs",
    "tab\tand zero\u200bwidth",
    "π, 漢字, \u202e reversed, \u2028 separator",
    "#define real int",
    ')"; import os; os.abort()',
)


@pytest.fixture(autouse=True)
def read_with_care(monkeypatch: pytest.MonkeyPatch) -> None:
    """C is to be read here, not to be quick: its compiler takes no time for that, and no warning is let pass."""
    monkeypatch.setenv("SYMCELL_CFLAGS", "-O0 -Wall -Wextra -Werror")


def described(words: str) -> str:
    quote = "'''" if '"""' in words or words.endswith('"') else '"""'
    docstring = words.replace("\\", "\\\\").replace(quote, "'' '")
    return f"{quote}{docstring}\n\n{docstring}\n{quote}\n"


@pytest.mark.parametrize("words", [*HOSTILE, "", "\\", "\n", 'a\n"""\n', "a # b", '""' * 4])
def test_words_in_comments_docstrings_and_literals(words: str) -> None:
    line = comment(words)
    assert line.isprintable()
    assert '"""' not in line
    assert not line.endswith(("\\", '"'))
    assert ast.literal_eval(f'"""{docstring(words)}\n"""') == words + "\n"
    assert ast.literal_eval(literal(words)) == words
    assert ast.literal_eval(f"({' '.join(string_lines(words))})") == words


@pytest.mark.parametrize("words", [*(w * 40 for w in HOSTILE), "x" * 500, "\\" * 301, "é " * 200, "a " * 59 + '"' * 9])
def test_long_words_are_cut_and_stay_the_same(words: str) -> None:
    inside = docstring(words, 3)
    assert max(map(len, f'"""{inside}'.splitlines())) <= WIDTH
    assert ast.literal_eval(f'"""{inside}\n"""') == words + "\n"
    lines = string_lines(words)
    assert max(map(len, lines)) <= WIDTH - 4
    assert ast.literal_eval(f"({' '.join(lines)})") == words
    assert all(len(f"    # {line}") <= WIDTH for line in comment_lines(comment(words), 4))


def test_long_lines_of_code_are_broken_in_brackets() -> None:
    names = [c * 40 for c in "abcd"]
    for line in (
        f"np.add({names[0]}, {names[1]}, out={names[2]})",
        f"{names[0]} = {names[1]}[: {names[2]} * {names[3]}].reshape(n, {names[2]}, {names[3]})",
        f"np.matmul({names[0]}.transpose(0, 2, 1), f({names[1]}, {names[2]}), out={names[3]})",
    ):
        lines = code_lines(line, 8)
        assert len(lines) > 1
        assert max(map(len, lines)) <= WIDTH - 8
        assert ast.dump(ast.parse("\n".join(lines))) == ast.dump(ast.parse(line))
    assert code_lines("short(x)", 8) == ["short(x)"]


def check(cell: Cell, module: types.ModuleType) -> None:
    case = random_case(cell, Kind("words", 2, 2))
    exact, found = reference(cell, case, digits=20), run(module, case, "float64")
    for tensor, value in found.tensors().items():
        assert error(value, real(exact.tensors()[tensor]), 1) < 1e-12, tensor


@pytest.mark.parametrize("words", HOSTILE)
def test_labels_and_titles_are_text(compiled: Compile, words: str) -> None:
    cell = symcell.parse(f"{described(words)}h[t] = tanh(W @ x[t] + U @ h[t-1])   # {words}\n", name="words")
    module = compiled(cell)
    check(cell, module)
    again = symcell.parse(module.EQUATIONS, name="words")
    assert again.labels == cell.labels
    assert again.title == cell.title
    assert module.__doc__.split("\n")[0].strip() == cell.title.strip()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("words", HOSTILE)
def test_words_never_become_code(target: str, words: str) -> None:
    """Outside of strings and comments, a cell with hostile words has the code of one without."""

    equation = "h[t] = tanh(W @ x[t] + U @ h[t-1])"
    plain = f'"""words\n\nwords\n"""\n{equation}   # words\n'
    assert code(f"{described(words)}{equation}   # {words}\n", target) == code(plain, target)


@functools.cache
def code(text: str, target: str) -> list[str]:
    """The tokens of a cell's module but for comments, with one mark for all strings that follow each other."""
    module = source(symcell.parse(text, name="words"), target)
    left_out = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE)
    kept = [t for t in tokenize.generate_tokens(io.StringIO(module).readline) if t.type not in left_out]
    tokens = [t.string if t.type != tokenize.STRING else "…" for t in kept]
    return [t for k, t in enumerate(tokens) if t != "…" or tokens[k - 1] != "…"]


NAMES = [
    "np",
    "cp",
    "math",
    "T",
    "B",
    "S",
    "E",
    "I",
    "N",
    "O",
    "Q",
    "params",
    "self",
    "cls",
    "int",
    "double",
    "float",
    "real",
    "long",
    "threadIdx",
    "blockIdx",
    "state",
    "lengths",
    "dtype",
    "n",
    "t2",
    "x_rows",
    "pack",
    "tape",
    "grads",
    "given",
    "batch",
    "steps",
    "last",
    "index",
    "unit",
    "row",
    "rows",
    "start",
    "stop",
    "size",
    "width",
    "work",
    "mask",
    "dy",
    "dlast",
    "forward",
    "backward",
    "step",
    "init_params",
    "sin_",
    "exp_",
    "y0",
    "y1",
    "j0",
    "gamma",
    "beta",
    "zeta",
    "lambda_",
    "main",
    "linux",
    "unix",
    "NULL",
    "NAN",
    "INFINITY",
    "M_PI",
    "EOF",
    "errno",
    "stdin",
    "print",
    "list",
    "dict",
    "str",
    "len",
    "range",
    "max_",
    "sum_",
    "type",
    "id",
    "object",
    "Params",
    "Tape",
    "Grads",
    "Packing",
    "kernels",
    "_x",
    "__x",
    "x__",
    "D2",
    "H2",
    "copy",
    "any",
    "functools",
    "types",
    "Any",
    "Mapping",
    "quiet",
    "ones",
    "partial",
    "out",
    "view",
    "module",
    "samples",
    "memory",
    "at_0",
    "kept_1",
    "h_last",
    "need_x",
    "_erf",
    "_shape",
]


@pytest.mark.parametrize("chunk", range(0, len(NAMES), 8))
def test_any_name_will_do(compiled: Compile, chunk: int) -> None:
    """Parameters, signals and states under names that targets use themselves."""
    names = NAMES[chunk : chunk + 8]
    lines = []
    for k, name in enumerate(names):
        if k % 2:
            lines.append(f"{name}[t] = tanh({names[k - 1]} * {name}[t-1] + q{k} @ x[t])")
    total = " + ".join(f"{name}[t]" for k, name in enumerate(names) if k % 2)
    cell = symcell.parse("\n".join([*lines, f"h[t] = sigmoid({total} + U @ h[t-1])\nh: H"]), name="names")
    check(cell, compiled(cell))


SIZES = ["N", "T", "B", "S", "np", "params", "n", "state", "int", "row", "threadIdx", "rows", "steps", "samples"]


@pytest.mark.parametrize("chunk", range(0, len(SIZES), 5))
def test_any_size_will_do(compiled: Compile, chunk: int) -> None:
    """Of states that each have one of their own."""
    sizes = SIZES[chunk : chunk + 5]
    lines = [f"h{k}: {size}" for k, size in enumerate(sizes)]
    for k in range(len(sizes)):
        read = f"h{k - 1}[t]" if k else "x[t]"
        lines.append(f"h{k}[t] = tanh(W{k} @ {read} + U{k} @ h{k}[t-1] + softmax(V{k} @ h{k}[t-1]))")
    cell = symcell.parse("\n".join([*lines, f"output: h{len(sizes) - 1}"]), name="sizes")
    module = compiled(cell)
    assert set(sizes) < set(module.SIZES)
    check(cell, module)


@pytest.mark.parametrize("name", ["class", "x-y", "1st", "a b", 'quo"te', "lstm\\", "../up"])
def test_any_cell_name_will_do(compiled: Compile, name: str) -> None:
    try:
        cell = symcell.parse("h[t] = tanh(W @ x[t] + U @ h[t-1])", name=name)
    except symcell.CellError:
        return
    check(cell, compiled(cell))


def test_two_modules_at_once(compiled: Compile) -> None:
    """Nothing is shared between modules of different cells."""
    one = symcell.parse("h[t] = tanh(W @ x[t] + U @ h[t-1])", name="same")
    other = symcell.parse("h[t] = sigmoid(W @ x[t] - U @ h[t-1])", name="same")
    first, second = compiled(one), compiled(other)
    for _ in range(2):
        check(one, first)
        check(other, second)
    assert first.STAMP != second.STAMP


def words(template: str) -> set[str]:
    """The names that a template's own Python uses, attributes aside."""
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}", "", template, flags=re.DOTALL)
    text = re.sub(r"\{\{.*?\}\}", "_ ", text, flags=re.DOTALL)
    found, before = set(), ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and before != ".":
            found.add(token.string)
        before = token.string
    return found - {"_"}


def test_names_of_the_templates_are_reserved() -> None:
    """A user's names stand beside those of the functions' template, and hide what a module defines."""
    folder = files("symcell.templates")
    for name in ("blocks", "functions", "second"):
        missing = words(folder.joinpath("shared", f"{name}.py.j2").read_text()) - RESERVED
        assert not missing, sorted(missing)
    for kind in ("shared", *TARGETS):
        for path in folder.joinpath(kind).iterdir():
            if path.name.endswith(".py.j2"):
                defined = re.findall(r"^(?:def |class )?(\w+)(?: = |\(|:$)", path.read_text(), flags=re.MULTILINE)
                assert not set(defined) - RESERVED - {"for"}, (path.name, sorted(set(defined) - RESERVED))


def emitted(target: str) -> dict[str, str]:
    """The modules of all shipped cells, as they are committed; tests/test_generated.py holds them to that."""
    folder = files("symcell.generated")
    return {name: folder.joinpath(f"{name}_{target}.py").read_text("utf-8") for name in symcell.names()}


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_unused(target: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """No import, name or variable that nothing uses, and no name without a definition: pyflakes' rules."""
    texts = dict(emitted(target))
    for seed in range(20 if pytestconfig.getoption("whole") else 5):
        with contextlib.suppress(symcell.CellError):
            cell = symcell.parse(random_cells.cell(seed), name="random")
            texts[f"random_{seed}"] = source(cell, target)
            texts[f"random_{seed}_twice"] = source(cell, target, order=2)
    assert len(texts) > len(symcell.names()) + 5
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    rules = ["--isolated", "--no-cache", "--target-version", "py311", "--select", "F,E501", "--line-length", "120"]
    done = subprocess.run([*RUFF, "check", *rules, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_is_negated_by_numpy() -> None:
    """NumPy 2.1 to 2.4 get ``np.negative`` in place wrong on arrays of one column."""
    assert not [name for name, text in emitted("numpy").items() if "np.negative" in text]


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_but_what_the_cell_needs(target: str) -> None:
    """Every function and method of a module is called by another, or is one of the contract's."""
    public = {"init_params", "forward", "backward", "step", "jvp", "second", "copy", "from_dict", "nbytes",
              "forward_both", "backward_both"}  # fmt: skip
    texts = {**emitted(target), "of order 2": source(symcell.load("lstm"), target, order=2)}
    for name, text in texts.items():
        nodes = list(ast.walk(ast.parse(text)))
        defined = {n.name for n in nodes if isinstance(n, ast.FunctionDef) and not n.name.startswith("__")}
        used = {n.id if isinstance(n, ast.Name) else n.attr for n in nodes if isinstance(n, ast.Name | ast.Attribute)}
        assert not defined - used - public, name


@pytest.mark.parametrize("target", TARGETS)
def test_long_names_and_words_make_no_long_lines(target: str) -> None:
    a, b = "a" * 63 + "1", "b" * 63 + "2"
    text = f'''"""{"title " * 40}

{"word " * 60}
{"x" * 300}
"""
{a}[t] = sigmoid(W_{a[:50]} @ x[t] + U_{a[:50]} @ h[t-1] + c_{a[:50]})   # {"label " * 40}
{b}[t] = sigmoid(W_{b[:50]} @ x[t] + U_{b[:50]} @ h[t-1] + c_{b[:50]})
h[t] = {a}[t] * h[t-1] + tanh({b}[t] * exp(-{a}[t]))
'''
    cell = symcell.parse(text, name="long")
    module = source(cell, target)
    assert [line for line in module.splitlines() if len(line) > 120] == []
    assert ast.literal_eval(next(n.value for n in ast.parse(module).body if _assigns(n, "EQUATIONS"))) == cell.text


def _assigns(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name


def test_blanks_in_a_docstring_take_no_time() -> None:
    """Emission reads a text once, however many blanks follow each other in it."""
    runs = "title\n\n" + " " * 100_000 + "x\n" + "\n" * 100_000 + "\t" * 100_000
    cell = symcell.parse(f'"""{runs}"""\nh[t] = tanh(W @ x[t] + U @ h[t-1])', name="blanks")
    began = time.process_time()
    source(cell, "numpy")
    assert time.process_time() - began < 5
