"""The floor multiplies what the equations multiply, as often, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import symcell
from symcell.bench.products import flops, products_of
from symcell.bench.work import Work, sized

T, B, D, H = 7, 3, 4, 6


def work(name: str) -> Work:
    cell = symcell.load(name)
    return Work(cell, T, B, sized(cell, D, H))


GATES = {"rnn": 1, "gru": 3, "lstm": 4, "layernorm_lstm": 4}


@pytest.mark.parametrize(("name", "gates"), GATES.items())
def test_operations_counted_by_hand(name: str, gates: int) -> None:
    """Every gate has a matrix of the input and one of the state; backward multiplies each twice more."""
    once = 2 * T * B * gates * H * (D + H)
    assert flops(products_of(work(name), "inference"), work(name)) == once
    assert flops(products_of(work(name), "train"), work(name)) == 3 * once


@pytest.mark.parametrize("name", ["gru", "mgu", "deltanet", "indrnn", "projected_lstm", "gru_original"])
def test_what_runs_is_what_is_counted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    done: list[tuple[int, int, int]] = []
    multiply = np.matmul

    def counting(first, second, out):
        done.append((*first.shape, second.shape[1]))
        return multiply(first, second, out=out)

    found = products_of(work(name), "train")
    runs = [product.runner(work(name)) for product in found]
    monkeypatch.setattr(np, "matmul", counting)
    for run in runs:
        run()
    assert 2 * sum(m * k * n for m, k, n in done) == flops(found, work(name)) > 0
    assert len(done) == sum(T if product.each_step else 1 for product in found)


def test_only_what_waits_for_the_step_before_runs_step_by_step() -> None:
    several = products_of(work("lstm"), "train")
    shapes = sorted((str(p.left), str(p.right)) for p in several if p.each_step)
    assert shapes == [("4*H", "H"), ("H", "4*H")]
    assert sorted((str(p.left), str(p.right)) for p in several if p.over_rows) == [("4*H", "D"), ("4*H", "H")]
    assert not any(p.each_step for p in products_of(work("mingru"), "train"))
