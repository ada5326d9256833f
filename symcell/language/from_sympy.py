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

    A value in time is ``Function(name)(t - 1)``, ``IndexedBase(name)[t - 1]`` or ``At(name, 1)``, where t is any Symbol
    called ``t``; left of an equation it stands at t. A Symbol is a parameter, a number ``Constant(name, value)`` keeps
    its name. Sums, products, powers and functions are SymPy's own; what SymPy lacks (``sigmoid``, ``softmax``) is
    ``sympy.Function("sigmoid")``. A product with a matrix is ``MatVec(W, v)``, W a MatrixSymbol (or sums, transposes
    and multiples of some), or ``MatVec(W, Join(u, v))``; where matrices vary in time, there are ``OuterProduct(u, v)``,
    ``RowScaled(v, C)`` for diag(v) C, ``ColumnScaled(C, v)`` for C diag(v), and ``Flipped(C)`` for Cᵀ left of a vector.
    All of these names are importable from :mod:`symcell`.

    ``declarations`` maps a name to what stands behind its colon (``{"h": "P", "b_f": "H = 1", "output": "m"}``), and
    ``name[0]`` to a learned initial state's name; ``labels`` maps signals to their equations' labels. Raises CellError
    where the language has no word for something, and like :func:`symcell.parse`.
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
    if isinstance(equation, sympy.logic.boolalg.BooleanAtom):
        raise CellError(
            f"SymPy made {equation} of an equation: a product with a matrix is symcell.MatVec(W, v), and"
            " sympy.Eq(left, right, evaluate=False) leaves an equation as it is"
        )
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
