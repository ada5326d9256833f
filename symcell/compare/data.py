"""A comparison as what JSON can hold."""

from __future__ import annotations

from typing import Any

from symcell.compare.model import Comparison, Profile, Shown
from symcell.derivation.breaking import unmarked
from symcell.program.report import NOMINAL

Data = dict[str, Any]


def data(comparison: Comparison) -> Data:
    """The keys are those of the classes in :mod:`symcell.compare.model`; what is not known is null."""
    work = comparison.work
    size = None if work is None else {k: getattr(work, k) for k in ("target", "steps", "batch", "inputs", "hidden")}
    return {
        "target": comparison.target,
        "at": NOMINAL,
        "cells": list(map(_profile, comparison.profiles)),
        "measured": size,
        "notes": list(comparison.notes),
    }


def _profile(profile: Profile) -> Data:
    cell, measured = profile.cell, profile.measured
    return {
        "name": cell.name,
        "title": cell.title,
        "equations": [{"left": _math(e.left), "right": _math(e.right), "label": e.label} for e in profile.equations],
        "inputs": {name: [s.plain() for s in shape] for name, shape in cell.inputs.items()},
        "states": {name: {"shape": [s.plain() for s in cell.shape_of(name)], "lags": lags}
                   for name, lags in cell.states.items()},
        "output": cell.output,
        "gates": [{"name": g.name or None, "factor": _math(g.factor), "gated": _math(g.gated), "signal": g.signal}
                  for g in profile.gates],
        "paths": [{"target": _math(p.target), "source": _math(p.source), "kind": p.kind,
                   "factor": None if p.factor is None else _math(p.factor), "matrices": list(p.matrices)}
                  for p in profile.paths],
        "costs": {what: {"formula": str(amount), "value": profile.cost(what)}
                  for what, amount in profile.costs.items()},
        "measured": None if measured is None else {"seconds": measured.seconds, "bytes": measured.memory},
    }  # fmt: skip


def _math(shown: Shown) -> Data:
    return {"text": unmarked(shown.text), "latex": shown.tex}
