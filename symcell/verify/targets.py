"""Emitted modules as witnesses: which targets can run here, and how one runs a case."""

from __future__ import annotations

import functools
import os
import shutil
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from symcell.cell import Cell
from symcell.pipeline import compile
from symcell.verify.case import Array, Case, Result
from symcell.verify.halves import number_type


@dataclass(frozen=True)
class Target:
    """A target as it runs here. ``missing``: why it cannot, or empty."""

    name: str
    title: str
    build: Callable[[Cell], types.ModuleType]
    missing: str = ""


def targets() -> tuple[Target, ...]:
    """NumPy, C, and CuPy: on a GPU where there is one, else emulated by the host's C++ compiler."""
    numpy = Target("numpy", "numpy", functools.partial(compile, target="numpy"))
    c = Target("c", "c", functools.partial(compile, target="c"), compiler_missing() or "")
    if gpu_missing() is None:
        return numpy, c, Target("cupy", "cupy (GPU)", functools.partial(compile, target="cupy"))
    # one compilation for all sizes
    emulated = functools.partial(compile, target="cupy", emulate=True, strategy="plain")
    return numpy, c, Target("cupy", "cupy (emulated)", emulated, emulator_missing() or "")


def compiler_missing() -> str | None:
    """Why C modules cannot run here, or None where they can."""
    chosen = os.environ.get("CC", "").split()[:1]
    return None if any(map(shutil.which, chosen or ("cc", "gcc", "clang"))) else "no C compiler"


def gpu_missing() -> str | None:
    """Why CuPy cannot run on a GPU here, or None where it can."""
    try:
        runtime = import_module("cupy").cuda.runtime
        return None if runtime.getDeviceCount() else "no CUDA device"
    except ImportError as problem:
        return f"CuPy is not installed ({problem})"
    except Exception as problem:  # CuPy's own CUDARuntimeError, which is missing where CuPy is
        return f"no CUDA device ({problem})"


def emulator_missing() -> str | None:
    """Why CUDA cannot be emulated here, or None where it can."""
    from symcell.emulate import CompilerNotFoundError
    from symcell.emulate.toolchain import find_compiler

    try:
        find_compiler()
    except CompilerNotFoundError:
        return "no C++ compiler"
    return None


def to_device(module: types.ModuleType, array: Array, dtype: Any = None) -> Array:
    """A NumPy array as one of the module's."""
    array = np.asarray(array, None if dtype is None else number_type(dtype))
    return module.cp.asarray(array) if hasattr(module, "cp") else array


def to_host(module: types.ModuleType, array: Array) -> Array:
    """One of the module's arrays as NumPy's."""
    return module.cp.asnumpy(array) if hasattr(module, "cp") else array


def parameters(module: types.ModuleType, case: Case, dtype: str) -> Any:
    """A case's parameters and constant arrays as the module's."""
    send = functools.partial(to_device, module, dtype=dtype)
    params = module.init_params(dtype=dtype, **case.sizes, **{name: send(value) for name, value in case.arrays.items()})
    for name, value in case.params.items():
        params[name] = send(value)
    return params


def forward(module: types.ModuleType, case: Case, dtype: str, **options: Any) -> tuple[Any, Any, Any, Any]:
    """The module's parameters, y, last states and tape for a case, as the module gives them."""
    send = functools.partial(to_device, module, dtype=dtype)
    params = parameters(module, case, dtype)
    x = {name: send(value) for name, value in case.x.items()}
    state = {name: send(outside(value)) for name, value in case.state.items()}
    given = x if len(x) > 1 else next(iter(x.values()))
    return params, *module.forward(params, given, state, case.lengths, **options)


def run(module: types.ModuleType, case: Case, dtype: str) -> Result:
    """A case forward and backward through an emitted module; NumPy arrays."""
    send = functools.partial(to_device, module, dtype=dtype)
    params, y, last, tape = forward(module, case, dtype)
    dlast = {name: send(outside(value)) for name, value in case.dlast.items()}
    grads = module.backward(params, tape, send(case.dy), dlast)
    dx = grads.x if len(case.x) > 1 else {next(iter(case.x)): grads.x}

    def states(group: Mapping[str, Array]) -> dict[str, Array]:
        return {k: to_host(module, v if k in module.LAGS else v[None]) for k, v in group.items()}

    params_, dx = ({k: to_host(module, v) for k, v in group.items()} for group in (grads.params, dx))
    return Result(to_host(module, y), states(last), params_, dx, states(grads.state))


def outside(state: Array) -> Array:
    """A state (k, B, *shape) as callers of emitted modules hand it over: (B, *shape) for k = 1."""
    return state[0] if len(state) == 1 else state
