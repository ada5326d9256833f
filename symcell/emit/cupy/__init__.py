"""Plan → CuPy source: one CUDA kernel per fused stage, cuBLAS through CuPy for the products."""

from __future__ import annotations

from symcell.emit.cupy.launch import STRATEGIES, Cupy
from symcell.emit.cupy.source import functions, kernels_of, launches
from symcell.emit.python.module import render
from symcell.program.model import Plan, Profile

PROFILE = Profile("cupy", registers=True, on_chip=True)
__all__ = ["PROFILE", "STRATEGIES", "cuda_source", "emit"]


def emit(plan: Plan) -> str:
    """The source of the cell's CuPy module."""
    return render(plan, Cupy(plan))


def cuda_source(plan: Plan) -> str:
    """The CUDA C of the module's kernels, without the line that defines ``real``."""
    kernels = kernels_of(plan.programs.values())
    return functions(kernels) + launches(kernels)
