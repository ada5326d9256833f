"""PyTorch's own recurrent modules in the cell language, so that a cell is recognised by its equations alone."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import sympy

from symcell.cell import Cell
from symcell.language import parse
from symcell.symbolic.nodes import At, Param, written
from symcell.verify.case import Case, Result, lengths_of
from symcell.verify.pytorch import Leaves
from symcell.verify.torch_loop import Tensor


@dataclass(frozen=True)
class TorchCell:
    """A module of torch.nn as equations.

    ``layout``: its parameters, each as the names that are stacked in it by rows; ``0`` stands for a zero vector.
    ``states``: in the order in which the module takes them.
    """

    module: str
    text: str
    layout: Mapping[str, tuple[str, ...]]
    states: tuple[str, ...] = ("h",)
    options: tuple[tuple[str, str], ...] = ()


_LSTM_GATES = """
i[t] = sigmoid(W_i @ x[t] + U_i @ h[t-1] + b_i)
f[t] = sigmoid(W_f @ x[t] + U_f @ h[t-1] + b_f)
g[t] = tanh(W_g @ x[t] + U_g @ h[t-1] + b_g)
o[t] = sigmoid(W_o @ x[t] + U_o @ h[t-1] + b_o)
c[t] = f[t] * c[t-1] + i[t] * g[t]
"""
_LSTM_LAYOUT = {
    "weight_ih_l0": ("W_i", "W_f", "W_g", "W_o"),
    "weight_hh_l0": ("U_i", "U_f", "U_g", "U_o"),
    "bias_ih_l0": ("b_i", "b_f", "b_g", "b_o"),
    "bias_hh_l0": ("0", "0", "0", "0"),
}
_RNN_LAYOUT = {"weight_ih_l0": ("W",), "weight_hh_l0": ("U",), "bias_ih_l0": ("b",), "bias_hh_l0": ("0",)}

TORCH_CELLS = (
    TorchCell("RNN", "h[t] = tanh(W @ x[t] + U @ h[t-1] + b)", _RNN_LAYOUT),
    TorchCell("RNN", "h[t] = relu(W @ x[t] + U @ h[t-1] + b)", _RNN_LAYOUT, options=(("nonlinearity", "relu"),)),
    TorchCell("LSTM", _LSTM_GATES + "h[t] = o[t] * tanh(c[t])", _LSTM_LAYOUT, ("h", "c")),
    TorchCell("LSTM", "h: P\nc: H" + _LSTM_GATES + "m[t] = o[t] * tanh(c[t])\nh[t] = W_h @ m[t]",
              {**_LSTM_LAYOUT, "weight_hr_l0": ("W_h",)}, ("h", "c")),
    TorchCell("GRU", """
r[t] = sigmoid(W_r @ x[t] + U_r @ h[t-1] + b_r)
z[t] = sigmoid(W_z @ x[t] + U_z @ h[t-1] + b_z)
n[t] = tanh(W_n @ x[t] + b_n + r[t] * (U_n @ h[t-1] + c_n))
h[t] = (1 - z[t]) * n[t] + z[t] * h[t-1]
""", {"weight_ih_l0": ("W_r", "W_z", "W_n"), "weight_hh_l0": ("U_r", "U_z", "U_n"),
      "bias_ih_l0": ("b_r", "b_z", "b_n"), "bias_hh_l0": ("0", "0", "c_n")}),
)  # fmt: skip


@functools.cache
def _parsed(text: str) -> Cell:
    return parse(text, name="known")


def recognise(cell: Cell) -> tuple[TorchCell, dict[str, str]] | None:
    """The module of torch.nn that computes this cell, and what each of its names is called here; None if none does."""
    for known in TORCH_CELLS:
        names = renaming(_parsed(known.text), cell)
        if names is not None:
            return known, names
    return None


def renaming(one: Cell, other: Cell) -> dict[str, str] | None:
    """The renaming that turns the equations of ``one`` into those of ``other``, sums and products in any order."""
    count = _count(one)
    if one.initial or other.initial or other.arrays or count != _count(other):
        return None
    for names in _Matcher(one, other).matched(At(one.output), At(other.output), {}):
        found = {k[1]: v[1] for k, v in names.items() if k[0] != "size"}
        if len(found) == sum(count):
            return found
    return None


def _count(cell: Cell) -> tuple[int, ...]:
    return len(cell.signals), len(cell.inputs), len(cell.parameters)


Names = dict[tuple[str, str], tuple[str, str]]
"""Pairs of (role, name), sizes among them; every name of one cell stands for one of the other."""


class _Matcher:
    def __init__(self, one: Cell, other: Cell) -> None:
        self.one, self.other = one, other

    def matched(self, a: Any, b: Any, names: Names) -> Iterator[Names]:
        """All ways to extend ``names`` such that ``a`` reads as ``b``."""
        if isinstance(a, At | Param | sympy.MatrixSymbol):
            yield from self._named(a, b, names)
        elif not a.args or not b.args:
            if a == b:
                yield names
        elif a.func == b.func and len(a.args) == len(b.args):
            free = isinstance(a, sympy.Add | sympy.Mul | sympy.MatAdd)
            for order in permutations(b.args) if free else (b.args,):
                yield from self._all(a.args, order, names)

    def _all(self, left: tuple[Any, ...], right: tuple[Any, ...], names: Names) -> Iterator[Names]:
        if not left:
            yield names
            return
        for extended in self.matched(left[0], right[0], names):
            yield from self._all(left[1:], right[1:], extended)

    def _named(self, a: Any, b: Any, names: Names) -> Iterator[Names]:
        if type(a) is not type(b) or (isinstance(a, At) and a.lag != b.lag):
            return
        left, right = self._role(a, self.one), self._role(b, self.other)
        if left in names or right in names.values():
            if names.get(left) == right:
                yield names
            return
        sized = self._sized(left, right, {**names, left: right}) if left[0] == right[0] else None
        if sized is None:
            return
        if left[0] == "signal":
            yield from self.matched(
                written(self.one.equation(left[1]).rhs), written(self.other.equation(right[1]).rhs), sized
            )
        else:
            yield sized

    def _sized(self, left: tuple[str, str], right: tuple[str, str], names: Names) -> Names | None:
        """``names`` with the sizes of two values paired; None where those stand for others already."""
        sizes, others = _shape(self.one, left), _shape(self.other, right)
        if len(sizes) != len(others):
            return None
        for size, other in zip(sizes, others, strict=True):
            pair = ("size", size), ("size", other)
            if names.get(pair[0], pair[1]) != pair[1] or (pair[0] not in names and pair[1] in names.values()):
                return None
            names = {**names, pair[0]: pair[1]}
        return names

    @staticmethod
    def _role(atom: Any, cell: Cell) -> tuple[str, str]:
        if isinstance(atom, At):
            return ("signal" if atom.signal in cell.signals else "input"), atom.signal
        return type(atom).__name__, atom.name


def _shape(cell: Cell, role: tuple[str, str]) -> tuple[str, ...]:
    name = role[1]
    return tuple(map(str, cell.parameters[name].shape if name in cell.parameters else cell.shape_of(name)))


def run(cell: Cell, case: Case, known: TorchCell, names: Mapping[str, str]) -> Result:
    """A case (without ``lengths``) through PyTorch's own module."""
    import torch

    leaves = Leaves(cell, case)
    (x,) = leaves.x.values()
    net = module(cell, case.sizes, known, names, torch.float64)
    y, end = torch.func.functional_call(
        net, stacked(leaves.params, known, names), (x, start(leaves.state, known, names))
    )
    ends = end if len(known.states) > 1 else (end,)
    return leaves.result(case, y, {names[s]: e for s, e in zip(known.states, ends, strict=True)})


def module(cell: Cell, sizes: Mapping[str, int], known: TorchCell, names: Mapping[str, str], dtype: Tensor) -> Tensor:
    """PyTorch's module at these sizes, its parameters random."""
    import torch

    options: dict[str, Any] = dict(known.options)
    if "weight_hr_l0" in known.layout:
        options["proj_size"] = lengths_of(cell.shape_of(cell.output), sizes)[0]
    hidden, inputs = lengths_of(cell.parameters[names[known.layout["weight_ih_l0"][0]]].shape, sizes)
    return getattr(torch.nn, known.module)(inputs, hidden, dtype=dtype, **options)


def stacked(params: Mapping[str, Tensor], known: TorchCell, names: Mapping[str, str]) -> dict[str, Tensor]:
    """The module's parameters, from the cell's."""
    import torch

    zero = torch.zeros_like(params[names[known.layout["bias_ih_l0"][0]]])
    return {p: torch.cat([zero if n == "0" else params[names[n]] for n in parts]) for p, parts in known.layout.items()}


def start(state: Mapping[str, Tensor], known: TorchCell, names: Mapping[str, str]) -> Tensor:
    """States (1, B, n) by name as the module takes them."""
    several = tuple(state[names[s]] for s in known.states)
    return several if len(several) > 1 else several[0]
