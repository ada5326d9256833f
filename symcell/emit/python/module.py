"""An emitted Python module: a plan's programs as functions inside its target's template."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from symcell.cell import INITIALISERS, Cell, Parameter, Shape, Start
from symcell.emit.python.blocks import FunctionView
from symcell.emit.python.dialect import Dialect
from symcell.emit.python.function import single, sweep
from symcell.emit.python.held import lines as held_lines
from symcell.emit.python.scope import Module
from symcell.emit.python.stamp import stamp
from symcell.emit.python.text import code_lines, docstring, literal, mapping, string_lines, tidy
from symcell.program.model import Plan
from symcell.symbolic.functions import python_helpers
from symcell.templating import environment
from symcell.version import __version__


@dataclass(frozen=True)
class ModuleView:
    """What the template of a Python module sees, and nothing else.

    ``sizes`` … ``lags``: the module's dicts and tuples, as code. ``kinds``: how parameters start. ``constant``: there
    are constant arrays; ``composite``: sizes that are sums or products; ``lagged``, ``matrices_carried``: states of
    several steps, and that are matrices; ``matrices``: inputs that are; ``only_input``: the one input's name, if there
    is one alone. ``features``: parts of the template that the
    functions need. ``helpers``: definitions of functions that the array package lacks. ``held``: lines that say how
    many bytes the sweeps hold. ``dots``: what the tangents of inputs and states are called, as a dict, and ``jvp`` and
    ``second``: functions for second derivatives, where the module has them. ``wide``: sweeps work on copies of what is
    of 16 bits. ``own``: what the target's own templates
    see.
    """

    cell: str
    heading: str
    description: tuple[str, ...]
    version: str
    stamp: str
    equations: tuple[str, ...]
    output: str
    sizes: str
    parameters: str
    arrays: str
    starts: str
    inputs: str
    states: str
    lags: str
    constant: bool
    composite: bool
    lagged: bool
    matrices_carried: bool
    matrices: frozenset[str]
    only_input: str
    kinds: tuple[str, ...]
    spread: str
    output_shape: str
    features: frozenset[str]
    helpers: tuple[str, ...]
    held: tuple[str, ...]
    forward: FunctionView
    backward: FunctionView
    step: FunctionView
    dots: str
    jvp: FunctionView | None
    second: FunctionView | None
    wide: bool
    own: object


KINDS = (*INITIALISERS, "uniform()", "normal()", "number")
"""How parameters start, as ``init_params`` tells it apart: by a name, a name with a scale, or a number."""


def render(plan: Plan, dialect: Dialect) -> str:
    """The module's source."""
    module = Module(plan, dialect.xp, dialect.keeps, dialect)
    sweeps = {program.role: sweep(program, module, dialect) for pair in plan.pairs for program in pair}
    step = single(plan.forward, module, dialect)
    view = ModuleView(
        **_about(plan.cell, plan.parameters),
        stamp=stamp(plan),
        features=frozenset(module.features),
        helpers=python_helpers(module.functions, dialect.xp),
        held=held_lines(plan),
        forward=sweeps["forward"],
        backward=sweeps["backward"],
        step=step,
        dots=_dots(plan),
        jvp=sweeps.get("tangent"),
        second=sweeps.get("second"),
        wide=plan.forward.profile.wide,
        own=dialect.view(),
    )
    keys = {f.name: getattr(view, f.name) for f in fields(view)}
    return tidy(environment(dialect.name).get_template(f"{dialect.name}/module.py.j2").render(keys))


def _dots(plan: Plan) -> str:
    """What the tangents of inputs and states are called in the sweeps; empty where there are none."""
    named = dict.fromkeys((*plan.cell.inputs, *plan.cell.states))
    return _dict({name: literal(plan.dots[name]) for name in named}, "_DOTS") if plan.dots else ""


def _about(cell: Cell, parameters: tuple[str, ...]) -> dict[str, Any]:
    starts = {p: cell.parameters[p].start for p in parameters}
    return {
        "cell": docstring(cell.name),
        "heading": docstring(cell.title or cell.name, 3),
        "description": tuple(docstring(line) for line in cell.description.splitlines()),
        "version": __version__,
        "equations": tuple(string_lines(cell.text)),
        "output": literal(cell.output),
        "sizes": "\n".join(code_lines(literal(cell.sizes), len("SIZES = "))),
        "parameters": _dict({p: _shape(cell.parameters[p].shape) for p in parameters}, "PARAMS"),
        "arrays": _dict({a: _shape(shape) for a, shape in cell.arrays.items()}, "CONSTANTS"),
        "starts": _dict({p: _start(cell.parameters[p]) for p in parameters}, "START"),
        "inputs": _dict({x: _shape(shape) for x, shape in cell.inputs.items()}, "INPUTS"),
        "states": _dict({s: _shape(cell.shape_of(s)) for s in cell.states}, "STATES"),
        "lags": _dict({s: str(k) for s, k in cell.states.items() if k > 1}, "LAGS"),
        "constant": bool(cell.arrays),
        "composite": any(not isinstance(d, int) and ("+" in d or "*" in d) for d in _dims(cell)),
        "lagged": any(k > 1 for k in cell.states.values()),
        "matrices_carried": any(len(cell.shape_of(s)) == 2 for s in cell.states),
        "matrices": frozenset(literal(x) for x, shape in cell.inputs.items() if len(shape) == 2),
        "only_input": literal(next(iter(cell.inputs))) if len(cell.inputs) == 1 else "",
        "kinds": tuple(kind for kind in KINDS if kind in {_kind(start) for start in starts.values()}),
        "spread": literal(cell.spread.plain()),
        "output_shape": _shape(cell.shape_of(cell.output)),
    }


def _dims(cell: Cell) -> list[str | int]:
    """Every length in the module's dicts, as it stands there."""
    shapes = [p.shape for p in cell.parameters.values()] + [*cell.arrays.values(), *cell.inputs.values()]
    shapes += [cell.shape_of(s) for s in (*cell.states, cell.output)]
    return [size.plain() for shape in shapes for size in shape]


def _dict(items: dict[str, str], name: str) -> str:
    return mapping(((literal(key), code) for key, code in items.items()), len(f"{name} = "))


def _shape(shape: Shape) -> str:
    return literal(tuple(size.plain() for size in shape))


def _start(parameter: Parameter) -> str:
    """A number, a name, or a name with its scale."""
    start = parameter.start
    if not isinstance(start, Start):
        return literal(start)
    return literal(start.kind) if start.scale is None else literal((start.kind, start.scale))


def _kind(start: float | Start) -> str:
    """What ``init_params`` has to know of a start."""
    if not isinstance(start, Start):
        return "number"
    return start.kind if start.scale is None else f"{start.kind}()"
