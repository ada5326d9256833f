"""Random small cells over the whole language, as text.

Every cell is well-typed by construction: an expression is written for the shape that is wanted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random
from typing import Any

from symcell.symbolic import functions as fn

Shape = tuple[str, ...]
"""Sizes as text: ``()`` a scalar, ``("H",)``, ``("H", "K")``."""

NAMES = (
    "W", "U", "V", "M", "a", "b", "g", "np", "cp", "self", "params", "dtype", "state", "real", "n", "x_rows",
    "T_1", "dh", "double", "threadIdx", "out", "work", "tape", "β", "i", "row", "pack", "y_t", "last", "q_2",
    "E", "I", "S",
)  # fmt: skip
"""Parameters' names; most are words of the targets' own, which must not collide."""
GUARDED = {
    "log": "log(1 + ({0})**2)",
    "sqrt": "sqrt(1 + ({0})**2)",
    "exp": "exp(tanh({0}))",
    "floor": "floor(3*({0}) + 0.3)",
    "tanhshrink": "tanhshrink(1 + ({0}))",
}
"""Functions that are not defined everywhere, or grow, or jump where sums are likely to fall, or in which PyTorch's own
cancels (tanhshrink), and what tames them."""
UNARY = tuple(GUARDED.get(text, f"{text}({{0}})") for text, f in fn.ELEMENTWISE.items() if 1 in f.nargs)
BINARY = (
    "({0}) + ({1})", "({0}) - ({1})", "({0}) * ({1})", "(1 - ({0})) * ({1})", "({0}) / (1 + ({1})**2)",
    "-({0}) + ({1})", "maximum({0}, {1})", "minimum({0}, {1})", "where({0} > {1}, {1}, {0})",
    "where({0} <= 0.1, {0}, {1})",
    "clip({0}, -0.5, 0.4) * ({1})", "(1 + ({0})**2)**({1})", "({0})**2 - ({1})", "0.5*({0}) + 2*({1})",
    "leaky_relu({0}, 0.2) - ({1})", "mod({0}, 1 + ({1})**2)", "({0}) * {c} + ({1})", "({0}) * {s} - ({1})",
)  # fmt: skip
"""Elementwise; ``{c}`` is a constant and ``{s}`` a learned scalar, or a scalar of each sample."""
REDUCED = ("sum({0})", "mean({0})", "var({0})", "max({0})", "norm({0})", "dot({0}, {1})")


@dataclass
class Writer:
    """Writes one cell, and keeps what it declares."""

    random: Random
    shapes: dict[str, Shape] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    parameters: dict[str, Shape] = field(default_factory=dict)
    arrays: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    inferred: set[str] = field(default_factory=set)
    sizes: list[str] = field(default_factory=list)

    def one(self, *items: Any) -> Any:
        return self.random.choice(items)

    def often(self, share: float) -> bool:
        return self.random.random() < share

    # names

    def fresh(self) -> str:
        taken = {*self.shapes, *self.parameters, *self.arrays, *self.constants, *self.sizes}
        free = [n for n in NAMES if n not in taken]
        name = self.random.choice(free) if free and self.often(0.6) else f"w_{len(taken)}"
        return name if name not in taken else f"w_{len(taken)}_{len(taken)}"

    def parameter(self, shape: Shape, *, inferred: bool = False) -> str:
        """A parameter or (a vector or a matrix) a constant array of this shape, an old one perhaps."""
        old = [n for n, of in (*self.parameters.items(), *self.arrays.items()) if of == shape]
        if old and self.often(0.35):
            return self.random.choice(old)
        name = self.fresh()
        if shape and name != "dtype" and self.often(0.12):  # init_params takes constant arrays by name
            self.arrays[name] = shape
        else:
            self.parameters[name] = shape
            if inferred:
                self.inferred.add(name)
        return name

    def number(self) -> str:
        """A scalar: a named constant, a learned one, or one of each sample."""
        kind = self.one("constant", "learned", "signal", "reduced")
        if kind == "constant":
            if not self.constants or self.often(0.3):
                self.constants[self.fresh()] = self.one("0.5", "1e-2", "-0.7", "0.1*3", "2")
            return self.random.choice(list(self.constants))
        if kind == "signal" and (found := self.read(("1",))):
            return found
        return self.reduced(0) if kind == "reduced" else self.parameter(())

    def read(self, shape: Shape) -> str:
        """A signal or an input of this shape at some step; nothing where there is none."""
        fitting = [n for n, of in self.shapes.items() if of == shape]
        if not fitting:
            return ""
        name = self.random.choice(fitting)
        now = name in self.done or name in self.inputs
        lag = self.one(0, 0, 0, 1, 2) if now else self.one(1, 1, 1, 2, 3)
        return f"{name}[t-{lag}]" if lag else f"{name}[t]"

    # expressions

    def expression(self, shape: Shape, depth: int) -> str:
        if depth == 0 or self.often(0.15):
            return self.leaf(shape)
        kind = self.random.random()
        if kind < 0.35:
            return self.random.choice(UNARY).format(self.expression(shape, depth - 1))
        if kind < 0.75:
            text = self.random.choice(BINARY)
            places = {"c": self.constant(), "s": self.number()}
            return text.format(self.expression(shape, depth - 1), self.expression(shape, depth - 1), **places)
        if kind < 0.85:
            return f"({self.reduced(depth - 1)}) * ({self.expression(shape, depth - 1)})"
        return self.shaped(shape, depth - 1)

    def constant(self) -> str:
        return self.random.choice(list(self.constants)) if self.constants else "0.3"

    def shaped(self, shape: Shape, depth: int) -> str:
        """What only a vector, or only a matrix, can be."""
        if len(shape) == 2:
            inner = self.expression(shape, depth)
            inner = f"tanh({inner})" if "diag(" in inner else inner
            side = self.one(0, 1)
            vector = self.expression(shape[side : side + 1], depth)
            return f"diag({vector}) @ ({inner})" if side == 0 else f"({inner}) @ diag({vector})"
        inner = self.expression(shape, depth)
        gain, bias = self.parameter(shape), self.parameter(shape)
        return self.one(f"softmax({inner})", f"layernorm({inner}, {gain}, {bias})", f"rmsnorm({inner}, {gain})",
                        f"layernorm({inner})", f"rmsnorm({inner})", self.product(shape, inner))  # fmt: skip

    def reduced(self, depth: int) -> str:
        shape = (self.vector_size(),)
        return self.random.choice(REDUCED).format(self.expression(shape, depth), self.expression(shape, depth))

    def vector_size(self) -> str:
        """The size of some signal or input, of which a vector may be had."""
        return self.random.choice([of[0] for of in self.shapes.values() if len(of) == 1] or ["H"])

    def leaf(self, shape: Shape) -> str:
        return self.matrix_leaf(shape) if len(shape) == 2 else self.vector_leaf(shape)

    def matrix_leaf(self, shape: Shape) -> str:
        kind = self.one("read", "read", "read", "outer", "outer", "parameter", "scaled")
        found = self.read(shape)
        if kind == "read" and found:
            return found
        if kind == "parameter":
            return self.parameter(shape)
        if kind == "scaled" and found:
            return f"{self.number()} * {found}"
        return f"outer({self.leaf(shape[:1])}, {self.leaf(shape[1:])})"

    def vector_leaf(self, shape: Shape) -> str:
        kind = self.one(
            "read", "read", "read", "product", "product", "product", "parameter", "scaled", "joined", "varying"
        )
        found = self.read(shape)
        if kind in ("read", "scaled") and found:
            return found if kind == "read" else f"{self.number()} * {found}"
        if kind == "parameter":
            return self.parameter(shape)
        if kind == "joined":
            parts = [(self.vector_size(),) for _ in range(self.one(2, 2, 3))]
            matrix = self.parameter((shape[0], "+".join(p[0] for p in parts)), inferred=True)
            return f"{matrix} @ [{', '.join(self.vector(p) for p in parts)}]"
        if kind == "varying" and (text := self.contraction(shape)):
            return text
        return self.product(shape)

    def vector(self, shape: Shape) -> str:
        return self.read(shape) or self.parameter(shape)

    def product(self, shape: Shape, vector: str = "") -> str:
        """A fixed matrix with a vector (of the same shape, if it is given)."""
        size = shape[0] if vector else self.vector_size()
        vector = vector or self.vector((size,))
        kind = self.one("plain", "plain", "plain", "transposed", "difference", "scaled")
        if kind == "transposed":
            return f"{self.parameter((size, *shape), inferred=True)}.T @ ({vector})"
        matrix = self.parameter((*shape, size), inferred=True)
        if kind == "difference":
            other = self.parameter((size, *shape))
            return f"({matrix} {self.one('+', '-')} {other}.T) @ ({vector})"
        return f"{'(2*' if kind == 'scaled' else ''}{matrix}{')' if kind == 'scaled' else ''} @ ({vector})"

    def contraction(self, shape: Shape) -> str:
        """A varying matrix with a vector."""
        found = [(n, of) for n, of in self.shapes.items() if len(of) == 2 and shape[0] in of]
        if not found:
            return ""
        _, of = self.random.choice(found)
        if of[0] == shape[0] and (of[1] != shape[0] or self.often(0.5)):
            return f"{self.read(of)} @ {self.vector(of[1:])}"
        return f"{self.read(of)}.T @ {self.vector(of[:1])}"

    def whole(self, name: str) -> str:
        """An input as a vector."""
        shape = self.shapes[name]
        return f"{name}[t]" if len(shape) == 1 else f"{name}[t] @ {self.parameter(shape[1:])}"

    # the cell

    def equation(self, name: str) -> str:
        """One that stays small: squashed, or a leaky sum."""
        shape = self.shapes[name]
        body = self.expression(shape, self.one(1, 2, 2, 3))
        kind = self.random.random()
        if kind < 0.6:
            return f"{name}[t] = {self.one('tanh', 'tanh', 'sigmoid', 'softsign')}({body})"
        if kind < 0.8:
            return f"{name}[t] = 0.5*{name}[t-{self.one(1, 1, 2)}] + {body}"
        return f"{name}[t] = {body}"


SHAPES = (
    ("H",),
    ("H",),
    ("H",),
    ("P",),
    ("1",),
    ("H", "K"),
    ("H", "H"),
    ("P", "H"),
    ("K", "3"),
    ("2",),
    ("T",),
    ("B", "H"),
)
INPUTS = (("D",), ("D",), ("D",), ("H",), ("P",), ("1",), ("H", "K"), ("D", "3"))
STARTS = ("", "", " = zeros", " = ones", " = 0.25", " = normal(0.1)", " = uniform(0.2)", " = normal")
OF_MATRICES = (" = orthogonal", " = glorot")


def cell(seed: int, *, whole: bool = False) -> str:
    """The text of cell number ``seed``; ``whole``: with a declaration of every shape, where inference may not do."""
    writer = Writer(Random(seed))
    names = ["h", *writer.random.sample(["p", "q", "c", "C", "s", "m_1"], writer.one(0, 1, 1, 2, 3))]
    for name in writer.random.sample(["x", "z"], writer.one(1, 1, 1, 2)):
        writer.inputs.append(name)
        writer.shapes[name] = writer.one(*INPUTS)
    for name in names:
        writer.shapes[name] = writer.one(*SHAPES)
    writer.sizes = [s for shape in writer.shapes.values() for s in shape]
    order = writer.random.sample(names, len(names))
    equations = []
    for name in order:
        equations.append(writer.equation(name))
        writer.done.append(name)
    unread = (n for n in writer.inputs if f"{n}[" not in "\n".join(equations))
    equations[-1] += "".join(f" + sum(tanh({writer.whole(n)}))" for n in unread)
    return _text(writer, order, writer.random.sample(equations, len(equations)), whole)


def _text(writer: Writer, order: list[str], equations: list[str], whole: bool) -> str:
    used = set(re.findall(r"\w+", " ".join(equations)))
    lines = [f"{n}: {_shape(of)}" for n, of in writer.shapes.items()]
    for name, shape in writer.parameters.items():
        left_out = writer.often(0.4) and name in writer.inferred and not whole
        square = (" = identity",) if len({*shape}) == 1 else ()
        start = writer.one(*STARTS, *((*OF_MATRICES, *square) if len(shape) == 2 else ()))
        if name in used and not left_out:
            lines.append(f"{name}: {_shape(shape)}{start}")
    lines += [f"{n}: const({', '.join(of)})" for n, of in writer.arrays.items() if n in used]
    lines += [f"{n}: const = {value}" for n, value in writer.constants.items() if n in used]
    for name in order:
        if writer.often(0.2) and re.search(rf"(?<!\w){name}\[t-", " ".join(equations)):
            equations.append(f"{name}[0] = {name}_start")
            lines.append(f"{name}_start: {_shape(writer.shapes[name])}")
    output = writer.one(*order)
    return "\n".join([*writer.random.sample(lines, len(lines)), *equations, f"output: {output}"]) + "\n"


def _shape(shape: Shape) -> str:
    if not shape:
        return "scalar"
    return shape[0] if len(shape) == 1 else f"({', '.join(shape)})"
