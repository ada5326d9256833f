"""Every cell that is shipped or tries a feature, planned for every target: each once."""

from __future__ import annotations

from functools import cache
from importlib import import_module

import pytest
from feature_cells import FEATURES
from sampled import SAMPLE

import symcell
from symcell.cell import Cell
from symcell.pipeline import TARGETS, plan
from symcell.program.model import Plan

CELLS = [*symcell.names(), *FEATURES]
PLANS = [(name, target) for name in CELLS for target in TARGETS]
SOME_PLANS = [
    pytest.param(*pair, marks=() if pair[0] in (*SAMPLE, *FEATURES) else pytest.mark.whole) for pair in PLANS
]
"""As parameters of a test: of the shipped cells the sample, the others with ``--whole``."""


@cache
def cell(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


@cache
def planned(name: str, target: str) -> Plan:
    return plan(cell(name), target)


@cache
def emitted(name: str, target: str) -> str:
    text: str = import_module(f"symcell.emit.{target}").emit(planned(name, target))
    return text
