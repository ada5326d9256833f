"""Every small mistake in a tangent or in the second derivatives is caught by differences of gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from feature_cells import FEATURES
from float64 import FLOAT64
from mutants import Mutant, mutants

import symcell
from symcell.adjoint import Adjoint, adjoint
from symcell.graph import Graph, GraphError, Op, Pointwise
from symcell.interpret import Run, run
from symcell.lower import lower
from symcell.tangent import Tangent, second, tangent
from symcell.verify.cases import Kind, random_case, sizes_of
from symcell.verify.second import differenced, random_direction
from symcell.verify.tolerances import error, real

CELLS = ["rnn", "learned_start", pytest.param("lstm", marks=pytest.mark.whole),
         pytest.param("learned_lags", marks=pytest.mark.whole)]  # fmt: skip
NOISE = 1e-9


class Witness:
    """A case, a direction, and what differences say of both."""

    def __init__(self, name: str) -> None:
        self.cell = cell = symcell.load(name) if name not in FEATURES else symcell.parse(FEATURES[name], name=name)
        self.derived = tangent(lower(cell))
        self.second = second(self.derived)
        given = name != "learned_start"
        steps = 4 if max(cell.states.values()) > 1 else 2
        self.case = case = random_case(cell, Kind("mutants", steps, 2, given), sizes=sizes_of(cell, 2), seed=3)
        self.towards = random_direction(case)
        if not given:
            dlast = random_case(cell, Kind("given", steps, 2), sizes=case.sizes).dlast
            self.case = case = replace(case, dlast=dlast)
        self.wanted = differenced(cell, case, adjoint(lower(cell)), self.towards)
        self.ahead = self.sweep(self.derived)

    def sweep(self, derived: Tangent, graph: Graph | None = None) -> Run:
        """The tangent's sweep."""
        case, towards, dots = self.case, self.towards, derived.dots

        def both(values: Mapping[str, Any], slopes: Mapping[str, Any]) -> dict[str, Any]:
            return {**values, **{dots[name]: slopes[name] for name in values}}

        states = {e.value: e.name for e in derived.graph.entries}
        boundary = {states[name]: value for name, value in both(case.state, towards.state).items()}
        given = {(n, t): v for n, array in both(case.x, towards.x).items() for t, v in enumerate(array)}
        return self.run(graph or derived.graph, given, both(case.params, towards.params), boundary)

    def run(self, graph: Graph, given: Any, fixed: Any, boundary: Any) -> Run:
        case = self.case
        return run(graph, given, fixed, boundary, steps=case.steps, batch=case.batch, sizes=case.sizes,
                   arithmetic=FLOAT64)  # fmt: skip

    def back(self, derived: Adjoint) -> dict[str, Any]:
        """All second derivatives."""
        case, dots = self.case, self.derived.dots
        exits = {e.values[0]: e.name for e in derived.forward.exits}
        arriving = {derived.entering[exits[dots[name]]]: value for name, value in case.dlast.items()}
        passed = {e.name: case.state[e.value] for e in derived.forward.entries if e.value in case.state}
        seed = derived.seeds[dots[self.cell.output]]
        given = {**self.ahead.varying, **{(seed, t): dy for t, dy in enumerate(case.dy)}}
        found = self.run(derived.graph, given, self.ahead.fixed, {**passed, **arriving})
        of = derived.gradients
        out = {f"d{n}": found.fixed[of[n]] for n in case.params if n in of}
        out |= {f"d{x}": np.stack([found.varying[of[x], t] for t in range(case.steps)]) for x in case.x if x in of}
        edges = {e.value: e.name for e in derived.forward.entries}
        return out | {f"d{s}[0]": found.edges[derived.leaving[edges[s]]] for s in self.cell.states}

    def mutated(self, graph: Graph) -> dict[str, Any]:
        """The same by a changed sweep."""
        return self.back(replace(self.second, graph=graph))

    def moved(self, graph: Graph) -> dict[str, Any]:
        """How the output and the last states move."""
        found, dots = self.sweep(self.derived, graph), self.derived.dots
        exits = {e.values[0]: e.name for e in graph.exits}
        y = np.stack([found.varying[dots[self.cell.output], t] for t in range(self.case.steps)])
        return {"y": y, **{f"last {s}": found.edges[exits[dots[s]]] for s in self.cell.states}}

    def agrees(self, found: dict[str, Any]) -> bool:
        wanted = {name: real(self.wanted.tensors()[name]) for name in found}
        return all(error(found[name], value, 1 + np.max(abs(value))) < NOISE for name, value in wanted.items())


def the_same(op: Op | None, mutant: Mutant) -> bool:
    """Whether a mutant is the step itself, multiplied out: u*(v*w) for v*(u*w)."""
    now = mutant.graph.producer()[mutant.out]
    return (
        isinstance(op, Pointwise)
        and isinstance(now, Pointwise)
        and op != now
        and (sympy.expand(op.body - now.body) == 0)
    )


def survivors(witness: Witness, graph: Graph, results: Any, skip: set[str]) -> list[str]:
    found, steps = [], graph.producer()
    made = [m for m in mutants(graph) if m.out not in skip and not the_same(steps.get(m.out), m)]
    assert len(made) > 40
    for mutant in made:
        try:
            mutant.graph.check()
            if witness.agrees(results(mutant.graph)):
                found.append(str(mutant))
        except (GraphError, KeyError, ValueError):
            continue
    return found


@pytest.mark.parametrize("name", CELLS)
def test_every_mutant_is_caught(name: str) -> None:
    witness = Witness(name)
    with mpmath.workdps(15), np.errstate(all="ignore"):
        assert witness.agrees(witness.moved(witness.derived.graph))
        assert witness.agrees(witness.back(witness.second))
        kept = {op.out for op in witness.derived.forward.steps}
        tangents = survivors(witness, witness.derived.graph, witness.moved, kept)
        assert tangents == [], tangents
        gradients = survivors(witness, witness.second.graph, witness.mutated, set())
        assert gradients == [], gradients
