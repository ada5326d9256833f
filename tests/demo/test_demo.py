"""The demo's parts, each for a moment: ``make demo`` itself is the test of the whole."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from symcell.language import load
from symcell.pipeline import source

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the demo is no part of the package
adding, backend, digits, model, optimizer, table, train = (
    importlib.import_module(f"examples.demo.{name}")
    for name in ("adding", "backend", "digits", "model", "optimizer", "table", "train")
)
sys.path.remove(str(ROOT))

NUMPY = backend.Backend("numpy", np, "CPU")
CELLS = ("rnn", "gru", "lstm")


@pytest.fixture(scope="module", params=CELLS)
def emitted(request, tmp_path_factory):
    """The emitted module of a cell, imported from a file as the demo does."""
    file = tmp_path_factory.mktemp("generated") / f"{request.param}_numpy.py"
    file.write_text(source(load(request.param), "numpy"), "utf-8")
    return backend.load(file)


def small_task(**changes):
    held_out = adding.sequences(np.random.default_rng(4), 20, steps=10)
    return replace(adding.task(), hidden=16, watch=held_out, test=held_out, **changes)


def test_adding_data():
    x, target = adding.sequences(np.random.default_rng(0), 500)
    assert (x.shape, x.dtype, target.shape, target.dtype) == ((100, 500, 2), np.float32, (500,), np.float32)
    number, marker = x[:, :, 0], x[:, :, 1]
    assert set(np.unique(marker)) == {0, 1}
    assert (marker[:50].sum(axis=0) == 1).all()
    assert (marker[50:].sum(axis=0) == 1).all()
    np.testing.assert_array_equal((number * marker).sum(axis=0), target)
    assert np.mean((target - 1) ** 2) == pytest.approx(adding.BASELINE, rel=0.15)


def test_digits_data():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    task = digits.task()
    x, y = task.test
    assert (x.shape, x.dtype, y.shape) == ((8, digits.HELD_OUT, 8), np.float32, (digits.HELD_OUT,))
    assert x.min() == 0
    assert x.max() == 1
    assert np.bincount(y).min() > 30  # ten classes in proportion
    batches = task.batches(np.random.default_rng(0))
    first, second = next(batches), next(batches)
    assert first[0].shape == (8, digits.BATCH, 8)
    assert not np.array_equal(first[0], second[0])


def test_adam_is_its_formula():
    value, grads = np.array([1.0, -2.0]), [np.array([0.5, 3.0]), np.array([-1.0, 0.0])]
    expected, mean, square = value.copy(), np.zeros(2), np.zeros(2)
    adam = optimizer.Adam(np, [value])
    for n, grad in enumerate(grads, 1):
        adam.step([grad], 0.1)
        mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad**2
        expected -= 0.1 * (mean / (1 - 0.9**n)) / (np.sqrt(square / (1 - 0.999**n)) + 1e-8)
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_clipping():
    grads = [np.array([3.0], "float32"), np.array([[4.0]], "float32")]
    scaled = optimizer.clip(np, grads, 1.0)
    np.testing.assert_allclose([g.item() for g in scaled], [0.6, 0.8], rtol=1e-6)
    assert scaled[0].dtype == np.float32
    np.testing.assert_array_equal(optimizer.clip(np, grads, 10.0)[0], grads[0])


def test_schedule():
    assert [optimizer.schedule(n, 100, 0.5) for n in (0, 50, 75, 100)] == [0.5, 0.5, 0.25, 0.0]


@pytest.mark.parametrize("loss", [model.cross_entropy, model.squared_error])
def test_loss_gradient(loss):
    rng = np.random.default_rng(0)
    classes = 4 if loss is model.cross_entropy else 1
    target = rng.integers(0, 4, 5) if loss is model.cross_entropy else rng.normal(size=5)
    scores, way = rng.normal(size=(2, 5, classes))
    slope = (loss(np, scores + 1e-6 * way, target)[0] - loss(np, scores - 1e-6 * way, target)[0]) / 2e-6
    assert (loss(np, scores, target)[1] * way).sum() == pytest.approx(slope, rel=1e-6)


def test_gradients_of_the_model(emitted):
    """Cell and readout together, along a random direction, against the slope of the loss."""
    task = replace(adding.task(), hidden=5)
    x, target = adding.sequences(np.random.default_rng(1), 4, steps=12)
    made = model.Model(emitted, np, 2, 5, 1, task.span, 0)
    rng = np.random.default_rng(2)
    _, gradients = made.gradients(x, target, task.loss)
    ways = [rng.normal(size=b.shape).astype("float32") for b in made.buffers]
    losses = []
    for sign in (1, -1):
        for buffer, way in zip(made.buffers, ways, strict=True):
            buffer += np.float32(sign * 2e-3) * way
        losses.append(task.loss(np, made.scores(x), target)[0])
        for buffer, way in zip(made.buffers, ways, strict=True):
            buffer -= np.float32(sign * 2e-3) * way
    slope = sum((g * w).sum() for g, w in zip(gradients, ways, strict=True))
    assert slope == pytest.approx((losses[0] - losses[1]) / 4e-3, rel=0.02, abs=1e-3)


def test_a_few_updates_lower_the_loss(emitted):
    fixed = adding.sequences(np.random.default_rng(3), 50, steps=10)
    task = small_task(updates=40, every=20, batches=lambda rng: iter(lambda: fixed, None))
    told = []
    run = train.train(emitted.__name__, emitted, task, NUMPY, 0, lambda update, score: told.append(update))
    assert told == [20, 40]
    assert [update for update, _ in run.curve] == [0, 20, 40]
    assert run.losses[-1] < 0.7 * run.losses[0]
    again = train.train(emitted.__name__, emitted, task, NUMPY, 0, lambda update, score: None)
    assert again.losses == run.losses


def test_training_ends_when_the_task_is_solved(emitted):
    task = small_task(updates=4, every=2, enough=lambda score: True)
    assert train.train("x", emitted, task, NUMPY, 0, lambda update, score: None).updates == 2


def test_stash_counts_what_the_tape_grows_by(emitted):
    name = emitted.__name__.partition("_")[0]
    assert train.stash(emitted, 8, 64, NUMPY) == 4 * 64 * {"rnn": 1, "gru": 5, "lstm": 6}[name]


def test_chrono_biases_only_where_there_is_a_gate(emitted):
    params, untouched = (emitted.init_params(D=2, H=50, seed=0) for _ in range(2))
    model.remember(params, 100, np.random.default_rng(0), np)
    changed = {name for name in params if not np.array_equal(params[name], untouched[name])}
    assert changed == {"rnn": set(), "gru": {"b_z"}, "lstm": {"b_f", "b_i"}}[emitted.__name__.partition("_")[0]]
    for name in changed - {"b_i"}:
        assert params[name].min() >= 0
        assert params[name].max() <= np.log(99)


def test_claims():
    def run(cell, task, score):
        return train.Run(cell, task, 64, 100, score, 1, 1.0, [], [])

    good = [run(c, "digits", 0.97) for c in CELLS] + [run("rnn", "adding", 0.167)]
    good += [run(c, "adding", 0.001) for c in ("gru", "lstm")]
    assert all(claim.holds for claim in table.claims(good))
    for index, score in ((1, 0.9499), (2, float("nan")), (3, 0.09), (4, 0.011), (5, float("nan"))):
        bad = [replace(r, score=score) if n == index else r for n, r in enumerate(good)]
        assert [claim.holds for claim in table.claims(bad)].count(False) == 1
