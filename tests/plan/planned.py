"""Cells planned halfway: the schedules of both sweeps, before anything has a place."""

from __future__ import annotations

import functools

from feature_cells import FEATURES

import symcell
from symcell.cell import Cell
from symcell.pipeline import graphs
from symcell.plan.normal import hoisted, normal
from symcell.plan.schedule import schedule
from symcell.plan.stages import Schedule
from symcell.plan.stash import stash, with_recomputation

CELLS = (*symcell.names(), *FEATURES)


def load(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


@functools.cache
def sweeps(name: str) -> tuple[Schedule, Schedule]:
    graph, derived = graphs(load(name))
    recomputing, again = with_recomputation(derived, stash(derived))
    return schedule(hoisted(normal(graph))), schedule(normal(recomputing), again)
