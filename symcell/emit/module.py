"""An emitted Python module: the plan's code inside its target's template."""

from __future__ import annotations

import functools
from dataclasses import fields, replace
from typing import Any, Protocol

from symcell.cell import Cell, Parameter
from symcell.emit.names import PYTHON_RESERVED, Identifiers, names_in_python
from symcell.emit.program import Dialect
from symcell.emit.stamp import stamp
from symcell.emit.sweeps import backward, forward
from symcell.emit.text import docstring, literal, string_lines, tidy
from symcell.emit.views import ModuleView, SweepView
from symcell.plan import Plan
from symcell.templating import environment
from symcell.version import __version__


class Target(Dialect, Protocol):
    """A Python target: a dialect with a name and a template."""

    @property
    def target(self) -> str: ...
    @property
    def title(self) -> str: ...
    def names(self) -> tuple[str, ...]: ...
    def source(self) -> str: ...


HELPERS = ("_erf", "_normal_cdf")
"""Functions that NumPy lacks; a module defines those that it calls."""


def render(plan: Plan, target: Target) -> str:
    """The module's source: the plan as code inside the target's template."""
    reserved = _reserved(target.target) | PYTHON_RESERVED
    ahead, sweep, tape = forward(plan, target, Identifiers(reserved))
    back, gradients, copies = backward(plan, target, Identifiers(reserved), tape)
    view = ModuleView(
        **_about(plan.cell),
        title=target.title,
        target=target.target,
        stamp=stamp(plan),
        parameters=tuple((literal(p), _shape(plan.cell.parameters[p])) for p in plan.parameters),
        starts=tuple((literal(p), literal(plan.cell.parameters[p].start)) for p in plan.parameters),
        helpers=(),
        kernels=literal(target.names()) if target.names() else "",
        source=target.source(),
        tape=tuple(sweep.variable(b) for b in tape),
        forward=ahead,
        backward=back,
        gradients=gradients,
        copies=copies,
    )
    source = _render(view)
    used = tuple(h for h in HELPERS if f"{h}(" in source)
    return _render(replace(view, helpers=used)) if used else source


def _shape(parameter: Parameter) -> str:
    return literal(tuple(size.plain() for size in parameter.shape))


def _fields(view: Any) -> dict[str, Any]:
    return {f.name: getattr(view, f.name) for f in fields(view)}


def _render(view: ModuleView) -> str:
    return tidy(environment(view.target).get_template(f"{view.target}/module.py.j2").render(_fields(view)))


def _about(cell: Cell) -> dict[str, Any]:
    states = {s: (cell.size_of(s).plain(),) if k == 1 else (k, cell.size_of(s).plain()) for s, k in cell.states.items()}
    return {
        "cell": cell.name,
        "heading": docstring(cell.title or cell.name),
        "version": __version__,
        "description": tuple(docstring(line) for line in cell.description.splitlines()),
        "sizes": literal(cell.sizes),
        "spread": _spread(cell),
        "output": literal(cell.output),
        "output_size": literal(cell.size_of(cell.output).plain()),
        "inputs": tuple((literal(x), literal((s.plain(),))) for x, s in cell.inputs.items()),
        "states": tuple((literal(s), literal(shape)) for s, shape in states.items()),
        "learned": tuple((literal(s), literal(p)) for s, p in cell.initial.items()),
        "equations": tuple(string_lines(cell.text)),
    }


def _spread(cell: Cell) -> str:
    """The size n of the default start, uniform in ±1/√n: H where a size has that name, else the output's."""
    return literal("H" if "H" in cell.sizes else cell.size_of(cell.output).plain())


@functools.cache
def _reserved(target: str) -> frozenset[str]:
    """The names that a target's template uses, found by rendering it for no cell at all."""
    sweep = SweepView((), (), (), (), (), (), (), (), (), (), (), "")
    blank: dict[str, Any] = {f.name: () for f in fields(ModuleView)}
    texts = {f.name for f in fields(ModuleView) if f.type == "str"}
    blank |= dict.fromkeys(texts, "()")
    blank |= {"target": target, "helpers": HELPERS, "forward": sweep, "backward": sweep}
    return names_in_python(_render(ModuleView(**blank)))
