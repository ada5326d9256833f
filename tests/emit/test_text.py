"""A user's words and names stay words and names: on every target, whatever they are."""

from __future__ import annotations

import ast
import io
import tokenize
import types
from collections.abc import Callable

import pytest

import symcell
from symcell.cell import Cell
from symcell.emit.text import comment, docstring, literal, string_lines
from symcell.pipeline import TARGETS, source
from symcell.verify.cases import Kind, random_case
from symcell.verify.reference import reference
from symcell.verify.targets import run
from symcell.verify.tolerances import error, real

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

    def code(text: str) -> list[str]:
        kept = [
            t
            for t in tokenize.generate_tokens(io.StringIO(text).readline)
            if t.type not in (tokenize.COMMENT, tokenize.NL)
        ]
        return [t.string if t.type != tokenize.STRING else "…" for t in kept if t.type != tokenize.NEWLINE]

    equation = "h[t] = tanh(W @ x[t] + U @ h[t-1])"
    plain = source(symcell.parse(f'"""words\n\nwords\n"""\n{equation}   # words\n', name="words"), target)
    hostile = source(symcell.parse(f"{described(words)}{equation}   # {words}\n", name="words"), target)
    strip = lambda tokens: [t for k, t in enumerate(tokens) if t != "…" or tokens[k - 1] != "…"]  # noqa: E731
    assert strip(code(hostile)) == strip(code(plain))


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


@pytest.mark.parametrize(
    "size", ["N", "T", "B", "S", "np", "params", "n", "state", "int", "row", "threadIdx", "rows", "steps"]
)
def test_any_size_will_do(compiled: Compile, size: str) -> None:
    cell = symcell.parse(f"h: {size}\nh[t] = tanh(W @ x[t] + U @ h[t-1] + softmax(V @ h[t-1]))", name="sizes")
    module = compiled(cell)
    assert size in module.SIZES
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
