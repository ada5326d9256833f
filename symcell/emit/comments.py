"""Equations as comments: a user's words inside emitted code are always text, never code."""

from __future__ import annotations

from symcell.graph import Op
from symcell.program.model import Program


def comment(text: str) -> str:
    """``text`` on one line that is safe behind ``#`` or ``//``, and inside a raw triple-quoted string."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = line.replace('"""', "''" + "'")
    return line + " ." if line.endswith(("\\", '"')) else line


def equation(program: Program, op: Op, *, fixed: bool = False) -> str:
    """A step as a comment, with the label of the equation that it ends and the number of the derivation's formula;
    ``fixed``: of a value that does not vary."""
    label = program.labels.get(op.out, "")
    when = "" if fixed else "[t]"
    return numbered(program, op, f"{op.out}{when}{str(op)[len(op.out) :]}" + (f" ({label})" if label else ""))


def numbered(program: Program, op: Op, text: str) -> str:
    """What a step computes as a comment, with the number of the derivation's formula."""
    number = program.numbers.get(op.out)
    return comment(text if number is None else f"{text} ({number})")
