"""The C that rounds to types of 16 bits and converts from and to them, against NumPy and ml_dtypes, bit for bit."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_modules import module
from hypothesis import given, strategies as st
from machines import MACHINES, PROGRAM, SHARED, Emulated
from sixteen import SIXTEEN, rounded

TEMPLATES = Path(__file__).parents[2] / "templates" / "c"
PARTS = ("team", "vectors", "rounding", "share", "conversions")
HEADERS = "".join(f"#include <{name}.h>\n" for name in ("stdint", "stdlib", "string"))
FUNCTIONS = ("widen", "narrow", "round_all")
SOURCE = """
int round_all(long long *record, long long threads) {
    (void)threads;
    round_row((real *)record[1], record[2]);
    return 0;
}
"""
FEW = (("float16", "native"), ("bfloat16", "native"), ("float16", "arm64"))
SOME = [
    pytest.param(pair, id="-".join(pair), marks=[] if pair in FEW else [pytest.mark.whole])
    for pair in itertools.product(SIXTEEN, MACHINES)
]
Convert = Callable[[str, "np.ndarray | None", np.ndarray], None]
"""A function by name, on numbers of 16 bits and numbers of float32, one of which it writes."""


@pytest.fixture(scope="module", params=SOME)
def built(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Convert]]:
    """A type, and what converts from and to it."""
    stored, name = request.param
    machine, folder = MACHINES[name].or_skip(), tmp_path_factory.mktemp("rounding")
    text = module()._TYPES[stored] + HEADERS + "\n".join((TEMPLATES / f"{p}.c.j2").read_text() for p in PARTS) + SOURCE
    if machine.emulator:
        emulated = Emulated(machine, text, FUNCTIONS, folder, *PROGRAM)
        call: Callable[..., int] = emulated.call
    else:
        machine.compile(text, folder / "rounding.so", *SHARED)
        library = ctypes.CDLL(str(folder / "rounding.so"))

        def call(name: str, record: np.ndarray, threads: int, holds: Any) -> int:
            return getattr(library, name)(ctypes.c_void_p(record.ctypes.data), ctypes.c_longlong(threads))

    def convert(name: str, narrow: np.ndarray | None, wide: np.ndarray) -> None:
        bits = np.zeros(1, np.uint16) if narrow is None else narrow.view(np.uint16)
        record = np.array([bits.ctypes.data, wide.ctypes.data, wide.size], np.int64)
        assert call(name, record, 3, holds=(bits, wide)) % 2**32 == 0

    yield stored, convert
    if machine.emulator:
        emulated.close()


def alike(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether all bits are, but those of what is not a number."""
    word = np.dtype(f"u{found.itemsize}")
    nothing = np.isnan(found.astype(np.float32)) & np.isnan(wanted.astype(np.float32))
    return bool((nothing | (found.view(word) == wanted.view(word))).all())


def holds(built: tuple[str, Convert], values: np.ndarray) -> None:
    """These numbers of float32 are rounded, in place and to 16 bits, as NumPy does it."""
    stored, convert = built
    wanted, found, narrow = rounded(values, stored), values.copy(), np.empty(values.size, SIXTEEN[stored])
    convert("round_all", None, found)
    assert alike(found, wanted)
    convert("narrow", narrow, values)
    with np.errstate(all="ignore"):
        assert alike(narrow, values.astype(SIXTEEN[stored]))


def every(stored: str) -> np.ndarray:
    """All numbers of a type."""
    return np.arange(2**16, dtype=np.uint16).view(SIXTEEN[stored])


def test_every_number_of_16_bits_is_itself(built: tuple[str, Convert]) -> None:
    """There and back; with zeros of both signs, what is below the least full number, infinities and no numbers."""
    stored, convert = built
    wide = np.empty(2**16, np.float32)
    convert("widen", every(stored), wide)
    assert alike(wide, every(stored).astype(np.float32))
    holds(built, wide)


def test_what_lies_between_goes_to_the_nearest(built: tuple[str, Convert]) -> None:
    """Halfway between neighbours, to the even one, and a bit to both sides of that; what overflows is infinite."""
    stored, _ = built
    below = every(stored)[: 2**15].astype(np.float32)
    below = below[np.isfinite(below)].astype(float)
    above = np.append(below[1:], 2 * below[-1] - below[-2])
    with np.errstate(over="ignore"):
        halfway = ((below + above) / 2).astype(np.float32)
    values = np.concatenate([np.nextafter(halfway, np.float32(to)) for to in (-np.inf, np.inf)] + [halfway])
    holds(built, np.concatenate([values, -values]))


@given(st.lists(st.floats(width=32), min_size=1, max_size=70), st.integers(-40, 10))
def test_any_number(built: tuple[str, Convert], values: list[float], scale: int) -> None:
    """Of any magnitude, and any many: the last ones are not a whole vector."""
    numbers = np.array(values, np.float32)
    with np.errstate(all="ignore"):
        near = (np.remainder(numbers, 2) * 2.0**scale).astype(np.float32)
    holds(built, numbers)
    holds(built, near)
