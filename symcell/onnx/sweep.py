"""One sweep over time as a ``Scan``: a graph's step inside, its fixed values outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from symcell.cell import Shape
from symcell.graph import Entry, Graph, name_of
from symcell.onnx.builder import Builder
from symcell.onnx.steps import Steps, in_three
from symcell.symbolic.nodes import At


@dataclass(frozen=True)
class Swept:
    """What a sweep gives: the output (T, B, …), and the last states by name, each (B, …) or (k, B, …)."""

    output: str
    last: dict[str, str]


class Sweep:
    """A cell's forward sweep with given parameters.

    ``fixed``: parameters and constant arrays; ``count``: how many steps and samples there are, each a vector of one
    integer; ``lengths``: of each sequence, a vector that broadcasts against the samples, or "".
    """

    def __init__(
        self,
        main: Builder,
        graph: Graph,
        sizes: Mapping[str, int],
        fixed: Mapping[str, Any],
        count: tuple[str, str],
        lengths: str,
        suffix: str = "",
    ) -> None:
        self.main, self.graph, self.sizes = main, graph, sizes
        self.count, self.samples = count, count[1]
        self.lengths, self.suffix = lengths, suffix
        self.inner = Builder(main.dtype, main)
        self.once, self.ahead, self.loop = in_three(graph)
        known = {(name, 0): main.constant(fixed[name], hint=f"{name}{suffix}") for name in graph.fixed}
        before = Steps(graph, sizes, main, main, self.samples, known)
        before.make(self.once)
        self.steps = Steps(graph, sizes, main, self.inner, self.samples, before.values)

    def run(self, inputs: Mapping[str, str], states: Mapping[str, str]) -> Swept:
        """The sweep over these inputs and first states, of all samples or of one for all."""
        carried = self.carried(states)
        inputs = self.read_in_loop(inputs)
        self.given(inputs)
        self.steps.make(self.loop)
        values = self.steps.values
        after = {key: values[key[0], key[1] - 1] for key in carried}
        y = values[self.graph.outputs[0], 0]
        if self.lengths:
            y = self.ended(after, y)
        body = self.body(after, y, inputs)
        first = [*([self.main.constant(0, np.int64, "before")] if self.lengths else []), *carried.values()]
        hints = [f"{name}_{lag}_end{self.suffix}" for name, lag in carried]
        hints = [*(["steps"] if self.lengths else []), *hints, f"{self.graph.outputs[0]}_all{self.suffix}"]
        found = self.main.several("Scan", (*first, *inputs.values()), tuple(hints), body=body,
                                  num_scan_inputs=len(inputs))  # fmt: skip
        ends = dict(zip(carried, found[bool(self.lengths) :], strict=False))
        return Swept(found[-1], {e.value: self.together(e, ends) for e in self.graph.entries})

    # what goes in

    def read_in_loop(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """What the loop reads of each step, (T, B, …): inputs, and what is computed ahead, all steps at once."""
        rows = self.main.call("Mul", *self.count)
        flat = {(name, 0): self.reshaped(x, name, rows) for name, x in inputs.items()} if self.ahead else {}
        ahead = Steps(self.graph, self.sizes, self.main, self.main, rows, {**self.steps.values, **flat})
        ahead.make(self.ahead)
        read = [name_of(o) for op in self.loop for o in op.operands() if isinstance(o, At) and not o.lag]
        read += [self.graph.outputs[0], *(entry.value for entry in self.graph.entries)]
        found = {name: x for name, x in inputs.items() if name in read}
        for op in self.ahead:
            if op.out in read:
                found[op.out] = self.reshaped(ahead.values[op.out, 0], op.out, *self.count)
        return found or dict(inputs)

    def reshaped(self, value: str, name: str, *lead: str) -> str:
        """A value with other axes in front."""
        shape = self.main.integers(*(self.steps.lengths(self.graph.shape(name)) or (1,)))
        return self.main.call("Reshape", value, self.main.call("Concat", *lead, shape, axis=0), allowzero=1)

    def carried(self, states: Mapping[str, str]) -> dict[tuple[str, int], str]:
        """Each carried step of each state, by name and lag, of all samples."""
        found = {}
        for entry in self.graph.entries:
            lengths = self.steps.lengths(self.graph.shape(entry.value)) or (1,)
            wide = self.main.call("Concat", self.samples, self.main.integers(*lengths), axis=0)
            for lag in range(1, entry.depth + 1):
                one = states[entry.value]
                if entry.depth > 1:
                    one = self.main.call(
                        "Gather", one, self.main.constant(entry.depth - lag, np.int64, "place"), axis=0
                    )
                found[entry.value, lag] = self.main.call("Expand", one, wide)
        return found

    def given(self, inputs: Mapping[str, str]) -> None:
        for entry in self.graph.entries:
            for lag in range(1, entry.depth + 1):
                self.steps.values[entry.value, lag] = self.inner.name(f"{entry.value}_before_{lag}{self.suffix}")
        for name in inputs:
            self.steps.values[name, 0] = self.inner.name(f"{name}_now{self.suffix}")
        self.clock = self.inner.name("t") if self.lengths else ""

    # what comes out

    def ended(self, after: dict[tuple[str, int], str], y: str) -> str:
        """Past a sequence's end its states stay, and its output is 0."""
        goes_on = self.inner.call("Less", self.clock, self.lengths)
        for key, value in after.items():
            truth = self.shaped(goes_on, self.graph.shape(key[0]))
            after[key] = self.inner.call("Where", truth, value, self.steps.values[key])
        truth = self.shaped(goes_on, self.graph.shape(self.graph.outputs[0]))
        return self.inner.call("Where", truth, y, self.inner.constant(0))

    def shaped(self, truths: str, shape: Shape) -> str:
        """One truth a sample, against values of this shape."""
        return self.inner.call("Reshape", truths, self.inner.integers(-1, *(1,) * max(len(shape), 1)))

    def body(self, after: Mapping[tuple[str, int], str], y: str, inputs: Mapping[str, str]) -> Any:
        inner = self.inner
        ins = [inner.info(self.steps.values[key], None) for key in after]
        outs = [inner.info(self.own(value), None) for value in after.values()]
        if self.lengths:
            clock = inner.call("Add", self.clock, inner.constant(1, np.int64, "one"))
            ins.insert(0, inner.info(self.clock, [], TensorProto.INT64))
            outs.insert(0, inner.info(clock, [], TensorProto.INT64))
        ins += [inner.info(self.steps.values[name, 0], None) for name in inputs]
        return inner.graph(f"step{self.suffix}", ins, [*outs, inner.info(self.own(y), None)], False)

    def own(self, value: str) -> str:
        """A value as an output of the step, a name of its own: one value may leave in several places."""
        return self.inner.several("Identity", (value,), (f"{value}_out",))[0]

    def together(self, entry: Entry, ends: Mapping[tuple[str, int], str]) -> str:
        """The carried steps of a state, the most recent one last."""
        lags = [ends[entry.value, lag] for lag in range(entry.depth, 0, -1)]
        if len(lags) == 1:
            return lags[0]
        axis = self.main.integers(0)
        return self.main.call("Concat", *(self.main.call("Unsqueeze", one, axis) for one in lags), axis=0)
