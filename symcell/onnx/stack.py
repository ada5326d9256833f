"""A model around sweeps: its inputs and outputs, layers and directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from symcell.cell import Cell
from symcell.graph import Entry
from symcell.lower import lower
from symcell.onnx.builder import Builder
from symcell.onnx.instances import Instance
from symcell.onnx.sweep import Sweep, Swept
from symcell.version import __version__

OPSET, IR_VERSION = 18, 8
"""Scan, and sums and maxima with their axes as inputs; what onnx 1.13 and later write."""


class Stack:
    """``instances``: by layer and direction. ``whole``: states have an axis for layers and directions. ``always``:
    inputs that are one number in every place, and so none of the model's."""

    def __init__(
        self,
        cell: Cell,
        instances: Sequence[Sequence[Instance]],
        *,
        main: str = "",
        lengths: bool = True,
        batch_first: bool = False,
        whole: bool = True,
        always: Mapping[str, float] | None = None,
    ) -> None:
        self.cell, self.graph, self.instances = cell, lower(cell), instances
        self.fed = main or next(iter(cell.inputs))
        self.batch_first, self.whole, self.always = batch_first, whole, dict(always or {})
        arrays = instances[0][0].fixed.values()
        self.builder = Builder(next((a.dtype for a in arrays), np.dtype("float32")))
        self.inputs: list[Any] = []
        self.x = {
            name: self.input(name, ["T", "B"], instances[0][0]) for name in cell.inputs if name not in self.always
        }
        self.states = {e.value: self.state(e) for e in self.graph.entries}
        self.lengths = self.optional("lengths", np.array([np.iinfo(np.int64).max]), ["B or 1"]) if lengths else ""
        self.y = self.builder.name("y")
        self.last = {e.value: self.builder.name(f"{e.value}_last") for e in self.graph.entries}

    # what goes in

    def input(self, name: str, lead: list[Any], instance: Instance) -> str:
        lead = lead[::-1] if self.batch_first else lead
        found = self.builder.name(name)
        shape = [size.value(instance.sizes) for size in self.cell.shape_of(name)]
        self.inputs.append(self.builder.info(found, [*lead, *shape]))
        return found

    def state(self, entry: Entry) -> str:
        """A state before the first step, its start as the default."""
        starts = []
        for instance in (one for layer in self.instances for one in layer):
            shape = [size.value(instance.sizes) for size in self.graph.shape(entry.value)]
            start = 0 if entry.start is None else instance.fixed[entry.start]
            lead = [entry.depth, 1] if entry.depth > 1 else [1]
            starts.append(np.broadcast_to(np.asarray(start, self.builder.dtype), (*lead, *shape)))
        default = np.stack(starts) if self.whole else starts[0]
        batch = default.ndim - 1 - len(shape)
        dimensions: list[Any] = [*default.shape]
        dimensions[batch] = "B or 1"
        return self.optional(f"{entry.value}_first", default, dimensions)

    def optional(self, name: str, default: Any, dimensions: list[Any]) -> str:
        """An input that has a default."""
        found = self.builder.name(name)
        array = np.ascontiguousarray(default)
        self.builder.initializers[found] = numpy_helper.from_array(array, found)
        self.inputs.append(self.builder.info(found, dimensions, helper.np_dtype_to_tensor_dtype(array.dtype)))
        return found

    # what is computed

    def model(self) -> onnx.ModelProto:
        builder = self.builder
        turned = {name: self.by_time(x) for name, x in self.x.items()} if self.batch_first else dict(self.x)
        shape = builder.call("Shape", turned[self.fed])
        self.steps, self.samples = (
            builder.call("Slice", shape, builder.integers(k), builder.integers(k + 1), hint=hint)
            for k, hint in ((0, "steps"), (1, "samples"))
        )
        turned |= {name: self.everywhere(name, number) for name, number in self.always.items()}
        ends: list[Swept] = []
        rows = turned[self.fed]
        for k, layer in enumerate(self.instances):
            found = [self.sweep(one, {**turned, self.fed: rows}, k, direction) for direction, one in enumerate(layer)]
            ends += found
            rows = found[0].output if len(found) == 1 else builder.call("Concat", *(f.output for f in found), axis=-1)
        self.leave(self.by_time(rows) if self.batch_first else rows, self.y)
        for name, place in self.last.items():
            several = [end.last[name] for end in ends]
            if self.whole:
                several = [builder.call("Unsqueeze", one, builder.integers(0)) for one in several]
            self.leave(several[0] if len(several) == 1 else builder.call("Concat", *several, axis=0), place)
        return self.packed()

    def everywhere(self, name: str, number: float) -> str:
        """One number as an input (T, B, …)."""
        shape = [size.value(self.instances[0][0].sizes) for size in self.cell.shape_of(name)]
        wide = self.builder.call("Concat", self.steps, self.samples, self.builder.integers(*shape), axis=0)
        return self.builder.call("Expand", self.builder.constant(number), wide)

    def by_time(self, value: str) -> str:
        """Time and samples the other way round."""
        rank = len(self.cell.shape_of(self.fed))
        return self.builder.call("Transpose", value, perm=[1, 0, *range(2, 2 + rank)])

    def sweep(self, instance: Instance, inputs: dict[str, str], layer: int, direction: int) -> Swept:
        number = layer * len(self.instances[0]) + direction
        suffix = f"_l{layer}{'_reverse' * direction}" if self.whole else ""
        states = {
            name: self.builder.call("Gather", value, self.builder.constant(number, np.int64, "place"), axis=0)
            if self.whole else value
            for name, value in self.states.items()
        }  # fmt: skip
        made = Sweep(self.builder, self.graph, instance.sizes, instance.fixed, (self.steps, self.samples), self.lengths,
                     suffix)  # fmt: skip
        if not direction:
            return made.run(inputs, states)
        found = made.run({name: self.reversed(x) for name, x in inputs.items()}, states)
        return Swept(self.reversed(found.output), found.last)

    def reversed(self, value: str) -> str:
        """Each sequence the other way round, by its own length."""
        lengths = self.builder.call("Expand", self.steps, self.samples)
        if self.lengths:
            lengths = self.builder.call("Min", lengths, self.lengths)
        return self.builder.call("ReverseSequence", value, lengths, time_axis=0, batch_axis=1)

    # what comes out

    def leave(self, value: str, name: str) -> None:
        self.builder.nodes.append(helper.make_node("Identity", [value], [name]))

    def packed(self) -> onnx.ModelProto:
        one = self.instances[-1][0]
        width = [size.value(one.sizes) for size in self.cell.shape_of(self.cell.output)]
        width[-1] *= len(self.instances[-1])
        lead = ["B", "T"] if self.batch_first else ["T", "B"]
        outputs = [self.builder.info(self.y, [*lead, *width])]
        count = [sum(len(layer) for layer in self.instances)] if self.whole else []
        for entry in self.graph.entries:
            shape = [size.value(one.sizes) for size in self.graph.shape(entry.value)]
            depth = [entry.depth] if entry.depth > 1 else []
            outputs.append(self.builder.info(self.last[entry.value], [*count, *depth, "B", *shape]))
        graph = self.builder.graph(self.cell.name, self.inputs, outputs, True)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                                 producer_name="symcell", producer_version=__version__,
                                 doc_string=self.cell.text)  # fmt: skip
        onnx.checker.check_model(made)
        return made
