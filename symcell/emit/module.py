"""The view of an emitted Python module: all that its template may see."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from symcell.cell import Cell, Size
from symcell.emit.names import PYTHON_RESERVED, Identifiers, names_in_python, size_code
from symcell.emit.program import Block, Dialect, Program
from symcell.emit.rows import Rows, Sweep
from symcell.emit.stamp import stamp
from symcell.emit.text import comment, docstring, literal, string_lines, tidy
from symcell.plan import Plan
from symcell.plan.homes import Buffer
from symcell.templating import environment


class Target(Dialect, Protocol):
    """A Python target: a dialect with a name and a template."""

    target: str
    title: str

    def names(self) -> tuple[str, ...]: ...
    def source(self) -> str: ...


@dataclass(frozen=True)
class StateView:
    """A state of the forward sweep, or what the backward sweep carries towards one.

    ``depth``: how many steps its buffer reaches beyond the sequence; ``reach``: the same for the state itself;
    ``enters``: gradients that arrive at the last state enter here.
    """

    name: str
    rows: str
    starts: str
    depth: int
    reach: int
    enters: bool = False


@dataclass(frozen=True)
class SweepView:
    """One function's body. ``sizes``: (variable, size name); ``buffers``: (variable, rows, columns)."""

    sizes: tuple[tuple[str, str], ...]
    starts: tuple[tuple[str, int, str], ...]
    buffers: tuple[tuple[str, str, str], ...]
    setup: tuple[str, ...]
    once: tuple[Block, ...]
    before: tuple[Block, ...]
    loop: tuple[Block, ...]
    after: tuple[Block, ...]
    finish: tuple[Block, ...]
    states: tuple[StateView, ...]
    inputs: tuple[tuple[str, str, int], ...]
    output: str


@dataclass(frozen=True)
class ModuleView:
    """What the template of a Python module sees, and nothing else."""

    title: str
    target: str
    cell: str
    heading: str
    description: tuple[str, ...]
    version: str
    stamp: str
    sizes: str
    parameters: tuple[tuple[str, str], ...]
    starts: tuple[tuple[str, str], ...]
    spread: str
    inputs: tuple[tuple[str, str], ...]
    states: tuple[tuple[str, str], ...]
    learned: tuple[tuple[str, str], ...]
    output: str
    output_size: str
    equations: tuple[str, ...]
    legend: tuple[str, ...]
    helpers: tuple[str, ...]
    kernels: str
    source: str
    tape: tuple[str, ...]
    gradients: tuple[tuple[str, str], ...]
    copies: tuple[tuple[str, str], ...]
    forward: SweepView
    backward: SweepView


def render(plan: Plan, target: Target) -> str:
    """The module's source: the plan as code inside the target's template."""
    reserved = _reserved(target.target) | PYTHON_RESERVED
    forward, sweep, tape = _forward(plan, target, Identifiers(reserved))
    backward, gradients, copies = _backward(plan, target, Identifiers(reserved), tape)
    cell = plan.cell
    view = ModuleView(
        **_about(cell), title=target.title, target=target.target, stamp=stamp(plan),
        parameters=tuple((literal(p), literal(tuple(s.plain() for s in cell.parameters[p].shape))) for p in plan.parameters),
        starts=tuple((literal(p), literal(cell.parameters[p].start)) for p in plan.parameters),
        helpers=(), kernels=literal(target.names()) if target.names() else "", source=target.source(), tape=tuple(sweep.variable(b) for b in tape),
        forward=forward, backward=backward, gradients=gradients, copies=copies,
    )  # fmt: skip
    source = _render(view)
    used = tuple(h for h in ("_erf", "_normal_cdf") if f"{h}(" in source)
    return _render(replace(view, helpers=used)) if used else source


def _fields(view: Any) -> dict[str, Any]:
    return {f.name: getattr(view, f.name) for f in fields(view)}


def _render(view: ModuleView) -> str:
    return tidy(environment(view.target).get_template(f"{view.target}/module.py.j2").render(_fields(view)))


def _about(cell: Cell) -> dict[str, Any]:
    from symcell import __version__

    states = {s: (cell.size_of(s).plain(),) if k == 1 else (k, cell.size_of(s).plain()) for s, k in cell.states.items()}
    return {
        "cell": cell.name, "heading": docstring(cell.title or cell.name), "version": __version__,
        "description": tuple(docstring(line) for line in cell.description.splitlines()),
        "sizes": literal(cell.sizes), "spread": _spread(cell), "output": literal(cell.output), "output_size": literal(cell.size_of(cell.output).plain()),
        "inputs": tuple((literal(x), literal((s.plain(),))) for x, s in cell.inputs.items()),
        "states": tuple((literal(s), literal(shape)) for s, shape in states.items()),
        "learned": tuple((literal(s), literal(p)) for s, p in cell.initial.items()),
        "equations": tuple(string_lines(cell.text)),
        "legend": tuple(comment(f"{s}: {label}") for s, label in cell.labels.items() if label),
    }  # fmt: skip


def _spread(cell: Cell) -> str:
    """The size n of the default start, uniform in ±1/√n: H where a size has that name, else the output's."""
    return literal("H" if "H" in cell.sizes else cell.size_of(cell.output).plain())


@functools.cache
def _reserved(target: str) -> frozenset[str]:
    """The names that a target's template uses, found by rendering it for no cell at all."""
    sweep = SweepView((), (), (), (), (), (), (), (), (), (), (), "")
    blank: dict[str, Any] = {f.name: () for f in fields(ModuleView)}
    words = ("title", "heading", "cell", "version", "stamp", "sizes", "spread", "output", "output_size", "kernels", "source")
    blank |= dict.fromkeys(words, "()")
    blank |= {"target": target, "helpers": ("_erf", "_normal_cdf"), "forward": sweep, "backward": sweep}
    return names_in_python(_render(ModuleView(**blank)))


def _sizes(plan: Plan) -> dict[str, Size]:
    graphs = (plan.forward.graph, plan.backward.graph)
    sizes = {n: v.size for g in graphs for n, v in g.values.items() if not v.fixed}
    return {**sizes, **plan.cell.inputs}


def _outside(names: Iterable[str], depth: Mapping[str, int]) -> dict[str, Buffer]:
    """Buffers of values that the caller passes; an input that is read at earlier steps keeps room for those."""
    return {n: Buffer(n, (n,), "carried" if depth.get(n) else "whole", depth.get(n, 0), "whole") for n in names}


def _forward(plan: Plan, target: Target, names: Identifiers) -> tuple[SweepView, Sweep, tuple[str, ...]]:
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
    views = tuple(StateView(literal(s), sweep.variable(b.name), sweep.starts(b), b.depth, b.depth) for s, b in states.items())
    inputs = tuple((literal(x), sweep.variable(x), buffers[x].depth) for x in cell.inputs)
    return _view(program, views, inputs, output), sweep, tape


def _backward(
    plan: Plan, target: Target, names: Identifiers, tape: tuple[str, ...]
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
    found = {x: rows.value(adjoint.gradients[x], 0) if x in adjoint.gradients else _zero_rows(x, sweep, target.xp) for x in cell.inputs}
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
    regions = (tuple(program.blocks[r]) for r in ("once", "before", "loop", "after", "finish"))
    return SweepView(
        tuple((sweep.names.get(("size", s), s), literal(s)) for s in program.plan.cell.sizes),
        tuple((name, depth, whole) for (depth, whole), name in sorted(starts.items())),
        tuple((sweep.variable(b.name), f"pack.room({b.depth}, {sweep.whole(b)})", sweep.width(b)) for b in used if b.name in sweep.own),
        tuple(program.setup), *regions, states, inputs, output,
    )  # fmt: skip
