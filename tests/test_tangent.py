"""The tangent of a graph, boundary and learned starts included, against differences and against the adjoint."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from feature_cells import AT_A_POLE, FEATURES
from graph_points import DIGITS, STEP, TOLERANCE, Point, Trial, entry_names

import symcell
from symcell.graph import Graph
from symcell.interpret import EXACT, Run
from symcell.lower import lower
from symcell.tangent import Tangent, second, tangent

NAMES = [name for name in (*symcell.names(), *FEATURES) if name not in AT_A_POLE]
SAMPLE = [pytest.param(n, marks=() if n in (*FEATURES, "lstm", "gru", "lmu") else pytest.mark.whole) for n in NAMES]


def graph_of(name: str) -> Graph:
    return lower(symcell.load(name) if name not in FEATURES else symcell.parse(FEATURES[name], name=name))


def sizes_of(graph: Graph) -> dict[str, int]:
    named = sorted({n for value in graph.values.values() for size in value.shape for n in size.names})
    return {name: 3 if name == "H" else 2 for name in named}


def direction(trial: Trial, derived: Tangent) -> Point:
    """A random direction at a trial's point: that of constant arrays is zero."""
    def like(name: str, value: Any) -> Any:
        return EXACT.array(trial.rng.normal(size=np.shape(value))) if name in derived.dots else value * 0

    point = trial.point
    return Point(
        {(n, t): like(n, v) for (n, t), v in point.given.items()},
        {n: like(n, v) for n, v in point.fixed.items()},
        {n: EXACT.array(trial.rng.normal(size=np.shape(v))) for n, v in point.boundary.items()},
    )


def along(point: Point, towards: Point, step: Any) -> Point:
    pairs = ((getattr(point, kind), getattr(towards, kind)) for kind in ("given", "fixed", "boundary"))
    return Point(*({k: v + step * slopes[k] for k, v in values.items()} for values, slopes in pairs))


def together(point: Point, towards: Point, derived: Tangent) -> Point:
    """A point of the tangent's graph: every value, and its tangent under that one's name."""
    dots, boundary = derived.dots, derived.boundary
    return Point(
        {**point.given, **{(dots[n], t): v for (n, t), v in towards.given.items() if n in dots}},
        {**point.fixed, **{dots[n]: v for n, v in towards.fixed.items() if n in dots}},
        {**point.boundary, **{boundary[n]: v for n, v in towards.boundary.items()}},
    )


def leaving(trial: Trial, found: Run, names: dict[str, str]) -> dict[Any, Any]:
    """The outputs and what leaves, by the names in the graph that was differentiated."""
    out: dict[Any, Any] = {}
    for name in trial.graph.outputs:
        fixed = trial.graph.values[name].fixed
        for t in range(1 if fixed else trial.steps):
            out[name, t] = found.fixed[names[name]] if fixed else found.varying[names[name], t]
    return out | {e.name: found.edges[names[e.name]] for e in trial.graph.exits}


def check(graph: Graph, *, steps: int = 2, unpassed: tuple[str, ...] = (), point: Point | None = None) -> None:
    """Everything that a graph gives, differentiated in a random direction, against a central difference."""
    derived = tangent(graph)
    trial = Trial(graph, sizes_of(graph), steps=steps, unpassed=unpassed)
    trial.point = point or trial.point
    towards = direction(trial, derived)
    with mpmath.workdps(DIGITS):
        step = mpmath.mpf(STEP)
        missing = (*unpassed, *(derived.boundary[name] for name in unpassed))
        both = Trial(derived.graph, sizes_of(graph), steps=steps, unpassed=missing)
        run = both.run(together(trial.point, towards, derived))
        same = {name: name for name in (*graph.outputs, *(e.name for e in graph.exits))}
        ahead, behind, here = (
            leaving(trial, trial.run(along(trial.point, towards, s * step)), same) for s in (1, -1, 0)
        )
        for key, value in leaving(trial, run, same).items():
            assert np.all(value == here[key]), key
        for key, got in leaving(trial, run, {**derived.dots, **derived.boundary}).items():
            wanted = (ahead[key] - behind[key]) / (2 * step)
            assert np.all(abs(got - wanted) <= TOLERANCE * (1 + abs(wanted))), (key, got, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_every_cell(name: str) -> None:
    check(graph_of(name))


@pytest.mark.parametrize("name", ["learned_start", "learned_lags", "matrix_start", "lstm"])
def test_a_learned_start_moves_where_it_is_used(name: str) -> None:
    graph = graph_of(name)
    check(graph, unpassed=entry_names(graph.entries))


@pytest.mark.parametrize("name", ["lstm", "learned_lags", "layernorm_lstm", "normalised", "matrix_memory"])
def test_the_tangent_of_an_adjoint(name: str) -> None:
    """A direction goes through totals, outer products and sums at the edge, too."""
    graph = graph_of(name)
    trial = Trial(graph, sizes_of(graph), steps=2)
    twice = trial.twice()
    check(twice.graph, point=twice.point)


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_sequences_shorter_than_a_state_is_deep(steps: int) -> None:
    check(graph_of("learned_lags"), steps=steps)


def second_trial(name: str, *, passed: bool = True, steps: int = 2) -> Trial:
    """The tangent of a cell at a random point, differentiated as a loss in what has a dot."""
    derived = tangent(graph_of(name))
    unpassed = () if passed else entry_names(derived.graph.entries)
    trial = Trial(derived.graph, sizes_of(derived.graph), steps=steps, unpassed=unpassed)
    trial.derived = second(derived)
    trial.weights = {n: w for n, w in trial.weights.items() if n in trial.derived.seeds}
    trial.leaving = {n: w for n, w in trial.leaving.items() if n in trial.derived.entering}
    trial.check({*derived.forward.given, *derived.forward.fixed, *entry_names(derived.forward.entries)})
    return trial


@pytest.mark.parametrize("name", SAMPLE)
def test_second_derivatives_of_every_cell(name: str) -> None:
    trial = second_trial(name)
    wanted = {n for n, v in trial.graph.values.items() if v.fixed} & trial.derived.gradients.keys()
    assert not any(n.endswith("_dot") for n in wanted), "a gradient by a direction, which nothing asks for"


@pytest.mark.parametrize("name", ["learned_start", "learned_lags", "matrix_start", "lstm"])
def test_second_derivatives_by_a_learned_start(name: str) -> None:
    second_trial(name, passed=False)


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_second_derivatives_of_short_sequences(steps: int) -> None:
    second_trial("learned_lags", steps=steps)
