"""The displayed recursion, run as it stands, gives the gradients of the adjoint graph and of finite differences."""

import mpmath
import numpy as np
import pytest
from derivation_cells import TEXTS
from derivation_numeric import Sequence

from symcell.adjoint import adjoint
from symcell.derivation import derive, nodes as nd
from symcell.interpret import EXACT, run
from symcell.language import load, names, parse
from symcell.lower import lower
from symcell.symbolic.nodes import written

STEPS, BATCH = 3, 2
CELLS = {**{n: lambda n=n: load(n) for n in names()}, **{n: lambda n=n: parse(TEXTS[n], name=n) for n in TEXTS}}
SHORT = [n for n in CELLS if n not in ("peephole_lstm", "cifg_lstm", "projected_lstm", "ugrnn", "gru", "rnn", "mgu")]


def _random(rng, *shape):
    return EXACT.array(rng.uniform(-1, 1, shape))


def _dims(graph, name, sizes):
    return tuple(s.value(sizes) for s in graph.shape(name))


def _case(cell):
    """A cell's graph with random values: ``boundary`` by entry name, and by value and step for the formulas."""
    graph = lower(cell)
    rng = np.random.default_rng(1)
    sizes = {name: k + 2 for k, name in enumerate(cell.sizes)}
    fixed = {n: _random(rng, *_dims(graph, n, sizes)) for n in graph.fixed}
    given = {(n, t): _random(rng, BATCH, *_dims(graph, n, sizes)) for n in graph.given for t in range(STEPS)}
    boundary = {e.name: _random(rng, e.depth, BATCH, *_dims(graph, e.value, sizes)) for e in graph.entries}
    before = {(e.value, k - e.depth): boundary[e.name][k] for e in graph.entries for k in range(e.depth)}
    return graph, sizes, fixed, given, boundary, before, rng


def _zeros(graph, sizes):
    varying = (n for n, v in graph.values.items() if not v.fixed)
    return {n: EXACT.array(np.zeros((BATCH, *_dims(graph, n, sizes)))) for n in varying}


def _close(a, b):
    return np.max(np.abs(np.asarray(a - b, dtype=object)), initial=0) < 1e-10


@pytest.mark.parametrize("name", SHORT)
def test_the_displayed_recursion_is_the_adjoint_graph(name):
    cell = CELLS[name]()
    graph, sizes, fixed, given, boundary, before, rng = _case(cell)
    forward = run(graph, given, fixed, boundary, steps=STEPS, batch=BATCH, sizes=sizes)
    back = adjoint(graph)
    output = cell.output
    seeds = {(output, t): _random(rng, BATCH, *_dims(graph, output, sizes)) for t in range(STEPS)}
    held = {**before, **forward.varying}
    held |= {(back.seeds[output], t): value for (_, t), value in seeds.items()}
    reverse = run(back.graph, held, {**forward.fixed, **fixed}, {}, steps=STEPS, batch=BATCH, sizes=sizes)

    zeros = _zeros(graph, sizes)
    shown = Sequence(forward, STEPS, sizes, seeds, before, zeros)
    derivation = derive(cell)
    recursion = [f for g in derivation.section("recursion").groups[:2] for f in g.formulas if f.condition is None]
    for t in reversed(range(STEPS)):
        for formula in recursion:
            value, shape = shown.value(formula.right, t), zeros[formula.left.value].shape
            value = value.reshape(value.shape[: len(shape)] + (1,) * (len(shape) - value.ndim))
            shown.deltas[formula.left.value, t] = np.broadcast_to(value, shape)
    compared = 0
    starts = set(cell.initial.values())
    for formula in derivation.section("parameters").formulas:
        if formula.right == 0 or formula.right.has(nd.InitialTotal):
            continue
        shown.gradients[formula.left] = shown.value(formula.right, None)[0]
        if isinstance(formula.left, nd.Gradient) and formula.left.value in back.gradients:
            truth = reverse.fixed[back.gradients[formula.left.value]]
            assert _close(shown.gradients[formula.left], truth), formula.left
            compared += 1
    assert compared == sum(n in back.gradients for n in graph.fixed if n not in starts)


@pytest.mark.parametrize("name", ["joined", "scalars"])
def test_the_gradient_of_a_learned_initial_state(name):
    cell = CELLS[name]()
    graph, sizes, fixed, given, _, _, rng = _case(cell)
    seeds = {(cell.output, t): _random(rng, BATCH, *_dims(graph, "h", sizes)) for t in range(STEPS)}

    def sweep(start):
        return run(graph, given, {**fixed, "h_0": start}, {}, steps=STEPS, batch=BATCH, sizes=sizes)

    def loss(start):
        return sum((sweep(start).varying[key] * seed).sum() for key, seed in seeds.items())

    start = fixed["h_0"]
    state = {("h", -1): np.broadcast_to(start, (BATCH, len(start)))}
    shown = Sequence(sweep(start), STEPS, sizes, seeds, state, _zeros(graph, sizes))
    section = derive(cell).section("recursion")
    recursion = [f for f in section.formulas if f.condition is None]
    for t in reversed(range(STEPS)):
        for formula in recursion:
            shown.deltas[formula.left.value, t] = shown.value(formula.right, t)
    before = next(f for f in section.formulas if f.condition and f.condition.end == "first" and f.left.value == "h")
    gradient = shown.value(before.right, -1).sum(axis=0)
    step = mpmath.mpf("1e-5")
    for k in range(len(start)):
        moved = np.array([s + step * (j == k) for j, s in enumerate(start)]), np.array(
            [s - step * (j == k) for j, s in enumerate(start)])  # fmt: skip
        assert abs((loss(moved[0]) - loss(moved[1])) / (2 * step) - gradient[k]) < 1e-8


def test_a_formula_keeps_its_expression():
    formula = next(f for f in derive(load("lstm")).formulas() if f.left == nd.Delta("c"))
    assert written(formula.right).atoms(nd.Delta) == {nd.Delta("h"), nd.Delta("c", -1)}
