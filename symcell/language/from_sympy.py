"""A cell straight from SymPy equations: they are printed in the cell language, and that text is parsed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sympy

from symcell.cell import Cell, CellError
from symcell.language.parsing import parse
from symcell.language.printing import to_text
from symcell.language.words import constants_in, no_word, time_read


def from_equations(
    name: str,
    equations: Iterable[sympy.Eq],
    *,
    declarations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    title: str = "",
) -> Cell:
    """The cell of SymPy equations.

    The left sides are ``At(name)``, ``Function(name)(t)`` or ``IndexedBase(name)[t]``; the right sides mix
    :mod:`symcell.symbolic` with plain SymPy, where a Symbol is a parameter, and a Constant a declared number.
    ``declarations`` maps a name to what stands behind its colon (``{"h": "P", "b_f": "H = 1", "output": "m"}``), and
    ``name[0]`` to a learned initial state's name. Raises CellError where the language has no word for something, and
    like ``parse``.
    """
    lines = [_docstring(title)] if title else []
    for key, value in (declarations or {}).items():
        lines.append(f"{key} = {value}" if key.endswith("]") else f"{key}: {value}")
    notes = dict(labels or {})
    constants: dict[str, str] = {}
    for equation in equations:
        signal, right = _sides(equation)
        for constant, value in constants_in(equation.rhs).items():
            if constants.setdefault(constant, value) != value:
                raise CellError(f"the constant {constant} is {constants[constant]} and {value} at once")
        label = notes.pop(signal, "")
        lines.append(f"{signal}[t] = {right}" + (f"   # {label}" if label else ""))
    lines += [f"{c}: const = {value}" for c, value in constants.items() if c not in (declarations or {})]
    if notes:
        raise CellError(f"labels for {', '.join(sorted(notes))[:80]}, which no equation defines")
    for line in lines[1 if title else 0 :]:
        if "\n" in line or "\r" in line:
            raise CellError(f"a declaration or label is one line, and this is more: {line[:80]!r}")
    return parse("\n".join(lines) + "\n", name=name)


def _sides(equation: sympy.Eq) -> tuple[str, str]:
    if not isinstance(equation, sympy.Eq):
        raise CellError(f"an equation is sympy.Eq(name at t, expression), not {str(equation)[:80]}")
    left = time_read(equation.lhs)
    if left is None:
        raise no_word(equation.lhs)
    if left[1]:
        raise CellError(f"{equation.lhs} stands left of an equation, which defines a name at t")
    return left[0], to_text(equation.rhs)


def _docstring(title: str) -> str:
    quote = next((q for q in ('"""', "'''") if q not in title), None)
    if quote is None:
        raise CellError("a title cannot hold both kinds of triple quotes")
    return f"{quote}{title}\n{quote}"
