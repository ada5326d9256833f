"""NumPy arrays and tensors are treated alike; what is added and what is copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from symcell.arrays import join, total, zeros
from symcell.cell import Size
from symcell.formats import library, named, stacked
from symcell.lengths import shown


def test_a_sum_is_a_copy_and_zeros_leave_signs_alone() -> None:
    minus = np.array([-0.0, 1.0])
    for parts in ([minus], [minus, np.zeros(2)], [np.zeros(2), minus]):
        found = total(parts)
        assert found.tobytes() == minus.tobytes()
        assert not any(np.shares_memory(found, part) for part in parts)
    assert (total([minus, minus, minus]) == 3 * minus).all()


def test_numbers_have_no_axis() -> None:
    number = np.array(2.0)
    assert join([number], 0).shape == ()
    assert zeros((), number).shape == ()


def test_gradients_flow_to_every_part_of_a_sum() -> None:
    """Parts that are zero, as biases are at the start, too."""
    torch = pytest.importorskip("torch")
    parts = [torch.zeros(2, requires_grad=True), torch.ones(2, requires_grad=True)]
    total(parts).sum().backward()
    assert all((part.grad == 1).all() for part in parts)


def test_tensors_keep_type_and_device() -> None:
    torch = pytest.importorskip("torch")
    module = library("torch").module("GRU", {})
    sizes = {"D": 2, "H": 3}
    params = {
        n: torch.randn([s.value(sizes) for s in p.shape], dtype=torch.bfloat16)
        for n, p in module.cell.parameters.items()
    }
    arrays = stacked(module, params)
    back = named(module, arrays)
    assert {a.dtype for a in (*arrays.values(), *back.values())} == {torch.bfloat16}
    assert all(torch.equal(back[n], p) and back[n].data_ptr() != p.data_ptr() for n, p in params.items())


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([(Size.of("H"), 3)], {"H": 3}),
        ([(Size.of("D") + Size.of("H"), 5), (Size.of("H"), 3)], {"D": 2, "H": 3}),
        ([(Size.of("H") * Size.of("K") + Size.of(1), 13), (Size.of("K"), 4)], {"H": 3, "K": 4}),
        ([(Size.of(2) * Size.of("H"), 5)], {}),
        ([(Size.of("D") + Size.of("H"), 5)], {}),
        ([(Size.of(7), 7)], {}),
    ],
)
def test_sizes_that_lengths_show(seen: Any, expected: dict[str, int]) -> None:
    assert shown(seen) == expected
