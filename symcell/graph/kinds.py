"""The six typed kinds of step, the values between them, and what crosses the boundary of a sweep.

Bodies are SymPy expressions over ``At(name, lag, axis)`` for varying values, ``Param(name, axis)`` for fixed ones,
``Count(size)`` for the number of units and ``Constant`` for named numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import sympy

from symcell.cell import Shape, Size
from symcell.symbolic.nodes import At, Param
from symcell.symbolic.ordering import Order, text

Operand = At | Param


@dataclass(frozen=True)
class Value:
    """A named array of one step: ``()`` a scalar, ``(n,)`` a vector, ``(n, m)`` a matrix.

    ``constant``: set by the caller and never learned, so nothing is differentiated by it.
    """

    name: str
    shape: Shape
    fixed: bool = False
    constant: bool = False


@dataclass(frozen=True)
class Block:
    """The columns ``[start, start + width)`` of a fixed matrix: one part of ``W @ [u, v]``."""

    start: Size
    width: Size


@dataclass(frozen=True)
class Matrix:
    """A matrix as it is read: fixed or varying, some of its columns perhaps, and perhaps transposed (after taking the
    columns). A block is taken of fixed matrices only."""

    of: Operand
    transposed: bool = False
    block: Block | None = None

    @property
    def name(self) -> str:
        return self.of.signal

    @property
    def T(self) -> Matrix:  # noqa: N802 (NumPy's name)
        return Matrix(self.of, not self.transposed, self.block)

    def __str__(self) -> str:
        block = "" if self.block is None else f"[:, {self.block.start}:{self.block.start + self.block.width}]"
        return f"{self.of}{block}{'.T' if self.transposed else ''}"


@dataclass(frozen=True)
class Pointwise:
    """``out = body``, unit by unit. Operands have the shape of the result; or none, or one unit: these broadcast; or
    they are vectors laid along an axis of a matrix. ``order``: the operands in the order of the page, in which terms
    and factors are printed and computed (:mod:`symcell.symbolic.ordering`)."""

    out: str
    body: sympy.Expr
    order: tuple[Operand, ...] = ()

    def operands(self) -> tuple[Operand, ...]:
        return self._operands

    @cached_property
    def _operands(self) -> tuple[Operand, ...]:
        found = self.body.atoms(At, Param)
        known = dict.fromkeys(o for o in self.order if o in found)
        return (*known, *sorted(found - known.keys(), key=lambda a: a.name))

    def __str__(self) -> str:
        return f"{self.out} = {text(self.body, Order(self._operands))}"


@dataclass(frozen=True)
class Contraction:
    """``out = Σ matrix @ vector`` over the terms; fixed and varying matrices alike."""

    out: str
    terms: tuple[tuple[Matrix, Operand], ...]

    def operands(self) -> tuple[Operand, ...]:
        return tuple(v for _, v in self.terms) + tuple(m.of for m, _ in self.terms)

    def __str__(self) -> str:
        return f"{self.out} = {' + '.join(f'{m} @ {v}' for m, v in self.terms)}"


@dataclass(frozen=True)
class Outer:
    """``out = left rightᵀ``, a matrix for every step and sample where an operand varies."""

    out: str
    left: Operand
    right: Operand

    def operands(self) -> tuple[Operand, ...]:
        return (self.left, self.right)

    def __str__(self) -> str:
        return f"{self.out} = outer({self.left}, {self.right})"


@dataclass(frozen=True)
class Reduce:
    """``out = kind(arg)`` over all units of one sample (``axis`` None: a scalar), or over one axis of a matrix: a
    vector along the other one."""

    out: str
    kind: Literal["sum", "max"]
    arg: Operand
    axis: int | None = None

    def operands(self) -> tuple[Operand, ...]:
        return (self.arg,)

    def __str__(self) -> str:
        return f"{self.out} = {self.kind}({self.arg}{'' if self.axis is None else f', axis={self.axis}'})"


class Edge(sympy.Symbol):
    """What leaves a sweep at its end, as an operand of :class:`Total`: the result ``name`` of an :class:`Exit`."""

    __slots__ = ()

    def __new__(cls, name: str) -> Edge:
        obj: Edge = sympy.Symbol.__xnew__(cls, name)
        return obj

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, object]]:
        return (self.name,), {}


@dataclass(frozen=True)
class Total:
    """``out = arg`` summed over all steps and samples: a varying value, or what leaves at the edge.

    ``unless``: the boundary value that makes the total zero where the caller passes it (the gradient of a learned
    start, which then was not used).
    """

    out: str
    arg: At | Edge
    unless: str = ""

    def operands(self) -> tuple[Operand, ...]:
        return (self.arg,) if isinstance(self.arg, At) else ()

    def __str__(self) -> str:
        return f"{self.out} = total({self.arg})"


@dataclass(frozen=True)
class Term:
    """``factor * matrix``, added into the columns ``into`` of the result (all of them where None)."""

    factor: sympy.Expr
    matrix: Matrix
    into: Block | None = None

    def __str__(self) -> str:
        into = "" if self.into is None else f" into [:, {self.into.start}:{self.into.start + self.into.width}]"
        return f"{'' if self.factor == 1 else f'{self.factor}*'}{self.matrix}{into}"


@dataclass(frozen=True)
class Combine:
    """``out = Σ factor * matrix``: a linear combination of fixed matrices (``W - W.T``, a gradient of two uses)."""

    out: str
    terms: tuple[Term, ...]

    def operands(self) -> tuple[Operand, ...]:
        return tuple(t.matrix.of for t in self.terms)

    def __str__(self) -> str:
        return f"{self.out} = {' + '.join(str(t) for t in self.terms)}"


Op = Pointwise | Contraction | Outer | Reduce | Total | Combine


@dataclass(frozen=True)
class Entry:
    """What ``value`` is at the ``depth`` steps before the sweep's first (behind the sequence's end in a backward
    sweep): the boundary value ``name`` that callers pass, with the steps in the order of time; of a longer one, the
    steps next to the sequence. Several entries may read one boundary value.

    Where callers pass none, every step is the fixed value ``start``, or zero; ``adds``: ``start`` is added to what
    callers pass instead, unless they pass the boundary value ``unless``. ``far``: as in :class:`Exit`; what ``value``
    is at the steps behind the sweep's last.
    """

    value: str
    name: str
    depth: int
    start: str | None = None
    adds: bool = False
    unless: str = ""
    far: bool = False


@dataclass(frozen=True)
class Exit:
    """What callers get back as the boundary value ``name``, (depth, batch, *shape) in the order of time.

    It is the sum over ``values`` of the last steps that each has computed: of its own carried depth, if that is less
    than ``depth``, which then fill the places next to the sequence. Each sample has its own last step where a forward
    sweep ends. ``far``: the first steps instead (of an adjoint's adjoint, by what was given there from before).
    ``depths``: how many steps of each value leave, where no step reads it and so says it.
    """

    name: str
    values: tuple[str, ...]
    depth: int
    far: bool = False
    depths: tuple[int, ...] = ()


def name_of(operand: Operand) -> str:
    return operand.signal


def lag_of(operand: Operand) -> int:
    return operand.lag if isinstance(operand, At) else 0
