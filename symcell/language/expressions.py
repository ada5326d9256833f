"""Expressions: Python's syntax tree of a right side as a :class:`~symcell.language.tree.Tree`, constants folded."""

from __future__ import annotations

import ast

from sympy import Float

from symcell.language import arithmetic
from symcell.language.advice import UNKNOWN, arity, unknown_function
from symcell.language.names import FORMS, FUNCTIONS, check_name
from symcell.language.operators import OperatorReader
from symcell.language.tree import (
    Apply,
    Broken,
    Comparison,
    ConstantName,
    Name,
    Number,
    Outer,
    Read,
    Tree,
)
from symcell.symbolic.functions import ELEMENTWISE

MAX_LAG = 64
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


class ExpressionReader(OperatorReader):
    """Reads numbers, scalars, vectors and matrices that are combined unit by unit."""

    def expression(self, node: ast.expr) -> Tree:
        return self.nested(self._expression, node)

    def _expression(self, node: ast.expr) -> Tree:
        match node:
            case ast.Constant(value=value):
                return self.number(node, value)
            case ast.Name(id=name):
                return self.name(node, name)
            case ast.Subscript():
                return self.read(node)
            case ast.UnaryOp(op=ast.UAdd() | ast.USub()):
                return self.signed(node)
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self.total(node)
            case ast.BinOp(op=ast.Mult()):
                return self.product(node)
            case ast.BinOp(op=ast.Div()):
                return self.ratio(node)
            case ast.BinOp(op=ast.Pow()):
                return self.raised(node)
            case ast.BinOp(op=ast.MatMult()):
                return self.multiplied(node)
            case ast.Call():
                return self.call(node)
            case ast.Compare():
                return self.wrong(node, "a comparison stands only in where", "write where(a > b, this, otherwise)")
            case ast.List():
                return self.wrong(node, "vectors are joined only right of @", "write W @ [u, v]")
        return self.unknown(node)

    def unknown(self, node: ast.expr) -> Tree:
        if isinstance(node, ast.Attribute):
            if node.attr == "T":
                advice = "write W.T @ v, with a product for each: C[t] @ v + K[t].T @ v"
                return self.wrong(node, "a transposed matrix stands only left of @", advice)
            return self.wrong(node, f".{node.attr[:20]} has no meaning here", "a name has no attributes except W.T")
        for kind, (message, advice) in UNKNOWN.items():
            if isinstance(node, kind):
                return self.wrong(node, message, advice)
        operator = getattr(node, "op", None)
        for kind, (message, advice) in UNKNOWN.items():
            if isinstance(operator, kind):
                return self.wrong(node, message, advice)
        return self.wrong(node, "this has no meaning in an equation", "use names, numbers, + - * / ** @ and functions")

    def name(self, node: ast.expr, name: str) -> Tree:
        span = self.place.span(node)
        if name == "pi":
            return Number(span, arithmetic.PI)
        if name in self.constants:
            self.constants.used.add(name)
            value = self.constants.values[name]
            return Number(span, value, ConstantName(span, name, value))
        return Name(span, name) if check_name(name, span, self.problems) else Broken(span)

    def read(self, node: ast.Subscript) -> Tree:
        """``name[t]`` or ``name[t-k]``."""
        if not isinstance(node.value, ast.Name):
            return self.wrong(node, "only a name can be read at a time", "write name[t] or name[t-1]")
        name, span = node.value.id, self.place.span(node)
        lag = self.lag(node.slice, name)
        if lag is None or not check_name(name, span, self.problems):
            return Broken(span)
        if name in self.constants or name in self.constants.arrays:
            return self.wrong(node, f"{name} is a constant and has no time", f"write {name}")
        return Read(span, name, lag)

    def lag(self, index: ast.expr, name: str) -> int | None:
        match index:
            case ast.Name(id="t"):
                return 0
            case ast.BinOp(left=ast.Name(id="t"), op=ast.Sub(), right=ast.Constant(value=int() as lag)) if (
                lag >= 1 and lag is not True
            ):
                if lag <= MAX_LAG:
                    return lag
                self.wrong(index, f"at most {MAX_LAG} steps back can be read", "keep a longer memory in a state")
            case ast.BinOp(left=ast.Name(id="t"), op=ast.Add()):
                self.wrong(index, "a step cannot read the future", f"write the equation one step earlier: {name}[t-1]")
            case ast.BinOp(left=ast.Name(id="t"), op=ast.Sub()):
                self.wrong(index, "a lag is a positive whole number", f"write {name}[t] or {name}[t-1]")
            case _:
                message = "the index of a name is t, or t minus a positive whole number"
                self.wrong(index, message, f"write {name}[t] or {name}[t-1]; units are not indexed")
        return None

    def call(self, node: ast.Call) -> Tree:
        if not isinstance(node.func, ast.Name) or node.func.id not in (*FUNCTIONS, *FORMS):
            return self.wrong(node.func, *unknown_function(node))
        name, span = node.func.id, self.place.span(node)
        if name == "diag":
            return self.wrong(node, "diag stands only beside @", "write diag(v) @ M or M @ diag(v)")
        if node.keywords:
            where = node.keywords[0].value
            return self.wrong(where, "arguments have no names here", f"write them in order: {arity(name)[2]}")
        fewest, most, signature = arity(name)
        if not fewest <= len(node.args) <= most:
            count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            message = f"{name} takes {count} argument{'' if most == 1 else 's'}, not {len(node.args)}"
            return self.wrong(node, message, f"write {signature}")
        first = self.condition if name == "where" else self.expression
        arguments = [(first if k == 0 else self.expression)(a) for k, a in enumerate(node.args)]
        if name == "leaky_relu" and len(arguments) == 1:
            arguments.append(Number(span, Float(0.01)))
        if name == "outer":
            return Outer(span, *arguments)
        tree = Apply(span, name, tuple(arguments))
        values = [a for a in arguments if isinstance(a, Number)]
        if name in ELEMENTWISE and len(values) == len(arguments):
            return self.folded(node, lambda *v: arithmetic.apply(name, list(v)), tree, *values)
        return tree

    def condition(self, node: ast.expr) -> Tree:
        """``a > b``, the first argument of where."""
        if not isinstance(node, ast.Compare):
            if isinstance(node, ast.BoolOp | ast.UnaryOp | ast.BinOp) and not isinstance(node, ast.BinOp):
                return self.unknown(node)
            return self.wrong(node, "the condition of where is a comparison", "write where(a > b, this, otherwise)")
        if len(node.ops) > 1:
            return self.wrong(node, "one comparison at a time", "nest: where(a < b, where(b < c, this, other), other)")
        left, right = self.expression(node.left), self.expression(node.comparators[0])
        span = self.place.span(node)
        if (sign := _SIGNS.get(type(node.ops[0]))) is not None:
            return Comparison(span, sign, left, right)
        return self.wrong(node, "this is no comparison of numbers", "compare with > >= < <= == !=")
