"""The C of the functions: right to a few units in the last place everywhere, and vectorised."""

from __future__ import annotations

import ctypes
import functools
import re

import mpmath
import numpy as np
import pytest
from c_modules import rendered
from machines import MACHINES, PROGRAM, SHARED, Emulated

from symcell.emit.c.mathematics import definitions
from symcell.symbolic import functions as fn

BASIC = [f for f in fn.FUNCTIONS if f.row.c]
SCALAR = {"mod", "sin", "cos", "power"}  # calls of the C library
ALIKE = {"detached", "euclidean_root"}  # a copy, and the code of sqrt
TYPES = {"float": np.float32, "double": np.float64}

HELPERS = {"expm1": mpmath.expm1}
EXACT = {f.text: f.row.exact for f in BASIC} | HELPERS
LIMITS = {
    **dict.fromkeys(("exp", "tanh", "expm1", "log", "erf", "elu"), 1.6),
    **dict.fromkeys(("sigmoid", "softplus"), 3),
    **dict.fromkeys(("normal_cdf", "tanhshrink"), 6),
}
"""Units in the last place."""

INSIDE = {"log": lambda v: v > 0, "tanhshrink": lambda v: (v == 0) | (abs(v) > 1e-9)}


def _loop(name: str, form: str, count: int) -> str:
    arguments = [f"w{k}" for k in range(count)]
    loads = "".join(f"const real w{k} = v{k}[i]; " for k in range(count))
    call = f"{form}({', '.join(arguments)})" if form.isidentifier() else form.format(*arguments)
    parameters = ", ".join(f"const real *restrict v{k}" for k in range(count))
    loop = f'_Pragma("omp simd") for (long i = 0; i < n; ++i) {{ {loads}out[i] = {call}; }}'
    return f"void run_{name}({parameters}, real *restrict out, long n) {{ {loop} }}"


def _source(real: str) -> str:
    loops = [_loop(f.text, f.row.c, *f.nargs) for f in BASIC] + [_loop(name, name, 1) for name in HELPERS]
    head = f"typedef {real} real;\n#define REAL_IS_FLOAT {int(real == 'float')}\n#include <math.h>\n#include <stdint.h>"
    return "\n".join((head, rendered("vectors.c"), *definitions(BASIC), *loops)) + "\n"


@pytest.fixture(scope="module", params=["native", "clang", "arm64"])
def built(request, tmp_path_factory):
    """By type: what calls a loop per function, and the names of those that the compiler says it vectorised."""
    machine, folder = MACHINES[request.param].or_skip(), tmp_path_factory.mktemp("mathematics")
    report = ["-fopt-info-vec-optimized"] if "clang" not in machine.version() else []
    found, opened = {}, []
    for real in TYPES:
        path, source = folder / f"{real}.so", _source(real)
        said = machine.compile(source, path, *SHARED, *report)
        if machine.emulator:
            (folder / real).mkdir()
            opened.append(Emulated(machine, source, _loops(), folder / real, *PROGRAM))
            call = opened[-1].call
        else:
            call = functools.partial(_call, ctypes.CDLL(str(path)))
        numbers = set(map(int, re.findall(r"^<stdin>:(\d+):.*loop vectorized", said, re.MULTILINE)))
        lines = enumerate(source.splitlines(), 1)
        vectorised = {line.split("(")[0][9:] for number, line in lines if line.startswith("void") and number in numbers}
        found[real] = call, vectorised if report else None
    yield found
    for emulated in opened:
        emulated.close()


def _loops():
    return [f"run_{name}" for name in (*(f.text for f in BASIC), *HELPERS)]


def _call(library, name, *arguments):
    *arrays, count = arguments
    getattr(library, name)(*(ctypes.c_void_p(a.ctypes.data) for a in arrays), ctypes.c_long(count))


def _run(built, real, name, *arguments):
    arrays = [np.ascontiguousarray(a, TYPES[real]) for a in arguments]
    out = np.empty_like(arrays[0])
    built[real][0](f"run_{name}", *arrays, out, out.size)
    return out


def _ulps(found, wanted, off):
    """Distances ``off`` in units in the last place; below the smallest normal number, in units of that one's."""
    info = np.finfo(found.dtype)
    unit = np.spacing(np.clip(np.abs(wanted), info.tiny, info.max / 1.5).astype(found.dtype)).astype(np.float64)
    overflow = (
        np.isinf(found)
        & (np.abs(wanted) > float(info.max) * (1 - float(info.eps)))
        & (np.sign(found) == np.sign(wanted))
    )
    return np.where(overflow | (found == wanted), 0, np.nan_to_num(off / unit, nan=np.inf))


def _sample(name, real, count):
    """All magnitudes, and as many arguments where the function does something."""
    rng = np.random.default_rng(7)
    anywhere = rng.integers(0, 2**32, count, np.uint32).view(np.float32)
    anywhere = anywhere[np.isfinite(anywhere)]
    near, wide = rng.uniform(-3, 3, count), rng.uniform(-110, 110, count) * (1 if real == "float" else 7)
    v = np.concatenate([anywhere, near, wide]).astype(TYPES[real])
    return v[INSIDE[name](v)] if name in INSIDE else v


each = pytest.mark.parametrize("name", LIMITS)
both_types = pytest.mark.parametrize("real", TYPES)


@functools.cache
def _exact(name):
    with mpmath.workdps(40):
        return [EXACT[name](mpmath.mpf(x)) for x in _sample(name, "double", 400).tolist()]


@each
def test_double_is_right_to_a_few_units(name, built):
    """Protects the coefficients and the reductions, by mpmath."""
    v = _sample(name, "double", 400)
    found, exact = _run(built, "double", name, v), _exact(name)
    with mpmath.workdps(40):
        off = np.array([float(abs(w - y)) for w, y in zip(exact, found.tolist(), strict=True)])
    ulps = _ulps(found, np.array(list(map(float, exact))), off)
    assert ulps.max() <= LIMITS[name], (v[ulps.argmax()], ulps.max())


@each
def test_float_is_right_to_a_few_units(name, built):
    """Protects float's own coefficients, by the double version."""
    v = _sample(name, "float", 100_000)
    found, wanted = _run(built, "float", name, v), _run(built, "double", name, v)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        ulps = _ulps(found, wanted, np.abs(found - wanted))
    assert ulps.max() <= LIMITS[name], (v[ulps.argmax()], ulps.max())


@both_types
@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("exp", [(np.inf, np.inf), (-np.inf, 0.0), (0.0, 1.0), (-0.0, 1.0)]),
        ("expm1", [(np.inf, np.inf), (-np.inf, -1.0), (0.0, 0.0), (-0.0, -0.0)]),
        ("tanh", [(np.inf, 1.0), (-np.inf, -1.0), (0.0, 0.0), (-0.0, -0.0)]),
        ("sigmoid", [(np.inf, 1.0), (-np.inf, 0.0), (0.0, 0.5)]),
        ("log", [(np.inf, np.inf), (-np.inf, np.nan), (-1.0, np.nan), (0.0, -np.inf), (-0.0, -np.inf), (1.0, 0.0)]),
        ("erf", [(np.inf, 1.0), (-np.inf, -1.0), (0.0, 0.0), (-0.0, -0.0)]),
        ("normal_cdf", [(np.inf, 1.0), (-np.inf, 0.0), (0.0, 0.5)]),
        ("softplus", [(np.inf, np.inf), (-np.inf, 0.0)]),
    ],
)
def test_limits(name, at, real, built):
    """Protects what happens at infinities, zeros of both signs and poles, and NaN."""
    arguments, wanted = np.array([*at, (np.nan, np.nan)]).T
    found = _run(built, real, name, arguments)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(np.signbit(found[wanted == 0]), np.signbit(wanted[wanted == 0]))


@both_types
def test_loops_are_vectorised(real, built):
    """Protects the speed: one branch or call of the library more, and a function takes ten times as long."""
    vectorised = built[real][1]
    if vectorised is None:
        pytest.skip("only GCC says which loops it vectorises")
    assert {*EXACT, *(f.text for f in BASIC)} - vectorised <= SCALAR | ALIKE


@both_types
@pytest.mark.parametrize("function", [f for f in BASIC if len(f.nargs) == 1], ids=lambda f: f.text)
def test_nan_passes_through(function, real, built):
    """Protects a NaN from being clipped or chosen away."""
    if issubclass(function, fn.Predicate):
        return
    (count,) = function.nargs
    for k in range(function is fn.Where, count):
        arguments = np.full((count, 40), 0.5)  # enough for vectors and what is left over
        if function is fn.Where:
            arguments[0] = k == 1
        arguments[k] = np.nan
        assert np.isnan(_run(built, real, function.text, *arguments)).all(), k


def test_definitions_hold_what_is_called_and_no_more():
    """Protects the order of the definitions, and that a source holds nothing that it does not use."""
    names = [
        re.findall(r"^(?:static inline|INLINE) real (\w+)\(", text, re.MULTILINE)
        for text in definitions([fn.Sigmoid, fn.HardTanh])
    ]
    expected = ["real_of_bits", "real_exp_rest", "real_exp", "sigmoid", "clip", "hard_tanh"]
    assert [n[-1] for n in names if n] == expected
    assert len(definitions([fn.Sqrt])) == 1
