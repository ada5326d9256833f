"""Plan → CuPy source: one CUDA kernel per fused stage, cuBLAS through CuPy for the products."""

from __future__ import annotations

from symcell.emit.cupy.launch import Cupy
from symcell.emit.cupy.source import kernels_of, source
from symcell.emit.python.module import render
from symcell.program.model import Plan, Profile

PROFILE = Profile("cupy", registers=True)


def emit(plan: Plan) -> str:
    """The source of the cell's CuPy module."""
    return render(plan, Cupy(plan))


def cuda_source(plan: Plan) -> str:
    """The CUDA C of the module's kernels, without the line that defines ``real``."""
    return source(kernels_of(plan.programs.values()))
