"""Zoneout and recurrent dropout of any cell: what is kept, what masks do, and that the result is a cell like others."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from feature_cells import FEATURES
from numpy.testing import assert_allclose, assert_array_equal

import symcell
from symcell.cell import Cell
from symcell.transforms import Mask, Transformed, with_recurrent_dropout, with_zoneout
from symcell.verify import pytorch

STEPS, BATCH = 5, 3
SAMPLE = ("lstm", "gru", "narx", "lmu", "mlstm", "nas")
"""Both transforms, lags, constant arrays, matrices and states of one unit."""
KEPT = ("states", "parameters", "initial", "constants", "arrays")

shipped = pytest.mark.parametrize("name", [n if n in SAMPLE else pytest.param(n, marks=pytest.mark.whole)
                                           for n in symcell.names()])  # fmt: skip


def small(text: str) -> Cell:
    return symcell.parse("\n".join(line.strip() for line in text.strip().splitlines()), name="small")


def every_cell() -> dict[str, Cell]:
    featured = {name: symcell.parse(text, name=name) for name, text in FEATURES.items()}
    return featured | {name: symcell.load(name) for name in symcell.names()}


def both(cell: Cell | str) -> Transformed:
    """With recurrent dropout, where a matrix multiplies a state, and zoneout."""
    try:
        return with_zoneout(with_recurrent_dropout(cell))
    except symcell.CellError:
        return with_zoneout(cell)


@functools.cache
def compiled(cell: Cell) -> types.ModuleType:
    return symcell.compile(cell)


class Run:
    """Random numbers for a cell, which run it and its transforms."""

    def __init__(self, cell: Cell) -> None:
        self.sizes = {size: 3 + k for k, size in enumerate(cell.sizes)}
        draw = np.random.default_rng(1).standard_normal
        self.arrays = {name: 0.3 * draw(self.shape(shape)) for name, shape in cell.arrays.items()}
        module = compiled(cell)
        self.params = module.init_params(dtype="float64", **self.sizes, **self.arrays)
        self.params.flat[...] = 0.5 * draw(self.params.flat.shape)
        self.x = {name: draw((STEPS, BATCH, *self.shape(shape))) for name, shape in cell.inputs.items()}
        self.state = {
            name: 0.5 * draw((*([lags] if lags > 1 else []), BATCH, *self.shape(cell.shape_of(name))))
            for name, lags in cell.states.items()
        }
        self.dy = draw((STEPS, BATCH, *self.shape(cell.shape_of(cell.output))))

    def shape(self, shape: Any) -> tuple[int, ...]:
        return tuple(size.value(self.sizes) for size in shape)

    def mask(self, found: Transformed, mask: Mask, value: float) -> Any:
        return np.full((STEPS, BATCH, *self.shape(found.cell.inputs[mask.name])), value)

    def __call__(self, cell: Cell, masks: Mapping[str, Any]) -> dict[str, Any]:
        """Results by name: y, last states, gradients by parameters and states, and by the inputs."""
        module = compiled(cell)
        params = module.init_params(dtype="float64", **self.sizes, **self.arrays)
        params.flat[...] = self.params.flat
        y, last, tape = module.forward(params, {**self.x, **masks}, self.state)
        grads = module.backward(params, tape, self.dy)
        dx = grads.x if isinstance(grads.x, dict) else dict.fromkeys(cell.inputs, grads.x)
        return {
            "y": y,
            "params": grads.params.flat,
            **{f"last {name}": value for name, value in last.items()},
            **{f"d{name}[0]": value for name, value in grads.state.items()},
            **{f"d{name}": dx[name] for name in self.x},
        }


def near(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert_allclose(found[name], value, rtol=1e-9, atol=1e-11 * max(1, np.abs(value).max()), err_msg=name)


# the cell


def test_all_but_the_masks_is_kept() -> None:
    """Parameters by name, shape, start and order, so that weights move between the cells as one flat array."""
    tried = 0
    for name, cell in every_cell().items():
        if not set(cell.states) & set(cell.signals):
            continue
        found = both(cell)
        for what in KEPT:
            assert list(getattr(found.cell, what).items()) == list(getattr(cell, what).items()), (name, what)
        assert (found.cell.title, found.cell.description) == (cell.title, cell.description)
        assert found.cell.output == cell.output
        assert found.cell.labels.items() >= cell.labels.items()
        masks = {mask.name: found.cell.shape_of(mask.state) for mask in found.masks}
        assert dict(found.cell.inputs) == {**cell.inputs, **masks}
        assert symcell.parse(found.cell.text, name=found.cell.name) == found.cell
        tried += 1
    assert tried > 70


def test_the_equations() -> None:
    """What leads to a state reads its proposal, what only reads out reads what is kept; x[t-1] is no state to keep."""
    cell = small("""
        y: K
        h[t] = tanh(W @ x[t] + U @ h[t-1] + V @ (c[t-1] * x[t-1]) + u * c[t-1])   # hidden state
        c[t] = 0.5 * c[t-1] + g[t]
        g[t] = h[t] * h[t-1]
        y[t] = R @ r[t]
        r[t] = h[t] + c[t]
        x: H
    """)
    zoned = with_zoneout(cell)
    assert [f"{eq.lhs} = {eq.rhs}" for eq in zoned.cell.equations] == [
        "h_new[t] = tanh(W @ x[t] + U @ h[t-1] + V @ (c[t-1]*x[t-1]) + u*c[t-1])",
        "c_new[t] = 0.5*c[t-1] + g[t]",
        "g[t] = h_new[t]*h[t-1]",
        "y[t] = R @ r[t]",
        "r[t] = h[t] + c[t]",
        "h[t] = zone_h[t]*h[t-1] + (1 - zone_h[t])*h_new[t]",
        "c[t] = zone_c[t]*c[t-1] + (1 - zone_c[t])*c_new[t]",
    ]
    assert zoned.masks == (Mask("zone_h", "h", "zoneout"), Mask("zone_c", "c", "zoneout"))
    assert zoned.cell.labels == {"h_new": "proposed hidden state", "h": "hidden state"}
    dropped = with_recurrent_dropout(cell)
    assert [str(eq.rhs) for eq in dropped.cell.equations] == [
        "tanh(W @ x[t] + U @ (drop_h[t]*h[t-1]) + V @ (drop_c[t]*c[t-1]*x[t-1]) + u*c[t-1])",
        *(str(eq.rhs) for eq in cell.equations[1:]),
    ]
    assert [mask.kind for mask in dropped.masks] == ["recurrent dropout"] * 2


def test_some_states() -> None:
    cell = with_zoneout("lstm", ["c"])
    assert [mask.name for mask in cell.masks] == ["zone_c"]
    assert str(cell.cell.equation("h").rhs) == "o[t]*tanh(c_new[t])"
    assert [mask.state for mask in with_recurrent_dropout("lmu", "h").masks] == ["h"]


def test_one_after_the_other() -> None:
    """In either order: the same equations and masks."""
    one, other = with_zoneout(with_recurrent_dropout("gru")), with_recurrent_dropout(with_zoneout("gru"))
    assert set(one.cell.equations) == set(other.cell.equations)
    assert set(one.masks) == set(other.masks)
    assert len(one.masks) == 2


def test_names_that_are_taken() -> None:
    cell = small("h_new[t] = tanh(W @ x[t] + zone_h * h[t-1])\nh[t] = h_new[t] + U @ h[t-2] + drop_h")
    found = with_zoneout(with_recurrent_dropout(cell))
    assert [mask.name for mask in found.masks] == ["drop_h_2", "zone_h_2"]
    assert str(found.cell.equation("h").rhs) == "zone_h_2[t]*h[t-1] + (1 - zone_h_2[t])*h_new_2[t]"
    assert list(found.cell.parameters) == ["W", "zone_h", "U", "drop_h"]


@pytest.mark.parametrize(
    ("transform", "cell", "states", "message"),
    [
        (with_zoneout, small(FEATURES["feed_forward"]), None, "zoneout makes no sense for small: no equation reads"),
        (with_recurrent_dropout, "indrnn", None, "recurrent dropout makes no sense for indrnn: no matrix multiplies"),
        (with_recurrent_dropout, "qrnn", None, "recurrent dropout makes no sense for qrnn"),
        (with_zoneout, "lstm", ["c", "x"], "states: expected some of h, c for zoneout of lstm, got 'x'"),
        (with_recurrent_dropout, "lstm", "c", "states: expected some of h for recurrent dropout of lstm, got 'c'"),
        (with_zoneout, "lstm", (), "states: expected some of h, c for zoneout of lstm, got none"),
    ],
)
def test_refused(transform: Any, cell: Any, states: Any, message: str) -> None:
    with pytest.raises(symcell.CellError, match=message):
        transform(cell, states)


# numbers


@shipped
def test_masks_that_do_nothing(name: str) -> None:
    """Nothing zoned, nothing dropped: the cell as it was, gradients too."""
    cell = symcell.load(name)
    run, found = Run(cell), both(cell)
    masks = {m.name: run.mask(found, m, 0.0 if m.kind == "zoneout" else 1.0) for m in found.masks}
    near(run(found.cell, masks), run(cell, {}))


@shipped
def test_where_all_is_zoned_states_stay(name: str) -> None:
    """The bits of every state: with lags, those of the latest step have moved through all of them."""
    cell = symcell.load(name)
    run, found = Run(cell), with_zoneout(cell)
    results = run(found.cell, {m.name: run.mask(found, m, 1.0) for m in found.masks})
    for mask in found.masks:
        state = run.state[mask.state]
        wanted = np.broadcast_to(state[-1], state.shape) if cell.states[mask.state] > 1 else state
        assert_array_equal(results[f"last {mask.state}"], wanted)


def test_zoneout_is_that_of_the_paper() -> None:
    """Krueger et al. (2017) write h of an LSTM with the proposed c; the shipped cell is their text."""
    run, found, written = Run(symcell.load("lstm")), with_zoneout("lstm"), symcell.load("zoneout_lstm")
    keep = {s: np.random.default_rng(2).random(run.dy.shape) < 0.3 for s in ("h", "c")}
    wanted = run(written, {f"z_{s}": keep[s].astype(float) for s in keep})
    near(run(found.cell, {m.name: keep[m.state].astype(float) for m in found.masks}), wanted)


def test_equals_a_loop_in_pytorch() -> None:
    torch = pytest.importorskip("torch", reason=pytorch.missing() or "")
    run, found = Run(symcell.load("lstm")), both("lstm")
    draw = np.random.default_rng(3).random
    drop = np.broadcast_to((draw(run.dy.shape[1:]) < 0.5) * 2.0, run.dy.shape)
    masks = {"drop_h": drop, "zone_h": (draw(run.dy.shape) < 0.3) * 1.0, "zone_c": draw(run.dy.shape)}
    assert set(masks) == {mask.name for mask in found.masks}
    p = {name: torch.tensor(value, requires_grad=True) for name, value in run.params.items()}
    x = torch.tensor(run.x["x"], requires_grad=True)
    start = {name: torch.tensor(value, requires_grad=True) for name, value in run.state.items()}
    drop, zone_h, zone_c = (torch.tensor(masks[name]) for name in ("drop_h", "zone_h", "zone_c"))
    h, c, outputs = start["h"], start["c"], []
    for t in range(STEPS):
        i, f, g, o = (x[t] @ p[f"W_{k}"].T + (drop[t] * h) @ p[f"U_{k}"].T + p[f"b_{k}"] for k in "ifgo")
        d = f.sigmoid() * c + i.sigmoid() * g.tanh()
        c = zone_c[t] * c + (1 - zone_c[t]) * d
        h = zone_h[t] * h + (1 - zone_h[t]) * o.sigmoid() * d.tanh()
        outputs.append(h)
    y = torch.stack(outputs)
    (y * torch.tensor(run.dy)).sum().backward()
    wanted = {"y": y, "last h": h, "last c": c, "dx": x.grad, "dh[0]": start["h"].grad, "dc[0]": start["c"].grad}
    wanted["params"] = torch.cat([p[name].grad.reshape(-1) for name in run.params])
    near(run(found.cell, masks), {name: value.detach().numpy() for name, value in wanted.items()})


@pytest.mark.parametrize("name", [n if n == "rnn" else pytest.param(n, marks=pytest.mark.whole)
                                  for n in symcell.names()])  # fmt: skip
def test_all_witnesses(name: str) -> None:
    report = symcell.verify(both(name).cell)
    assert report.ok, str(report)
