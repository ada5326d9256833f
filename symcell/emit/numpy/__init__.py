"""Plan → NumPy source: ufuncs with ``out=`` on stacked gates, one BLAS call per stacked product."""

from __future__ import annotations

from symcell.emit.numpy.kernels import Numpy
from symcell.emit.python.module import render
from symcell.program.model import Plan, Profile

PROFILE = Profile("numpy", registers=False, wide=True)


def emit(plan: Plan) -> str:
    """The source of the cell's NumPy module."""
    return render(plan, Numpy())
