"""A difference as what JSON can hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from symcell.diff.model import Both, Costs, Difference, Fact, Formulas, Shown, Stage, Stages
from symcell.program.report import NOMINAL

_V = TypeVar("_V")
Data = dict[str, Any]


def data(difference: Difference) -> Data:
    """The keys are those of the classes in :mod:`symcell.diff.model`; a side that is missing is null."""
    return {
        "old": difference.old.name,
        "new": difference.new.name,
        "same": difference.same,
        "verdict": difference.verdict,
        "reason": difference.reason,
        "names": dict(difference.names),
        "equations": _formulas(difference.equations),
        "facts": list(map(_fact, difference.facts)),
        "gradients": list(map(_formulas, difference.gradients)),
        "costs": {"at": NOMINAL, "amounts": list(map(_cost, difference.costs))},
        "stages": list(map(_stages, difference.stages)),
        "notes": list(map(_fact, difference.notes)),
    }


def _sides(both: Both[_V], shown: Callable[[_V], Any]) -> Data:
    sides = {name: None if side is None else shown(side) for name, side in (("old", both.old), ("new", both.new))}
    return {"kind": both.kind, **sides}


def _formulas(formulas: Formulas) -> Data:
    changes = [_sides(both, _shown) for both in formulas.changes]
    return {"title": formulas.title, "unchanged": formulas.unchanged, "changes": changes}


def _shown(shown: Shown) -> Data:
    return {"number": shown.number, "text": shown.plain, "latex": shown.tex}


def _fact(fact: Fact) -> Data:
    return {"what": fact.what, "name": fact.name, **_sides(fact.texts, str)}


def _cost(cost: Costs) -> Data:
    formulas = _sides(cost.amounts, str)
    old, new = cost.numbers()
    values = {"old": None if cost.amounts.old is None else old, "new": None if cost.amounts.new is None else new}
    kind = formulas.pop("kind") if cost.changed else "unchanged"
    formulas.pop("kind", None)
    return {"what": cost.what, "targets": list(cost.targets), "kind": kind, "formula": formulas, "value": values}


def _stages(stages: Stages) -> Data:
    changes = [_sides(both, _stage) for both in stages.changes]
    return {"target": stages.target, "unchanged": stages.unchanged, "changes": changes}


def _stage(stage: Stage) -> Data:
    return {"sweep": stage.sweep, "where": stage.where, "kind": stage.kind, "made": dict(stage.made)}
