"""The C of every row, compiled as C++ over float and double, against exact values."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import function_cases as cases
import numpy as np
import pytest

from symcell.symbolic import functions as fn

BASIC = [f for f in fn.FUNCTIONS if f.row.c]
COMPILER = shutil.which("g++") or shutil.which("clang++")
ULPS = 6

basic = pytest.mark.parametrize("function", BASIC, ids=cases.name)
both_types = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def _loop(function) -> str:
    arguments = [f"v[{k} * n + i]" for k in range(cases.arity(function))]
    code = f"{function.row.c}({', '.join(arguments)})"
    if not function.row.c.isidentifier():
        code = function.row.c.format(*arguments)
    return (
        f'extern "C" void run_{function.text}(const real *v, real *out, long n) {{\n'
        f"    for (long i = 0; i < n; ++i) out[i] = {code};\n}}\n"
    )


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """One library per type."""
    if COMPILER is None:
        pytest.skip("no C++ compiler here (g++ or clang++)")
    found = {}
    for dtype, ctype in ((np.float32, "float"), (np.float64, "double")):
        folder = tmp_path_factory.mktemp(ctype)
        head = f"#include <cmath>\nusing namespace std;\ntypedef {ctype} real;\n"
        source = head + "\n".join((*fn.prelude(BASIC), *map(_loop, BASIC)))
        (folder / "functions.cpp").write_text(source)
        flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", "functions.so"]
        made = subprocess.run(
            [COMPILER, "functions.cpp", *flags], cwd=folder, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
        found[dtype] = ctypes.CDLL(str(folder / "functions.so"))
    return found


def _run(library, function, arguments, dtype):
    stacked = np.array(arguments, dtype)
    out = np.empty(stacked.shape[1:], dtype)
    call = getattr(library, f"run_{function.text}")
    call(ctypes.c_void_p(stacked.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.c_long(out.size))
    return out


@basic
@both_types
@pytest.mark.parametrize("values", [cases.ORDINARY, cases.EXTREME, cases.KINKS], ids=["ordinary", "extreme", "kinks"])
def test_values_are_right_to_a_few_units_in_the_last_place(function, dtype, values, libraries):
    """Protects the definitions that C lacks, and that each is right over both types."""
    points = cases.points(function, values, dtype)
    found = _run(libraries[dtype], function, list(zip(*points, strict=True)), dtype)
    off = cases.ulps(found, [cases.exact(function, p) for p in points], dtype)
    assert off.max() <= ULPS, (points[int(off.argmax())], off.max())


@basic
@both_types
def test_nan_passes_through(function, dtype, libraries):
    """Protects a NaN from being clipped or chosen away, as NumPy's calls do."""
    if issubclass(function, fn.Predicate):
        return
    for k in range(function is fn.Where, cases.arity(function)):
        arguments = [[float(k == 1) if function is fn.Where and j == 0 else 0.5] for j in range(cases.arity(function))]
        arguments[k] = [np.nan]
        assert np.isnan(_run(libraries[dtype], function, arguments, dtype)).all(), k


def test_definitions_come_after_what_they_call():
    """Protects the order of a prelude, and that it holds nothing that is not needed."""
    texts = fn.prelude([fn.HardTanh, fn.Exp, fn.HardTanh], "__device__ inline")
    assert [t.split("(")[0] for t in texts] == [
        f"__device__ inline real {name}" for name in ("maximum", "minimum", "clip", "hard_tanh")
    ]
    assert fn.prelude([fn.Exp, fn.Where]) == ()
