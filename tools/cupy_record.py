"""Prints what an installed CuPy has, for symcell/emulate/cupy_record.txt; no GPU is needed.

python tools/cupy_record.py > symcell/emulate/cupy_record.txt
"""

from __future__ import annotations

import ast
import inspect
import re
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import cupy
import numpy

from symcell.emulate.record import text

BELOW = {
    "cublas": ("gemm",),
    "cuda": ("Device", "Event", "Graph", "Memory", "MemoryPointer", "Stream", "get_current_stream", "get_elapsed_time",
             "is_available", "cublas.CUBLAS_COMPUTE_32F", "cublas.CUBLAS_GEMM_DEFAULT", "cublas.gemmEx",
             "driver.CUDADriverError", "driver.occupancyMaxActiveBlocksPerMultiprocessor",
             "memory.OutOfMemoryError",
             "runtime.CUDARuntimeError", "runtime.deviceSynchronize", "runtime.driverGetVersion", "runtime.getDevice",
             "runtime.getDeviceCount", "runtime.getDeviceProperties", "runtime.runtimeGetVersion"),
    "linalg": ("LinAlgError", "cholesky", "det", "eigh", "eigvalsh", "inv", "lstsq", "matrix_power", "norm", "pinv",
               "qr", "slogdet", "solve", "svd"),
    "random": ("Generator", "Generator.integers", "Generator.random", "Generator.standard_normal", "Generator.uniform",
               "choice", "default_rng", "normal", "permutation", "rand", "randint", "randn", "random",
               "random_sample", "seed", "standard_normal", "uniform"),
}  # fmt: skip
"""Of CuPy's modules, what the emulator has; of ``ndarray`` and CuPy itself it has what they share with NumPy."""
WRITTEN: dict[str, str | None] = {
    "cuda.cublas.CUBLAS_COMPUTE_32F": None,
    "cuda.cublas.CUBLAS_GEMM_DEFAULT": None,
    "cuda.cublas.gemmEx": "intptr_t handle, int transa, int transb, int m, int n, int k, size_t alpha, size_t A, "
    "int Atype, int lda, size_t B, int Btype, int ldb, size_t beta, size_t C, int Ctype, int ldc, int computeType, "
    "int algo",
}
"""As they stand in cublas.pyx and .pxd of cupy_backends/cuda/libs: that module needs cuBLAS."""
OWN = ("RawKernel", "RawModule", "asnumpy", "get_array_module", "get_default_memory_pool", "ndarray")
METHODS = ("get", "set", "astype")


def names() -> list[str]:
    """The names to look at."""
    shared = sorted(n for n in dir(cupy) if not n.startswith("_") and hasattr(numpy, n) and not _module(n))
    methods = sorted(n for n in dir(cupy.ndarray) if not n.startswith("_") and hasattr(numpy.ndarray, n))
    below = [f"{module}.{name}" for module, items in BELOW.items() for name in items]
    return list(dict.fromkeys((*OWN, *shared, *(f"ndarray.{n}" for n in (*methods, *METHODS)), *below)))


def _module(name: str) -> bool:
    return inspect.ismodule(getattr(cupy, name))


def signature(name: str) -> Signature | None:
    """What a call takes: by Python's signature, a ufunc's counts, or the first line of Cython's docstring."""
    if name in WRITTEN:
        parameters = WRITTEN[name]
        return None if parameters is None else _from_text(parameters)
    if name.startswith("cublas."):
        return _from_source(Path(cupy.__file__).with_name("cublas.py"), name.partition(".")[2])
    value: Any = cupy
    for part in name.split("."):
        value = getattr(value, part)
    if isinstance(value, cupy.ufunc):
        inputs = [Parameter(f"x{k + 1}", Parameter.POSITIONAL_ONLY) for k in range(value.nin)]
        out = Parameter("out", Parameter.POSITIONAL_OR_KEYWORD, default=None)
        rest = [Parameter(n, Parameter.KEYWORD_ONLY, default=None) for n in ("casting", "dtype")]
        return Signature([*inputs, out, *rest])
    if isinstance(value, type) and issubclass(value, numpy.generic | numpy.dtype):
        return None
    called = "__init__" if name == "ndarray" else name.split(".")[-1]
    written = re.search(rf"\b{called}\((.*)\)", (value.__doc__ or "").strip().split("\n")[0])
    try:
        if written and isinstance(value, type):
            return _from_text(written[1])
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return _from_text(written[1].replace("\\", "")) if written and callable(value) else None
    return Signature([p.replace(annotation=Parameter.empty) for n, p in found.parameters.items() if n != "self"])


def _from_text(text: str) -> Signature:
    """A Cython signature, ``str code=None, *, tuple options=()``."""
    found: list[Parameter] = []
    kind: Any = Parameter.POSITIONAL_OR_KEYWORD
    for part in re.split(r", (?![^()]*\))", text):
        name, optional, _ = part.partition("=")
        word = name.split(" ")[-1]
        if word == "/":
            found = [p.replace(kind=Parameter.POSITIONAL_ONLY) for p in found]
        elif word.startswith("**"):
            found.append(Parameter(word[2:], Parameter.VAR_KEYWORD))
        elif word.startswith("*"):
            kind = Parameter.KEYWORD_ONLY
            found += [Parameter(word[1:], Parameter.VAR_POSITIONAL)] if word[1:] else []
        elif word not in ("self", ""):
            found.append(Parameter(word, kind, default=None if optional else Parameter.empty))
    return Signature(found)


def _from_source(path: Path, name: str) -> Signature:
    """The signature of a function in a module that needs CUDA's libraries to be imported."""
    (found,) = (d for d in ast.parse(path.read_text()).body if isinstance(d, ast.FunctionDef) and d.name == name)
    return _from_text(ast.unparse(found.args))


def lines() -> list[str]:
    """The record."""
    return [text(name, signature(name)) for name in names()]


if __name__ == "__main__":
    print(f"# CuPy {cupy.__version__}")
    print("\n".join(lines()))
