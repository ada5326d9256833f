"""Random small cells over the whole language compile, and agree with the reference on every target."""

from __future__ import annotations

import types
from collections.abc import Callable

import pytest
from feature_cells import FEATURES
from hypothesis import HealthCheck, given, note, settings, strategies as st
from random_cells import cells

import symcell
from symcell.adjoint import adjoint
from symcell.cell import Cell
from symcell.lower import lower
from symcell.verify.case import Case
from symcell.verify.cases import Kind, case_where
from symcell.verify.reference import reference
from symcell.verify.targets import run
from symcell.verify.tolerances import error, largest, real, scale_of

KINDS = (
    Kind("given", 3, 2),
    Kind("own start", 3, 1, given=False),
    Kind("lengths", 3, 3, lengths=(1, 3, 0)),
    Kind("one step", 1, 1),
)
Compile = Callable[[Cell], types.ModuleType]


def agrees(cell: Cell, module: types.ModuleType, kind: Kind) -> None:
    graph = lower(cell)
    derived = adjoint(graph)

    def tame(case: Case) -> bool:
        exact = reference(cell, case, digits=25, graph=graph, derived=derived)
        return all(largest(real(v)) < 1e6 for v in exact.tensors().values())

    case = case_where(cell, kind, tame)
    if case is None:
        return
    exact = reference(cell, case, digits=25, graph=graph, derived=derived)
    found = run(module, case, "float64")
    for group, values in ((exact.values(), found.values()), (exact.gradients(), found.gradients())):
        reals = {k: real(v) for k, v in group.items()}
        for tensor, value in values.items():
            apart = error(value, reals[tensor], scale_of(reals[tensor], reals))
            assert apart < 1e-10, f"{kind.title}, {tensor}: {apart:.1e} off"


def examples(count: int) -> settings:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.differing_executors]
    return settings(max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=checks)


@pytest.mark.parametrize("name", FEATURES)
def test_features(compiled: Compile, name: str) -> None:
    cell = symcell.parse(FEATURES[name], name=name)
    module = compiled(cell)
    for kind in KINDS:
        agrees(cell, module, kind)


def check(text: str, kind: Kind, compiled: Compile) -> None:
    note(text)
    cell = symcell.parse(text, name="random")
    agrees(cell, compiled(cell), kind)


@pytest.mark.parametrize("way", ["numpy"])
@examples(60)
@given(text=cells(), kind=st.sampled_from(KINDS))
def test_random_cells_on_numpy(compiled: Compile, text: str, kind: Kind) -> None:
    check(text, kind, compiled)


@pytest.mark.parametrize("way", ["cupy-emulated", pytest.param("cupy", marks=pytest.mark.gpu)])
@examples(20)
@given(text=cells(), kind=st.sampled_from(KINDS))
def test_random_cells_on_cuda(compiled: Compile, text: str, kind: Kind) -> None:
    check(text, kind, compiled)
