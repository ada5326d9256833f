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


def _case(cell):
    graph = lower(cell)
    rng = np.random.default_rng(1)
    sizes = {name: k + 2 for k, name in enumerate(cell.sizes)}
    fixed = {n: _random(rng, *(s.value(sizes) for s in graph.values[n].shape)) for n in graph.fixed}
    given = {(n, t): _random(rng, BATCH, graph.size(n).value(sizes)) for n in graph.given for t in range(STEPS)}
    boundary = {(n, -k): _random(rng, BATCH, cell.size_of(n).value(sizes))
                for n, depth in cell.states.items() for k in range(1, depth + 1)}
    given |= {key: value for key, value in boundary.items() if key[0] in graph.given}
    return graph, sizes, fixed, given, boundary, rng


def _close(a, b):
    return np.max(np.abs(np.asarray(a - b, dtype=object)), initial=0) < 1e-10


@pytest.mark.parametrize("name", SHORT)
def test_the_displayed_recursion_is_the_adjoint_graph(name):
    cell = CELLS[name]()
    graph, sizes, fixed, given, boundary, rng = _case(cell)
    forward = run(graph, given, fixed, boundary, steps=STEPS, batch=BATCH, sizes=sizes)
    back = adjoint(graph)
    output = cell.output
    seeds = {(output, t): _random(rng, BATCH, graph.size(output).value(sizes)) for t in range(STEPS)}
    held = {**boundary, **forward.varying}
    held |= {(back.seeds[output], t): value for (_, t), value in seeds.items()}
    reverse = run(back.graph, held, {**forward.fixed, **fixed}, {}, steps=STEPS, batch=BATCH, sizes=sizes)

    zeros = {n: EXACT.array(np.zeros((BATCH, graph.size(n).value(sizes))))
             for n, v in graph.values.items() if len(v.shape) == 1}
    shown = Sequence(forward, STEPS, sizes, seeds, boundary, zeros)
    derivation = derive(cell)
    recursion = [f for g in derivation.section("recursion").groups[:2] for f in g.formulas if f.condition is None]
    for t in reversed(range(STEPS)):
        for formula in recursion:
            value = shown.value(formula.right, t)
            shown.deltas[formula.left.value, t] = np.broadcast_to(value, zeros[formula.left.value].shape)
    compared = 0
    for formula in derivation.section("parameters").formulas:
        if formula.right == 0 or formula.right.has(nd.InitialTotal):
            continue
        shown.gradients[formula.left] = shown.value(formula.right, None)
        if isinstance(formula.left, nd.Gradient) and formula.left.value in back.gradients:
            truth = reverse.fixed[back.gradients[formula.left.value]]
            assert _close(shown.gradients[formula.left], truth), formula.left
            compared += 1
    assert compared == sum(n in back.gradients for n in graph.fixed)


@pytest.mark.parametrize("name", ["joined", "scalars"])
def test_the_gradient_of_a_learned_initial_state(name):
    cell = CELLS[name]()
    graph, sizes, fixed, given, _, rng = _case(cell)
    seeds = {(cell.output, t): _random(rng, BATCH, graph.size("h").value(sizes)) for t in range(STEPS)}

    def sweep(start):
        state = {("h", -1): np.broadcast_to(start.reshape(1, -1), (BATCH, len(start)))}
        return run(graph, given, fixed, state, steps=STEPS, batch=BATCH, sizes=sizes), state

    def loss(start):
        return sum((sweep(start)[0].varying[key] * seed).sum() for key, seed in seeds.items())

    start = _random(rng, graph.size("h").value(sizes))
    forward, state = sweep(start)
    zeros = {n: EXACT.array(np.zeros((BATCH, graph.size(n).value(sizes))))
             for n, v in graph.values.items() if len(v.shape) == 1}
    shown = Sequence(forward, STEPS, sizes, seeds, state, zeros)
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
