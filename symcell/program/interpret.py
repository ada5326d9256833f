"""Run a program as it stands, in float64: a witness between the graph and the printed source.

Every stage is computed by its plain meaning, in NumPy, on memory that is really shared by slot and poisoned with NaN
(:mod:`symcell.program.memory`); bodies are evaluated as SymPy holds them, but where a statement has calls these are run
in its stead, so that they are on trial too. Nothing here is shared with the printers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symcell.program.boundary import enter, extents, leave
from symcell.program.memory import Memory
from symcell.program.model import Plan, Program, Ref
from symcell.program.packing import Array, Packing
from symcell.program.stages import Runner

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Grads:
    """Gradients by the parameters, the inputs and the states before the first step, each by name."""

    params: Arrays
    x: Arrays
    state: Arrays


@dataclass(frozen=True)
class Result:
    """``y``: (T, B, *shape), zero in the padding. ``last``: the states after each sequence's own last step."""

    y: Array
    last: Arrays
    grads: Grads | None


@np.errstate(all="ignore")
def run(
    plan: Plan,
    params: Arrays,
    x: Arrays,
    state: Arrays | None = None,
    lengths: Sequence[int] | None = None,
    dy: Array | None = None,
    dlast: Arrays | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
    keep_tape: bool = True,
) -> Result:
    """Forward, and backward where ``keep_tape``.

    ``params``: parameters and constant arrays by name. ``x``: (T, B, *shape) by name. ``state``, ``dlast``:
    (B, *shape), or (depth, B, *shape), by name; missing ones are the start, or zero. ``dy``: like y, zero where None.
    ``sizes``: the named sizes, where the shapes of parameters and inputs do not tell them all.
    Raises ProgramError where a stage over the whole sequence meets a buffer that has no rows for it.
    """
    sizes = {**_sizes(plan, params, x), **(sizes or {})}
    sweeps = _Sweeps(plan.forward, sizes, dict(params), x, state or {}, lengths, keep_tape)
    y = sweeps.output(plan.cell.output)
    grads = sweeps.back(plan.backward, y, dy, dlast or {}) if keep_tape else None
    return Result(y, sweeps.last, grads)


@dataclass(frozen=True)
class Twice:
    """Values as in :class:`Result`, with their tangents; ``grads``: second derivatives."""

    y: Array
    last: Arrays
    y_dot: Array
    last_dot: Arrays
    grads: Grads


@np.errstate(all="ignore")
def run_twice(
    plan: Plan,
    params: Arrays,
    x: Arrays,
    state: Arrays,
    dots: tuple[Arrays, Arrays, Arrays],
    lengths: Sequence[int] | None = None,
    dy: Array | None = None,
    dlast: Arrays | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
) -> Twice:
    """The tangent in a direction, ``dots`` (of parameters, inputs and states; missing ones are zero), and the gradients
    of its products with ``dy`` and ``dlast``; the rest is as in :func:`run`."""
    sizes = {**_sizes(plan, params, x), **(sizes or {})}
    fixed = {**params, **{dot: np.zeros_like(params[p]) for p, dot in plan.dots.items() if p in plan.parameters}}
    inputs = {**x, **{plan.dots[name]: np.zeros_like(array) for name, array in x.items()}}
    fixed |= {plan.dots[name]: array for name, array in dots[0].items()}
    inputs |= {plan.dots[name]: array for name, array in dots[1].items()}
    states = {**state, **{plan.dots[name]: array for name, array in dots[2].items()}}
    sweeps = _Sweeps(plan.programs["tangent"], sizes, fixed, inputs, states, lengths, True)
    y, y_dot = (sweeps.output(name) for name in (plan.cell.output, plan.dots[plan.cell.output]))
    last = {name: sweeps.last[name] for name in plan.cell.states}
    last_dot = {name: sweeps.last[plan.dots[name]] for name in plan.cell.states}
    return Twice(y, last, y_dot, last_dot, sweeps.back(plan.programs["second"], y, dy, dlast or {}))


class _Sweeps:
    """A program that makes a tape, run; and the one that reads it, to be run."""

    def __init__(
        self,
        program: Program,
        sizes: Mapping[str, int],
        params: Arrays,
        x: Arrays,
        state: Arrays,
        lengths: Sequence[int] | None,
        keep_tape: bool,
    ) -> None:
        steps, batch = next(iter(x.values())).shape[:2]
        self.program, self.sizes, self.params, self.x, self.state = program, sizes, params, x, state
        self.packing = Packing.of(steps, batch, lengths)
        self.outside = {name: self.packing.rows(np.asarray(array, float)) for name, array in x.items()}
        given = _given(program, params, self.outside, sizes, self.packing)
        self.memory = Memory(program, self.packing, sizes, given, keep_tape)
        self.last = _sweep(program, self.memory, state, state)

    def output(self, name: str) -> Array:
        """(T, B, *shape), zero in the padding."""
        shape = extents(self.program.graph.shape(name), self.sizes)
        return _sequence(self.memory, self.program.results[name], shape)

    def back(self, program: Program, y: Array, dy: Array | None, dlast: Arrays) -> Grads:
        """The sweep back. ``dy``: zero where None."""
        seed = self.packing.rows(np.zeros_like(y) if dy is None else np.asarray(dy, float))
        taped = {name: self.memory.array(name) for name in self.program.tape}
        given = {**_given(program, self.params, self.outside, self.sizes, self.packing, seed), **taped}
        memory = Memory(program, self.packing, self.sizes, given, True)
        before = _sweep(program, memory, dlast, self.state)
        by_x = {name: _sequence(memory, ref, self.x[name].shape[2:]) for name, ref in program.results.items()}
        return Grads(_by_parameter(memory), by_x, before)


def _sizes(plan: Plan, params: Arrays, x: Arrays) -> dict[str, int]:
    """The named sizes, from the arrays' shapes."""
    values = plan.forward.graph.values
    shapes = {**{n: a.shape[2:] for n, a in x.items()}, **{n: np.shape(a) for n, a in params.items()}}
    pairs = [p for n, shape in shapes.items() if n in values for p in zip(values[n].shape, shape, strict=True)]
    sizes: dict[str, int] = {}
    for _ in pairs:
        for size, length in pairs:
            missing = [n for n in size.names if n not in sizes]
            if len(missing) == 1:
                base, slope = (size.value({**sizes, missing[0]: k}) for k in (0, 1))
                sizes[missing[0]] = (length - base) // (slope - base)
    return sizes


def _given(
    program: Program, params: Arrays, x: Arrays, sizes: Mapping[str, int], packing: Packing, seed: Array | None = None
) -> dict[str, Array]:
    """The arrays of the buffers that come from outside."""
    given = {}
    for name, buffer in program.buffers.items():
        if buffer.origin in ("params", "directions", "constant"):
            parts = [np.reshape(np.asarray(params[m.name], float), -1) for m in buffer.members]
            given[name] = np.concatenate([np.zeros(0), *parts])[None]
        elif buffer.origin == "seed" and seed is not None:
            given[name] = seed
        elif buffer.origin == "input":
            rows = np.concatenate([x[m.name] for m in buffer.members], axis=1)
            outside = np.full((buffer.depth * packing.batch, rows.shape[1]), np.nan)
            given[name] = np.concatenate([outside, rows])
    return given


def _sweep(program: Program, memory: Memory, state: Arrays, passed: Arrays) -> dict[str, Array]:
    """All regions; what leaves, by state. ``passed``: the states that the caller passed to the forward sweep."""
    runner = Runner(memory, frozenset(passed))
    for entering in program.enters:
        enter(memory, entering, state)
    for region in program.regions:
        if region.kind == "sequence":
            for stage in region.stages:
                runner.run(stage, None)
            continue
        for t in range(memory.packing.steps)[:: region.direction]:
            memory.forget()
            for stage in region.stages:
                runner.run(stage, t)
    return {leaving.state: leave(memory, leaving) for leaving in program.leaves}


def _sequence(memory: Memory, ref: Ref | None, shape: tuple[int, ...]) -> Array:
    """(T, B, *shape) of what a reference names, zero where it names nothing."""
    packing = memory.packing
    if ref is None:
        return np.zeros((packing.steps, packing.batch, *shape))
    return packing.unpacked(memory.read(ref, None)).reshape(packing.steps, packing.batch, *shape)


def _by_parameter(memory: Memory) -> dict[str, Array]:
    """Gradients by the parameters, each of its own shape."""
    found = {}
    for buffer in memory.program.buffers.values():
        if buffer.origin == "grads":
            for k, member in enumerate(buffer.members):
                array = memory.read(Ref(buffer.name, k), None)
                found[member.name] = array.reshape(extents(member.shape, memory.sizes))
    return found
