"""Feature cells agree with the reference on every target; random cells over the whole language with autograd."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable

import check_random_cells
import pytest
import random_cells
from feature_cells import FEATURES

import symcell
from symcell.cell import Cell
from symcell.pipeline import graphs
from symcell.verify import pytorch, targets
from symcell.verify.case import Case, Result
from symcell.verify.cases import Kind, case_where
from symcell.verify.reference import reference
from symcell.verify.tolerances import error, largest, real, scale_of

KINDS = (
    Kind("given", 3, 2),
    Kind("own start", 3, 1, given=False),
    Kind("lengths", 3, 3, lengths=(1, 3, 0)),
    Kind("one step", 1, 1),
)
Compile = Callable[[Cell], types.ModuleType]


@functools.cache
def featured(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name)


@functools.cache
def wanted(name: str, kind: Kind) -> tuple[Case, Result]:
    """A case and its results, none of them large."""
    cell = featured(name)
    graph, derived = graphs(cell)
    results: list[Result] = []

    def tame(case: Case) -> bool:
        results.append(reference(cell, case, digits=25, graph=graph, derived=derived))
        return all(largest(real(v)) < 1e6 for v in results[-1].tensors().values())

    case = case_where(cell, kind, tame)
    assert case is not None
    return case, results[-1]


@pytest.mark.parametrize("name", FEATURES)
def test_features(compiled: Compile, name: str) -> None:
    module = compiled(featured(name))
    for kind in KINDS:
        case, exact = wanted(name, kind)
        found = targets.run(module, case, "float64")
        for group, values in ((exact.values(), found.values()), (exact.gradients(), found.gradients())):
            reals = {k: real(v) for k, v in group.items()}
            assert values.keys() == reals.keys()
            for tensor, value in values.items():
                apart = error(value, reals[tensor], scale_of(reals[tensor], reals))
                assert apart < 1e-10, f"{kind.title}, {tensor}: {apart:.1e} off"


def agree(seed: int, target: str, strategy: str = "plain", *, races: bool = False) -> None:
    pytest.importorskip("torch", reason=pytorch.missing() or "")
    try:
        problem = check_random_cells.check(seed, target, strategy, races=races)
    except check_random_cells.RefusedError:
        pytest.skip("a function over units of what cancels to a number")
    assert not problem, f"python tests/check_random_cells.py --seed {seed}\n{random_cells.cell(seed)}\n{problem}"


@pytest.mark.parametrize("seed", range(40))
def test_random_cells_on_numpy(seed: int) -> None:
    agree(seed, "numpy")


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("seed", range(60, 76))
def test_random_cells_on_c(seed: int) -> None:
    if targets.compiler_missing():
        pytest.skip(str(targets.compiler_missing()))
    agree(seed, "c")


@pytest.mark.parametrize("seed", range(100, 110))
def test_random_cells_on_cuda(seed: int) -> None:
    if targets.emulator_missing():
        pytest.skip(str(targets.emulator_missing()))
    agree(seed, "cupy")


@pytest.mark.parametrize("seed", range(120, 126))
def test_random_cells_in_one_launch(seed: int) -> None:
    """Two blocks share the units of every step, and never reach for what the other one may be writing."""
    if targets.emulator_missing():
        pytest.skip(str(targets.emulator_missing()))
    agree(seed, "cupy", "persistent", races=True)


def test_random_cells_are_of_all_kinds() -> None:
    """What the generator writes, so that the agreement says something."""
    texts = "\n".join(random_cells.cell(seed) for seed in range(200))
    for part in ("outer(", "diag(", ".T @", "const(", "[0] =", "t-3]", ": const =", "scalar", ": 1\n", ", 3)",
                 "output: C", "layernorm(", "softmax(", "where(", "norm(", "floor(", "mod("):  # fmt: skip
        assert part in texts, part
    assert random_cells.cell(7) == random_cells.cell(7) != random_cells.cell(8)


def test_a_wrong_module_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check is able to fail."""
    pytest.importorskip("torch", reason=pytorch.missing() or "")
    run = targets.run

    def off(module: types.ModuleType, case: Case, dtype: str) -> object:
        found = run(module, case, dtype)
        next(iter(found.params.values()))[...] *= 1.001
        return found

    monkeypatch.setattr(targets, "run", off)
    assert any(check_random_cells.check(seed) for seed in range(3))
