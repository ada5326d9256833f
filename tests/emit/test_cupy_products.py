"""A block's products, of all types of numbers, with what they have of a matrix in shared memory and in registers, on
matrix units and without: against the exact product of the rounded numbers."""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from product_kernels import Products, code, layout, module

from symcell.verify.targets import emulator_missing

REASON = emulator_missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

TYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
AT_ONCE = 16
# by type: what matrix units take numbers as, rows of a block, what is summed over, turns in registers, lanes
VARIANTS = {
    ("float32", "shared"): ("", 10, 77, 0, (8, 4, 4)),
    ("float32", "registers"): ("", 13, 1030, 3, (8, 4, 4)),
    ("float64", "registers"): ("", 10, 300, 2, (2, 4, 4)),
    ("float32", "tf32"): ("Tf32", 27, 77, 0, (1, 8)),
    ("float32", "tf32, registers"): ("Tf32", 7, 500, 2, (2, 8)),
    ("float16", "shared"): ("F16", 27, 77, 0, (1, 8)),
    ("float16", "registers"): ("F16", 20, 1000, 3, (2, 8)),
    ("float16", "all in registers"): ("F16", 20, 600, 3, (2, 8)),
    ("float16", "rows of a warp"): ("F16", 150, 100, 1, (2, 1)),
    ("float16", "rows of two warps"): ("F16", 70, 100, 0, (2, 2)),
    ("float32", "tf32, rows of four warps"): ("Tf32", 40, 100, 1, (1, 4)),
    ("float16", "read ahead"): ("F16", 7, 1800, 1, (8, 8)),
    ("float16", "without matrix units"): ("", 10, 300, 0, (8, 4, 4)),
    ("bfloat16", "registers"): ("Bf16", 27, 770, 2, (1, 8)),
    ("bfloat16", "without matrix units"): ("", 7, 301, 1, (4, 4, 4)),
}
"""Between them: rows that fill tiles or do not, halves of tiles; rows of a matrix of any length, several turns and less
than one; the last turn in part, in registers too; operands that begin where many can be read at once, or not."""


def product(dtype: str, name: str) -> Any:
    unit, rows, inner, held, lanes = VARIANTS[dtype, name]
    return module().Slice(unit, rows, inner, held, lanes)


def names(dtype: str) -> list[str]:
    return [name for kind, name in VARIANTS if kind == dtype]


@functools.cache
def compiled(dtype: str, order: Any = "forward") -> Products:
    return Products(code((product(dtype, name) for name in names(dtype)), AT_ONCE, dtype), order)


def rounded(x: Any, unit: str, dtype: str) -> Any:
    """Numbers as a product takes them."""
    if unit == "Tf32":
        bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
        return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)
    return x.astype(TYPES[dtype])


def multiplied(dtype: str, name: str, batch: int, *, real: bool = False, order: Any = "forward", made: Any = None,
               apart: int = 0, transposed: bool = False) -> tuple[Any, Any, Any]:  # fmt: skip
    """What a kernel makes of some numbers; the exact product; what it may be off by. ``apart``: how many numbers there
    are between the rows of the left operand; ``real``: these are not rounded yet."""
    found = product(dtype, name)
    count = 2 if found.rows % 2 == 0 else 1
    width = found.rows // count * 2 - 1  # the second block has one unit less
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((found.inner, count * width)).astype(TYPES[dtype])
    left = rng.standard_normal((batch, found.inner + apart)).astype(np.float32 if real else TYPES[dtype])
    matrix = np.ascontiguousarray(matrix) if transposed else np.asfortranarray(matrix)
    _, shared = layout(found, AT_ONCE, dtype)
    kernel = f"product_{names(dtype).index(name)}" + "_real" * real
    out = (made or compiled(dtype, order))(kernel, shared, matrix, left, (count, width), batch)
    exact_left, exact = (rounded(x, found.unit, dtype).astype(np.float64) for x in (left[:, : found.inner], matrix))
    bound = found.inner * np.finfo(out.dtype).eps * (abs(exact_left) @ abs(exact))
    return out, exact_left @ exact, bound


def near(out: Any, exact: Any, bound: Any) -> bool:
    return bool((abs(out - exact) <= bound).all())


EVERY = [pytest.param(*key, id="-".join(key)) for key in VARIANTS]


@pytest.mark.parametrize(("dtype", "name"), EVERY)
def test_a_product(dtype: str, name: str) -> None:
    """Of one sample to several rounds of them; the matrix as it lies forward and backward."""
    for batch, apart in ((1, 0), (9, 8), (37, 3)):
        assert near(*multiplied(dtype, name, batch, apart=apart, transposed=batch == 9)), (batch, apart)
    if dtype in ("float16", "bfloat16"):
        assert near(*multiplied(dtype, name, 9, real=True)), "operands in float32 are rounded"
        assert near(*multiplied(dtype, name, 9, real=True, apart=3))


@pytest.mark.whole
@pytest.mark.parametrize("batch", range(1, 65))
@pytest.mark.parametrize(("dtype", "name"), EVERY)
def test_any_samples(dtype: str, name: str, batch: int) -> None:
    assert near(*multiplied(dtype, name, batch))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_same_bits(dtype: str) -> None:
    """In whatever order threads and blocks run."""
    for name in names(dtype):
        assert_array_equal(multiplied(dtype, name, 19, order="reversed")[0], multiplied(dtype, name, 19)[0])


def test_what_is_no_number_is_kept() -> None:
    """Scaled losses overflow: a row with an inf or a NaN has them in its sums, and no other row has."""
    found, (count, width) = product("float16", "registers"), (1, 39)
    matrix = np.ones((found.inner, width), np.float16, order="F")
    left = np.ones((3, found.inner), np.float32)
    left[0, 5], left[1, 990] = 7e4, np.nan  # the first is none in 16 bits
    _, shared = layout(found, AT_ONCE, "float16")
    kernel = f"product_{names('float16').index('registers')}_real"
    out = compiled("float16")(kernel, shared, matrix, left, (count, width), 3)
    assert (out[0] == np.inf).all()
    assert np.isnan(out[1]).all()
    assert (out[2] == found.inner).all()


FAULTS = {
    "a pair of an operand": ("{w.of[0], x.of[0], w.of[1], x.of[1]}", "{w.of[0], x.of[0], w.of[2], x.of[1]}"),
    "halves of a tile in registers": ("held.of[turn][2 * r], some", "held.of[turn][2 * r + 1], some"),
    "turns in registers": ("HELD; ++turn) {\n            Words", "HELD - 1; ++turn) {\n            Words"),
    "turns in shared memory": ("(k - INSIDE) / Kind::NUMBERS", "(k - INSIDE + 1) / Kind::NUMBERS + 4"),
    "whose tile it is": ("threadIdx.x / 32 / SPLIT * 16", "threadIdx.x / 32 % SPLIT * 16"),
    "which pieces are turned": ("(g % 2 ? TURNED : 0)", "(g % 2 ? 0 : TURNED)"),
    "what was read ahead": ("now = (HELD + turn) % DEEP", "now = turn % DEEP"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_noticed(fault: str) -> None:
    before, after = FAULTS[fault]
    text = code([product("float16", "registers")], AT_ONCE, "float16")
    assert text.count(before) == 1
    kernel = Products(text.replace(before, after))
    found = product("float16", "registers")
    rng = np.random.default_rng(0)
    matrix = np.asfortranarray(rng.standard_normal((found.inner, 39)).astype(np.float16))
    left = rng.standard_normal((3, found.inner)).astype(np.float16)
    out = kernel("product_0", layout(found, AT_ONCE, "float16")[1], matrix, left, (1, 39), 3)
    exact = left.astype(np.float64) @ matrix.astype(np.float64)
    assert not near(out, exact, 1e-2 * abs(left).astype(np.float64) @ abs(matrix).astype(np.float64))
