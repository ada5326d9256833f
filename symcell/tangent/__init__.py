"""The tangent of a graph: forward-mode differentiation as a graph of the same kinds, swept the same way.

One rule per kind of step (:data:`symcell.tangent.rules.RULES`), each turning the tangents of a step's operands into
that of its result. The graph holds the steps themselves, too, beside their tangents: what comes from outside and what
crosses the boundary is there twice, ``x`` and ``x_dot``; so its adjoint is a second derivative (Pearlmutter 1994).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Integer

from symcell.adjoint import Adjoint, adjoint
from symcell.graph import Entry, Exit, Graph, Pointwise, alive
from symcell.tangent.dots import Dots
from symcell.tangent.rules import RULES


@dataclass(frozen=True, eq=False)
class Tangent:
    """A graph and its tangent, together.

    ``dots``: for each value of ``forward`` whose tangent is not always zero, and is of use, the value of ``graph`` that
    holds it.
    ``boundary``: for each entry and exit of ``forward`` the boundary value that is its tangent.
    """

    forward: Graph
    graph: Graph
    dots: Mapping[str, str]
    boundary: Mapping[str, str]


def tangent(forward: Graph) -> Tangent:
    """Differentiate a graph in a direction, that of its inputs, fixed values and boundary: checked."""
    sweep = Dots(forward)
    for op in forward.steps:
        if op.out in sweep.dots:
            _append(sweep, op.out)
    boundary = sweep.boundary
    given = {n: d for name, d in forward.given.items() for n in (name, sweep.dots.get(name)) if n}
    fixed = (*forward.fixed, *(sweep.dots[n] for n in forward.fixed if n in sweep.dots))
    outputs = tuple(n for name in forward.outputs for n in (name, sweep.dots[name]))
    entries = (*forward.entries, *(_entry(sweep, e, boundary[e.name]) for e in forward.entries))
    exits = (*forward.exits, *(_exit(sweep, e, boundary[e.name]) for e in forward.exits))
    crossing = {n for e in entries for n in (e.value, e.start) if n} | {v for e in exits for v in e.values}
    steps = (*forward.steps, *alive(sweep.steps, {*outputs, *crossing}))
    kept = {*given, *fixed, *(op.out for op in steps)}
    values = {name: value for name, value in sweep.values.items() if name in kept}
    graph = Graph(f"tangent of {forward.name}", values, given, fixed, steps, outputs,
                  forward.direction, entries, exits).check()  # fmt: skip
    return Tangent(forward, graph, {name: dot for name, dot in sweep.dots.items() if dot in kept}, boundary)


def _append(sweep: Dots, name: str) -> None:
    """The steps that compute the tangent of a value; one that always is zero is wanted where it leaves."""
    op, out = sweep.producers[name], sweep.dots[name]
    made = RULES[type(op)](sweep, op, out) if sweep.flows(op) else Pointwise(out, Integer(0))
    sweep.steps.append(made)


def _entry(sweep: Dots, entry: Entry, name: str) -> Entry:
    """The tangent of a learned start is added to what arrives, unless callers pass the value instead of that start."""
    value, start = sweep.dots[entry.value], sweep.dots.get(entry.start or "")
    unless = entry.unless if entry.adds else entry.name
    return Entry(value, name, entry.depth, start, start is not None, unless if start else "", entry.far)


def _exit(sweep: Dots, leaving: Exit, name: str) -> Exit:
    return Exit(name, tuple(sweep.dots[v] for v in leaving.values), leaving.depth, leaving.far, leaving.depths)


def second(tangent: Tangent) -> Adjoint:
    """The second derivatives: the adjoint of a tangent, of its dotted outputs and exits, by all that has no dot.

    Where J is the derivative of all that a graph gives and w the direction, this is the derivative of vᵀJw; as second
    derivatives are symmetric, that is also the derivative of the backward sweep's Jᵀv in the direction w.
    """
    forward, dots = tangent.forward, tangent.dots
    of = {*(dots[o] for o in forward.outputs), *(tangent.boundary[e.name] for e in forward.exits)}
    by = {*forward.given, *(n for n in forward.fixed if n in dots), *(e.name for e in forward.entries)}
    return adjoint(tangent.graph, of, by)
