"""A cell's equations as PyTorch code: what is fixed, computed once; one step; and the loop over the steps.

It is the loop that a person would write from the equations, each of them one expression: products with fixed matrices
are ``linear``, and nothing is hoisted out of the loop but what no step changes. Names in the code are numbered: no word
of the cell's gets into it. No graph, adjoint or plan is used.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy

from symcell.cell import ONE, Cell, Shape, Size
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import (
    At,
    ColumnScaled,
    Constant,
    Flipped,
    Hadamard,
    Join,
    MatVec,
    Minus,
    OuterProduct,
    Param,
    Quotient,
    RowScaled,
    Sum,
)

Tensor = Any
"""A ``torch.Tensor``: PyTorch need not be installed, to the type checker either."""


class Loop:
    """The equations of a cell at given sizes, for tensors of one ``dtype`` (``float32``, ``float64``)."""

    def __init__(self, cell: Cell, sizes: Mapping[str, int], dtype: str) -> None:
        import torch

        self.cell = cell
        self.text = text = _Writer(cell, sizes).code()
        filename = f"<PyTorch code of {cell.name}>"
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        space: dict[str, Any] = {"torch": torch, "dtype": getattr(torch, dtype)}
        exec(compile(text, filename, "exec"), space)
        self._once: Callable[..., tuple[Tensor, ...]] = space["once"]
        self.step: Callable[..., tuple[Tensor, tuple[Tensor, ...]]] = space["step"]
        """From what is fixed, the inputs of the step and the states before it: the output and the states after it."""

    def once(self, fixed: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """What no step changes, from parameters and constant arrays by name."""
        return self._once(*(fixed[name] for name in (*self.cell.parameters, *self.cell.arrays)))

    def before(self, state: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """States (k, B, *shape) by name as a step takes them: one by one, the latest first."""
        return tuple(v for name in self.cell.states for v in reversed(state[name].unbind(0)))

    def sequence(
        self, fixed: Mapping[str, Tensor], x: Mapping[str, Tensor], state: Mapping[str, Tensor]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The output of each step, and the last states (k, B, *shape)."""
        import torch

        once, now = self.once(fixed), self.before(state)
        outputs = []
        for given in zip(*(x[name].unbind(0) for name in self.cell.inputs), strict=True):
            y, now = self.step(once, given, now)
            outputs.append(y)
        several = iter(now)
        last = {
            name: torch.stack([next(several) for _ in range(depth)][::-1]) for name, depth in self.cell.states.items()
        }
        return outputs, last


@dataclass(frozen=True)
class _Value:
    """An expression in PyTorch. ``shape``: of one sample, None for a number. A value has the samples in front: (B, n),
    (B, rows, columns), a fixed one (1, n), (1, rows, columns); only a fixed scalar has no axis."""

    text: str
    shape: Shape | None = None
    varies: bool = False


_ARITHMETIC: dict[Any, str] = {
    Sum: " + ",
    sympy.Add: " + ",
    Hadamard: " * ",
    sympy.Mul: " * ",
    Quotient: " / ",
    sympy.Pow: " ** ",
}
_SHAPING = (Join, Flipped, MatVec, OuterProduct, RowScaled, ColumnScaled)


class _Writer:
    """Writes the code. ``fixed``: names of what is computed once, by its text; ``lines``: of the step."""

    def __init__(self, cell: Cell, sizes: Mapping[str, int]) -> None:
        self.cell, self.sizes = cell, sizes
        self.given = {name: f"v{k}" for k, name in enumerate((*cell.parameters, *cell.arrays))}
        self.shapes = {**{p: value.shape for p, value in cell.parameters.items()}, **cell.arrays}
        self.names = {name: f"s{k}" for k, name in enumerate((*cell.inputs, *cell.signals))}
        self.batch = f"{self.names[next(iter(cell.inputs))]}_0.shape[0]"
        self.fixed: dict[str, str] = {}
        self.lines: list[str] = []

    def code(self) -> str:
        for signal in self.cell.order:
            value = self.whole(self.value(self.cell.equation(signal).rhs), self.cell.shape_of(signal))
            self.lines.append(f"{self.names[signal]}_0 = {value}")
        states = self.cell.states.items()
        before = [f"{self.names[name]}_{lag}" for name, depth in states for lag in range(1, depth + 1)]
        after = [f"{self.names[name]}_{lag}" for name, depth in states for lag in range(depth)]
        once = [f"{name} = {text}" for text, name in self.fixed.items()]
        return "\n".join([
            f"def once({', '.join(self.given.values())}):",
            *(f"    {line}" for line in once),
            f"    return {_tuple(self.fixed.values())}",
            "def step(fixed, given, before):",
            f"    {_tuple(self.fixed.values())} = fixed",
            f"    {_tuple(f'{self.names[name]}_0' for name in self.cell.inputs)} = given",
            f"    {_tuple(before)} = before",
            *(f"    {line}" for line in self.lines),
            f"    return {self.names[self.cell.output]}_0, {_tuple(after)}",
            "",
        ])  # fmt: skip

    def whole(self, value: _Value, shape: Shape) -> str:
        """A signal's value with all samples and units, where what it is computed from has fewer."""
        if value.varies and value.shape == shape:
            return value.text
        lengths = ", ".join(str(size.value(self.sizes)) for size in shape)
        text = _lifted(value, len(shape)).text if value.shape is not None else self.tensor(value)
        return f"{text}.expand({self.batch}, {lengths})"

    def once(self, text: str) -> str:
        """The name of something fixed."""
        return self.fixed.setdefault(text, f"f{len(self.fixed)}")

    def tensor(self, value: _Value) -> str:
        """A value as PyTorch's functions take it: numbers as tensors."""
        return value.text if value.shape is not None else self.once(f"torch.tensor({value.text}, dtype=dtype)")

    def named(self, value: str, varies: bool) -> str:
        """A name for what a text mentions several times."""
        if value.isidentifier():
            return value
        if not varies:
            return self.once(value)
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {value}")
        return name

    def value(self, expr: Any) -> _Value:
        """An expression; a fixed one by the name under which it is computed once."""
        found = self.written(expr)
        if found.varies or found.shape is None:
            return found
        return _Value(self.once(found.text) if not found.text.isidentifier() else found.text, found.shape)

    def written(self, expr: Any) -> _Value:
        if isinstance(expr, At):
            return _Value(f"{self.names[expr.signal]}_{expr.lag}", self.cell.shape_of(expr.signal), True)
        if isinstance(expr, Param | sympy.MatrixSymbol):
            name = expr.signal if isinstance(expr, Param) else expr.name
            shape = self.shapes[name]
            return _Value(self.once(self.given[name] + ("[None]" if shape else "")), shape)
        if isinstance(expr, Constant):
            return _Value(f"({float(expr.value)!r})")
        if (expr.is_number and not expr.args) or isinstance(expr, sympy.Rational):
            return _Value(f"({float(expr)!r})")
        if type(expr) in _SHAPING:
            return self.shaping(expr)
        args = [self.value(a) for a in expr.args]
        if isinstance(expr, fn.OverUnits):
            return self.over_units(expr, args)
        axes = max((len(a.shape) for a in args if a.shape is not None), default=0)
        args = [_lifted(a, axes) for a in args]
        return _Value(self.elementwise(expr.func, args), _broadcast(args, axes), any(a.varies for a in args))

    def elementwise(self, kind: Any, args: Sequence[_Value]) -> str:
        if kind is Minus:
            return f"(-{args[0].text})"
        if kind in _ARITHMETIC:
            base = self.tensor(args[0]) if kind is sympy.Pow else args[0].text
            return f"({_ARITHMETIC[kind].join([base, *(a.text for a in args[1:])])})"
        return self.filled(kind.row.torch, args)

    def over_units(self, expr: Any, args: Sequence[_Value]) -> _Value:
        """A function of all units, such as a sum, or a normalisation, which has a part for each argument."""
        parts = expr.func.torch
        template = parts[0] if len(parts) == 1 else "".join(parts[: len(args)])
        shape = args[0].shape
        assert shape is not None
        if expr.func.to_one:
            shape = (*shape[:-1], ONE)
        return _Value(self.filled(template, args), shape, any(a.varies for a in args))

    def filled(self, template: str, args: Sequence[_Value]) -> str:
        """A function's text with its arguments in their places."""
        texts = [self.tensor(a) for a in args]
        for k, arg in enumerate(args):
            if template.count(f"{{{k}}}") > 1:
                texts[k] = self.named(texts[k], arg.varies)
        text = template.format(*texts)
        return text if re.fullmatch(r"[\w.]+\(.*\)", text) and template.count("(") == 1 else f"({text})"

    def shaping(self, expr: Any) -> _Value:
        """What is not computed element by element."""
        if isinstance(expr, Join):
            return self.join([self.value(a) for a in expr.args])
        if isinstance(expr, Flipped):
            value = self.value(expr.args[0])
            assert value.shape is not None
            return _Value(f"{value.text}.mT", value.shape[::-1], value.varies)
        left, right = expr.args
        if isinstance(expr, MatVec) and isinstance(left, sympy.MatrixExpr):
            vector = self.value(right)
            text = f"torch.nn.functional.linear({vector.text}, {self.once(self.matrix(left))})"
            return _Value(text, self.extents(left)[:1], vector.varies)
        first, second = self.operand(left), self.operand(right)
        assert first.shape is not None
        assert second.shape is not None
        varies = first.varies or second.varies
        if isinstance(expr, MatVec):
            return _Value(f"({first.text} @ {second.text}[..., None])[..., 0]", first.shape[:1], varies)
        if isinstance(expr, OuterProduct):
            text = f"({first.text}[:, :, None] * {second.text}[:, None, :])"
            return _Value(text, (*first.shape, *second.shape), varies)
        if isinstance(expr, RowScaled):
            return _Value(f"({first.text}[:, :, None] * {second.text})", second.shape, varies)
        return _Value(f"({first.text} * {second.text}[:, None, :])", first.shape, varies)

    def join(self, parts: Sequence[_Value]) -> _Value:
        varies = any(p.varies for p in parts)
        texts = [p.text if p.varies or not varies else f"{p.text}.expand({self.batch}, -1)" for p in parts]
        length = sum((p.shape[0] for p in parts if p.shape), Size())
        return _Value(f"torch.cat([{', '.join(texts)}], dim=-1)", (length,), varies)

    def operand(self, expr: Any) -> _Value:
        if not isinstance(expr, sympy.MatrixExpr):
            return self.value(expr)
        return _Value(self.once(f"{self.matrix(expr)}[None]"), self.extents(expr))

    def matrix(self, expr: Any) -> str:
        """A fixed matrix as it is written, (rows, columns)."""
        if isinstance(expr, sympy.MatrixSymbol):
            return self.given[expr.name]
        if isinstance(expr, sympy.Transpose):
            return f"{self.matrix(expr.arg)}.mT"
        if isinstance(expr, sympy.MatMul):
            factor, (rest,) = expr.as_coeff_matrices()
            return f"({self.value(factor).text} * {self.matrix(rest)})"
        assert isinstance(expr, sympy.MatAdd), expr
        return f"({' + '.join(self.matrix(a) for a in expr.args)})"

    def extents(self, expr: Any) -> Shape:
        """The shape of a fixed matrix."""
        if isinstance(expr, sympy.MatrixSymbol):
            return self.shapes[expr.name]
        inner = expr.as_coeff_matrices()[1][0] if isinstance(expr, sympy.MatMul) else expr.args[0]
        shape = self.extents(inner)
        return shape[::-1] if isinstance(expr, sympy.Transpose) else shape


def _tuple(names: Any) -> str:
    several = list(names)
    return f"({', '.join(several)}{',' * (len(several) == 1)})"


def _lifted(value: _Value, axes: int) -> _Value:
    """A number of each sample beside matrices: (B, 1) as (B, 1, 1)."""
    if axes == 2 and value.shape == (ONE,):
        return _Value(f"{value.text}[..., None]", (ONE, ONE), value.varies)
    return value


def _broadcast(args: Sequence[_Value], axes: int) -> Shape | None:
    """The shape of what is computed element by element; a fixed scalar, of no axis, adapts to the others."""
    shapes = [a.shape for a in args if a.shape is not None]
    if not shapes:
        return None
    full = [s for s in shapes if len(s) == axes]
    return tuple(next((size for size in sizes if size != ONE), ONE) for sizes in zip(*full, strict=True))
