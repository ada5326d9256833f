"""What a study finds is what theory says, and its results can be read by people and programs."""

from __future__ import annotations

import csv
import io
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

import symcell
from symcell.flow import Report, flow, plots
from symcell.flow.model import CellFlow, Sweep


@pytest.fixture(scope="module")
def report() -> Report:
    return flow(["rnn", "gru", "lstm"], steps=60, batch=2, sizes={"D": 12, "H": 24}, train="adding", updates=30)


def cell_of(report: Report, name: str) -> CellFlow:
    return next(c for c in report.cells if c.name == name)


def sweep_of(report: Report, name: str, kind: str) -> Sweep:
    return next(s for s in cell_of(report, name).sweeps if s.kind == kind)


def test_a_plain_network_is_geometric_at_a_rate_near_the_spectral_radius(report: Report) -> None:
    (claim,) = cell_of(report, "rnn").stages[0].claims
    assert claim.kind == "geometric"
    assert claim.measured == pytest.approx(claim.rate, rel=0.06)
    settings = sweep_of(report, "rnn", "gain").settings
    assert settings[0].rate < 0.3 < 1 < settings[-1].rate
    for setting in settings:
        assert setting.rate == pytest.approx(setting.predicted, rel=0.12)


@pytest.mark.parametrize(("name", "state", "gate"), [("lstm", "c", "f[t]"), ("gru", "h", "z[t]")])
def test_a_gated_state_decays_as_the_product_of_its_gate(report: Report, name: str, state: str, gate: str) -> None:
    (claim,) = cell_of(report, name).stages[0].claims
    assert (claim.state, claim.kind, claim.diagonal) == (state, "gated", gate)
    stated = next(f for f in symcell.derive(name).formulas() if f.number == claim.number)
    assert str(stated.left.args[0]) == f"{state}[t]"
    assert claim.formula.startswith(f"∂{state}[t]/∂{state}[t-1] = diag({gate})")
    settings = sweep_of(report, name, "bias").settings
    rates = [s.rate for s in settings]
    assert rates[:6] == sorted(rates[:6])
    assert settings[-1].rate == pytest.approx(settings[-1].predicted, abs=0.05)
    assert settings[-1].memory is None
    flat = np.array(settings[-1].norms)
    assert 0.1 < flat[-1] / flat[0] < 10
    assert settings[2].norms[-1] < 1e-8 * settings[2].norms[0]


def test_a_gru_has_three_quarters_of_an_lstm(report: Report) -> None:
    gru, lstm = (cell_of(report, name).cost for name in ("gru", "lstm"))
    assert gru.parameters / lstm.parameters == pytest.approx(0.75, abs=0.01)
    assert (gru.formula, lstm.formula) == ("3 D H + 3 H² + 4 H", "4 D H + 4 H² + 4 H")
    assert gru.bytes > 0
    assert gru.seconds > 0


def test_training_lowers_the_loss_and_is_the_same_each_time(report: Report) -> None:
    again = flow("gru", steps=60, batch=2, sizes={"D": 12, "H": 24}, train="adding", updates=30, sweeps=False)
    first, second = (cell_of(r, "gru").stages[1] for r in (report, again))
    assert first.loss == second.loss
    assert first.whole == second.whole
    assert first.loss is not None
    assert first.loss[1] < first.loss[0]
    assert first.name == "trained on adding"


def test_the_copying_task_is_learnt_from_its_gradient() -> None:
    (cell,) = flow("gru", steps=5, sizes={"D": 9, "H": 16}, train="copy", updates=60, sweeps=False).cells
    loss = cell.stages[1].loss
    assert loss is not None
    assert loss[1] < loss[0]


def test_text_of_eighty_columns(report: Report) -> None:
    text = str(report)
    assert max(map(len, text.splitlines())) <= 80
    for said in ("∂c[t]/∂c[t-1] = diag(f[t])", "product of f[t]", "radius or spread", "lstm: added to b_f"):
        assert said in text


def test_numbers_for_programs(report: Report) -> None:
    read = json.loads(report.json())
    assert [c["name"] for c in read["cells"]] == ["rnn", "gru", "lstm"]
    rows = list(csv.DictReader(io.StringIO(report.csv())))
    norms = [float(r["value"]) for r in rows if (r["cell"], r["stage"], r["measure"], r["name"]) ==
             ("lstm", "at initialisation", "gradient", "c")]  # fmt: skip
    assert norms == list(cell_of(report, "lstm").stages[0].states["c"].middle)


@pytest.mark.whole
def test_pictures_are_the_same_each_time(report: Report) -> None:
    pytest.importorskip("matplotlib")
    report = replace(report, cells=report.cells[:2])
    first, again = dict(plots.pictures(report)), dict(itertools.islice(plots.pictures(report), 2))
    assert again == {name: first[name] for name in ("overview.png", "overview.svg")}
    assert set(first) == {f"{n}.{k}" for n in plots.PICTURES for k in ("png", "svg")}
    assert all(data.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml") for name, data in first.items())


SAMPLE = ("deltanet", "gla", "narx", "slstm", "zoneout_lstm")
CELLS = [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.whole) for n in symcell.names()
         if not symcell.load(n).arrays]  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_every_make_of_cell(name: str) -> None:
    report = flow(name, steps=4, sizes=dict.fromkeys(symcell.load(name).sizes, 4), batch=1)
    assert max(map(len, str(report).splitlines())) <= 80
    json.loads(report.json())


@pytest.mark.parametrize(("arguments", "said"), [
    ({"cells": []}, "expected one at least"),
    ({"cells": "gru", "steps": 1}, "steps: expected an integer of at least 2, got 1"),
    ({"cells": "gru", "batch": 0}, "batch: expected an integer of at least 1, got 0"),
    ({"cells": "gru", "train": "x"}, "train: expected adding or copy, got 'x'"),
    ({"cells": "gru", "sizes": {"Q": 3}}, "no size Q: there are D, H"),
    ({"cells": ["gru", "gru"]}, "gru is there twice"),
    ({"cells": "lmu"}, "constant arrays A, B"),
    ({"cells": "zoneout_lstm", "train": "adding", "sizes": {"H": 4}}, "one input that is a vector"),
    ({"cells": "gru", "params": {"lstm": {}}}, "got those of lstm"),
    ({"cells": "rnn", "params": {"rnn": {"W": np.ones((3, 2))}}}, "do not fit"),
    ({"cells": "rnn", "sizes": {"H": 4}, "params": {"rnn": {"W": np.ones((3, 2)), "U": np.ones((3, 3)),
                                                            "b": np.ones(3)}}}, "H=4: the parameters are of H=3"),
])  # fmt: skip
def test_what_makes_no_sense(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        flow(**arguments)  # type: ignore[arg-type]


def test_constant_arrays_come_with_the_parameters() -> None:
    rng = np.random.default_rng(0)
    shapes = {"W_x": (4, 2), "e_x": (1, 2), "W_h": (4, 4), "e_h": (1, 4), "e_m": (1, 3), "W_m": (4, 3)}
    held = {name: rng.normal(size=shape) for name, shape in (shapes | {"A": (3, 3), "B": (3,)}).items()}
    (cell,) = flow("lmu", steps=6, params={"lmu": held}).cells
    assert cell.sizes == {"D": 2, "H": 4, "N": 3}
    assert [stage.name for stage in cell.stages] == ["with the parameters given"]


def test_a_cell_without_a_state() -> None:
    with pytest.raises(ValueError, match="nothing flows through time"):
        flow(symcell.parse("y[t] = tanh(W @ x[t])", name="plain"))
