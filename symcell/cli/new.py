"""``symcell new``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from symcell.cli import arguments

STARTER = '''\
"""NAME

What this cell is and where it comes from; the first line is its title.
"""
# The equations of one time step, in any order. What a name is follows from how it is used:
#   x[t]      an input: read at t, and defined by no equation
#   h[t-1]    a state: a value of the step before; h[t-2] is two steps before
#   W, U, b   learned parameters: never indexed by time; their shapes follow from where they stand
# W @ x[t] is a matrix times a vector; + - * / ** and functions work unit by unit.
# The output is y if there is a y[t], else h. The comment behind an equation is its label.

a[t] = W @ x[t] + U @ h[t-1] + b   # what arrives
h[t] = tanh(a[t])                  # hidden state

# Where that is not enough, say it; remove the # to try:
#   b: H = 1                    b starts at 1 (parameters start uniform in ±1/sqrt(H))
#   U: (H, H) = orthogonal      or zeros, ones, uniform, glorot
#   alpha: scalar = 0.5         one learned number for all units
#   eps: const = 1e-5           a number that is not learned
#   h[0] = h_0                  a learned state before the first step
# Functions: sigmoid tanh relu exp log sqrt abs softplus silu gelu elu maximum minimum clip where ...
# Over the units of a sample: sum mean var max norm softmax dot layernorm rmsnorm
'''

_TITLE = re.compile(
    r"""(?P<before>\A\ufeff?(?:[ \t\f]*(?:\#[^\r\n]*)?(?:\r\n|\r|\n))*)   # blank lines and comments
        (?P<quote>\"\"\"|'''|"|')
        (?P<blank>\s*)""",
    re.VERBOSE,
)


@click.command()
@click.argument("name")
@click.option("--from", "source", metavar="CELL", shell_complete=arguments.complete_cell,
              help="Start from the equations of this cell.")  # fmt: skip
def new(name: str, source: str | None) -> None:
    """Write NAME.cell here, to be edited."""
    from symcell.cell import CellError
    from symcell.generate import files
    from symcell.language import names, parse
    from symcell.language.names import is_identifier

    if not is_identifier(name):
        raise CellError(f"{name[:80]!r} cannot be a cell's name: use letters, digits and _, not a word of Python")
    path = Path(f"{name}.cell")
    text = titled(_text(source), name) if source else STARTER.replace("NAME", name)
    parse(text, name=name)
    try:
        files.create(path, text.encode())
    except FileExistsError:
        raise CellError(f"{path} exists already and stays as it is: choose another name, or delete it") from None
    click.echo(f"written: {path}")
    if name in names():
        click.echo(f"{name} is also a shipped cell: in this directory the name now means {path}")
    click.echo("\nnext:")
    rows = [(f"edit {path}", "the equations"), (f"symcell show {name}", "shapes and cost"),
            (f"symcell generate {name} --out {shlex.quote(name + '_modules')}", "the modules"),
            (f"symcell verify {name}", "are the kernels right?")]  # fmt: skip
    width = max(len(command) for command, _ in rows)
    for command, what in rows:
        click.echo(f"  {command:<{width}}   {what}")


def _text(source: str) -> str:
    """A cell's text with the ends of lines that its file has, if it is in one. Raises CellError, OSError."""
    from symcell.generate import find

    found = find(source)
    if found.file is None or found.module:
        return found.cell.text
    return found.file.read_bytes().decode("utf-8")


def titled(text: str, name: str) -> str:
    """The text with a title that begins with ``name``; not a byte of the rest is changed."""
    match = _TITLE.match(text)
    if match is None:
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        newline = "\r\n" if "\r\n" in text else "\n"
        return f'{mark}"""{name}"""{newline}{text.removeprefix(mark)}'
    place = match.end("blank")
    if text.startswith(match["quote"], place):
        return f"{text[: match.end('quote')]}{name}{text[match.end('quote') :]}"
    return f"{text[:place]}{name}, after {text[place:]}"
