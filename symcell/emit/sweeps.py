"""A plan's two sweeps as the bodies of ``forward`` and ``backward``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from symcell.cell import Size
from symcell.emit.names import Identifiers, size_code
from symcell.emit.program import Block, Dialect, Program
from symcell.emit.rows import Rows, Sweep
from symcell.emit.text import literal
from symcell.emit.views import StateView, SweepView
from symcell.plan import Plan
from symcell.plan.homes import Buffer


def _sizes(plan: Plan) -> dict[str, Size]:
    graphs = (plan.forward.graph, plan.backward.graph)
    sizes = {n: v.size for g in graphs for n, v in g.values.items() if not v.fixed}
    return {**sizes, **plan.cell.inputs}


def _outside(names: Iterable[str], depth: Mapping[str, int]) -> dict[str, Buffer]:
    """Buffers of values that the caller passes; an input that is read at earlier steps keeps room for those."""
    return {n: Buffer(n, (n,), "carried" if depth.get(n) else "whole", depth.get(n, 0), "whole") for n in names}


def forward(plan: Plan, target: Dialect, names: Identifiers) -> tuple[SweepView, Sweep, tuple[str, ...]]:
    """The forward function's body, and the buffers that make the tape."""
    homes, graph, cell = plan.forward_homes, plan.forward.graph, plan.cell
    own = {b.name: b for b in homes.buffers}
    buffers = {**_outside(graph.given, graph.given), **own}
    sweep = Sweep(graph, homes, buffers, frozenset(own), names, False, _sizes(plan))
    program = Program(plan, plan.forward, sweep, target).build()
    rows = Rows(sweep, loop=False)
    output = rows.value(cell.output, 0)
    program.blocks["after"].append(Block((), tuple(rows.flush())))
    read = sorted(n for n in plan.backward.graph.given if n in homes.of)
    tape = tuple(dict.fromkeys(homes.of[n].buffer for n in read))
    states = {s: buffers[homes.of[s].buffer] for s in cell.states}
    program.used |= rows.used | set(tape) | {b.name for b in states.values()}
    views = tuple(
        StateView(literal(s), sweep.variable(b.name), sweep.starts(b), b.depth, b.depth) for s, b in states.items()
    )
    inputs = tuple((literal(x), sweep.variable(x), buffers[x].depth) for x in cell.inputs)
    return _view(program, views, inputs, output), sweep, tape


def backward(
    plan: Plan, target: Dialect, names: Identifiers, tape: tuple[str, ...]
) -> tuple[SweepView, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """The backward function's body; the rows of each input's gradient; the parameters' gradients to be copied."""
    homes, adjoint, cell = plan.backward_homes, plan.adjoint, plan.cell
    own = {b.name: b for b in homes.buffers}
    given = plan.forward.graph.given
    seed = adjoint.seeds[cell.output]
    buffers = {**_outside((*given, seed), given), **{b.name: b for b in plan.forward_homes.buffers}, **own}
    sweep = Sweep(plan.backward.graph, homes, buffers, frozenset(own), names, True, _sizes(plan))
    program = Program(plan, plan.backward, sweep, target).build()
    rows = Rows(sweep, loop=False)
    found = {
        x: rows.value(adjoint.gradients[x], 0) if x in adjoint.gradients else _zero_rows(x, sweep, target.xp)
        for x in cell.inputs
    }
    program.blocks["finish"].append(Block((), tuple(rows.flush())))
    carried = [(carry, homes.buffer(out)) for out, carry in adjoint.carries.items()]
    program.used |= rows.used | {b.name for _, b in carried} | set(tape)
    entries = {c.value: b.name for c, b in reversed(carried) if c.lag == cell.states[c.value]}
    views = tuple(StateView(literal(c.value), sweep.variable(b.name), sweep.starts(b), c.lag, cell.states[c.value],
                            entries[c.value] == b.name) for c, b in carried)  # fmt: skip
    inputs = tuple((b, sweep.variable(b), 0) for b in tape)
    copies = tuple(
        (literal(p), program.fixed((v,)))
        for p, v in adjoint.gradients.items()
        if p in cell.parameters and v not in plan.owner
    )
    return _view(program, views, inputs, sweep.variable(seed)), tuple((literal(x), v) for x, v in found.items()), copies


def _zero_rows(name: str, sweep: Sweep, xp: str) -> str:
    """The gradient of an input that the output does not depend on."""
    return f"pack.rows({xp}.zeros((steps, batch, {size_code(sweep.sizes[name], sweep.names)}), dtype))"


def _view(
    program: Program, states: tuple[StateView, ...], inputs: tuple[tuple[str, str, int], ...], output: str
) -> SweepView:
    sweep = program.sweep
    used = [sweep.buffers[b] for b in sweep.buffers if b in program.used]
    starts = {(b.depth, sweep.whole(b)): sweep.starts(b) for b in used}
    once, before, loop, after, finish = (
        tuple(program.blocks[r]) for r in ("once", "before", "loop", "after", "finish")
    )
    return SweepView(
        sizes=tuple((sweep.names.get(("size", s), s), literal(s)) for s in program.plan.cell.sizes),
        starts=tuple((name, depth, whole) for (depth, whole), name in sorted(starts.items())),
        buffers=tuple(
            (sweep.variable(b.name), f"pack.room({b.depth}, {sweep.whole(b)})", sweep.width(b))
            for b in used
            if b.name in sweep.own
        ),
        setup=tuple(program.setup),
        once=once, before=before, loop=loop, after=after, finish=finish,
        states=states, inputs=inputs, output=output,
    )  # fmt: skip
