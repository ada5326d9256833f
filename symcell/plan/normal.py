"""Graph → Graph: the forms that stages are made of.

Products with fixed matrices and products with varying ones part, since the first are one product over many rows and the
second run unit by unit; an outer product that something besides a total reads becomes pointwise. In a forward sweep
what no carried value reaches is split off the sums inside the loop, so that ``W @ x[t] + b`` runs before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import sympy

from symcell.cell import Shape
from symcell.fresh import Names
from symcell.graph import Contraction, Graph, Op, Operand, Outer, Pointwise, Total, Value, name_of
from symcell.plan.regions import regions
from symcell.symbolic.nodes import At, Param


def normal(graph: Graph) -> Graph:
    """The graph in the planner's normal form; it computes the same values."""
    return _unmixed(_spread(graph)).check()


def hoisted(graph: Graph) -> Graph:
    """The graph with what runs before the loop split off the sums inside it."""
    return _hoisted(graph).check()


class _Rewriter:
    """Collects the steps of a new graph, with values of its own among them."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values = dict(graph.values)
        self.names = Names(set(self.values))
        self.steps: list[Op] = []

    def assign(self, hint: str, shape: Shape, make: Callable[[str], Op]) -> At:
        name = self.names.fresh(hint)
        self.values[name] = Value(name, shape)
        self.steps.append(make(name))
        return At(name)

    def result(self) -> Graph:
        return replace(self.graph, values=self.values, steps=tuple(self.steps))


def _spread(graph: Graph) -> Graph:
    """Outer products that are read unit by unit, as pointwise products."""
    read = {name_of(o) for op in graph.steps if not isinstance(op, Total) for o in op.operands()}
    read |= set(graph.outputs) | set(graph.carried)
    rewriter = _Rewriter(graph)
    for op in graph.steps:
        if isinstance(op, Outer) and not graph.values[op.out].fixed and op.out in read:
            left, right = op.left.along(0), op.right.along(1)
            op = Pointwise(op.out, left * right, (left, right))
        rewriter.steps.append(op)
    return rewriter.result()


def _unmixed(graph: Graph) -> Graph:
    rewriter = _Rewriter(graph)
    for op in graph.steps:
        if isinstance(op, Contraction) and not graph.values[op.out].fixed:
            fixed = tuple(term for term in op.terms if isinstance(term[0].of, Param))
            varying = tuple(term for term in op.terms if term not in fixed)
            if fixed and varying:
                shape = graph.shape(op.out)
                parts = [
                    rewriter.assign(f"{op.out}_{hint}", shape, partial(Contraction, terms=terms))
                    for hint, terms in (("fixed", fixed), ("varying", varying))
                ]
                op = Pointwise(op.out, sympy.Add(*parts), tuple(parts))
        rewriter.steps.append(op)
    return rewriter.result()


def _hoisted(graph: Graph) -> Graph:
    region = regions(graph)
    rewriter = _Rewriter(graph)
    for op in graph.steps:
        if isinstance(op, Pointwise) and region[op.out] == "loop" and isinstance(op.body, sympy.Add):
            ahead = [a for a in op.body.args if _is_ahead(a, region)]
            part = sympy.Add(*ahead)
            if len(ahead) > 1 and any(a.axis is None and len(graph.shape(a.signal)) > 0 for a in part.atoms(At)):
                op = _split(rewriter, op, ahead, part)
        rewriter.steps.append(op)
    return rewriter.result()


def _split(rewriter: _Rewriter, op: Pointwise, ahead: list[sympy.Expr], part: sympy.Expr) -> Pointwise:
    atoms = part.atoms(At, Param)
    order = tuple(o for o in op.order if o in atoms)
    name = rewriter.assign(f"{op.out}_in", rewriter.values[op.out].shape, lambda out: Pointwise(out, part, order))
    rest = [a for a in op.body.args if a not in ahead]
    kept = set().union(*(a.atoms(At, Param) for a in rest))
    return Pointwise(op.out, sympy.Add(name, *rest), (*(o for o in op.order if o in kept), name))


def _is_ahead(expr: sympy.Expr, region: Mapping[str, str]) -> bool:
    atoms: set[Operand] = expr.atoms(At, Param)
    return not expr.is_number and all(region.get(name_of(a), "before") in ("before", "once") for a in atoms)
