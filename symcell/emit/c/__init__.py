"""Plan → C source inside a Python module: whole loops over time in C, compiled when they are first needed."""

from __future__ import annotations

from symcell.emit.c.launch import C
from symcell.emit.python.module import render
from symcell.program.model import Plan, Profile

PROFILE = Profile("c", registers=True, paced=True, adds=True, stretches=True, packs=True, wide=True)


def emit(plan: Plan) -> str:
    """The source of the cell's C module, which is Python around C."""
    return render(plan, C(plan))
