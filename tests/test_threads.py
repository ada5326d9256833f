"""set_threads is kept where emitted modules, which know nothing of symcell, look for it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import symcell


@pytest.fixture(autouse=True)
def variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is put back behind each test."""
    monkeypatch.setenv("SYMCELL_NUM_THREADS", "7")


@pytest.mark.parametrize("n", [1, 64, np.int64(3)])
def test_the_number_is_set(n: int) -> None:
    symcell.set_threads(n)
    assert os.environ["SYMCELL_NUM_THREADS"] == str(int(n))


def test_none_removes_it() -> None:
    for _ in range(2):
        symcell.set_threads(None)
        assert "SYMCELL_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(("n", "error"), [
    (0, ValueError), (-2, ValueError), (True, TypeError), (False, TypeError), (2.0, TypeError), ("2", TypeError),
])  # fmt: skip
def test_what_is_no_number_of_threads_is_named_and_changes_nothing(n: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^n is {n!r}, expected "):
        symcell.set_threads(n)
    assert os.environ["SYMCELL_NUM_THREADS"] == "7"
