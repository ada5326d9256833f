"""Every cell that is shipped or tries a feature, planned for every target: each once."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from feature_cells import FEATURES

import symcell
from symcell.cell import Cell
from symcell.pipeline import TARGETS, plan
from symcell.program.model import Plan

CELLS = [*symcell.names(), *FEATURES]
PLANS = [(name, target) for name in CELLS for target in TARGETS]


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
