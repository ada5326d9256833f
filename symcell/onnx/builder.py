"""Nodes and constants of an ONNX graph, each once: equal calls have one result."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Builder:
    """Collects the nodes of a graph, or of the graph inside an operator, which reads what stands ``outside``.

    Values are called by their names, which are unique over all of a model.
    """

    def __init__(self, dtype: Any, outside: Builder | None = None) -> None:
        self.dtype = np.dtype(dtype)
        self.outside = outside
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {} if outside is None else outside.initializers
        self.taken: set[str] = set() if outside is None else outside.taken
        self._known: dict[object, str] = {}
        self._fixed: dict[object, str] = {} if outside is None else outside._fixed

    @property
    def number_type(self) -> int:
        return helper.np_dtype_to_tensor_dtype(self.dtype)

    def name(self, hint: str) -> str:
        """A name that is not taken yet."""
        found, count = hint, 1
        while found in self.taken:
            count += 1
            found = f"{hint}_{count}"
        self.taken.add(found)
        return found

    def constant(self, value: Any, dtype: Any = None, hint: str = "constant") -> str:
        """A number or an array, in the graph's type where none is said."""
        array = np.asarray(value, dtype or self.dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._fixed:
            name = self._fixed[key] = self.name(hint)
            self.initializers[name] = numpy_helper.from_array(array.copy(order="C"), name)
        return self._fixed[key]

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64, "axes")

    def call(self, operator: str, *inputs: str, hint: str = "", **attributes: Any) -> str:
        """The result of an operator of one output."""
        key = (operator, inputs, tuple(sorted((k, str(v)) for k, v in attributes.items())))
        if key not in self._known:
            self._known[key] = self.several(operator, inputs, (hint or operator.lower(),), **attributes)[0]
        return self._known[key]

    def several(self, operator: str, inputs: tuple[str, ...], hints: tuple[str, ...], **attributes: Any) -> list[str]:
        """The results of an operator of several outputs."""
        outputs = [self.name(hint) for hint in hints]
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, **attributes))
        return outputs

    def formula(self, text: str, arguments: tuple[str, ...]) -> str:
        """Nested calls out of the table of functions: ``Div({0}, Add(1, Abs({0})))``."""
        places = {f"_{k}": argument for k, argument in enumerate(arguments)}
        return self._formula(ast.parse(text.format(*places), mode="eval").body, places)

    def _formula(self, node: ast.expr, places: Mapping[str, str]) -> str:
        match node:
            case ast.Name(id=name):
                return places[name]
            case ast.Constant() | ast.UnaryOp():
                return self.constant(ast.literal_eval(node))
            case ast.Call(func=ast.Name(id="Number"), args=[truth]):
                return self.call("Cast", self._formula(truth, places), to=self.number_type)
            case ast.Call(func=ast.Name(id=operator), args=args):
                return self.call(operator, *(self._formula(a, places) for a in args))
        raise NotImplementedError(ast.dump(node))

    def info(self, name: str, shape: list[Any] | None, dtype: int | None = None) -> Any:
        """What an input or output is: its shape of numbers and names."""
        return helper.make_tensor_value_info(name, dtype or self.number_type, shape)

    def graph(self, name: str, inputs: list[Any], outputs: list[Any], initializers: bool) -> onnx.GraphProto:
        held = list(self.initializers.values()) if initializers else []
        return helper.make_graph(self.nodes, name, inputs, outputs, held)
