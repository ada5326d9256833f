"""What a change of a cell changes: equations, gradients, parameters, costs and kernels.

Both cells are brought under one set of names first (:mod:`symcell.diff.pairing`, :mod:`symcell.diff.renamed`), so that
a renamed gate is no change; what is derived of each is then compared formula by formula.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from symcell.cell import Cell
from symcell.diff.costs import costs, stages
from symcell.diff.facts import facts, notes
from symcell.diff.formulas import equations, gradients
from symcell.diff.model import Both, Costs, Difference, Fact, Formulas, Shown, Stage, Stages, Verdict
from symcell.diff.pairing import Pairs, kinds, pairs
from symcell.diff.renamed import renamed
from symcell.equivalence import Equivalence, compare
from symcell.fresh import Names
from symcell.language import as_cell
from symcell.pipeline import TARGETS, derive, emitter, plans

__all__ = ["Both", "Costs", "Difference", "Fact", "Formulas", "Shown", "Stage", "Stages", "diff"]


def diff(old: Cell | str | Path, new: Cell | str | Path, *, targets: Sequence[str] = TARGETS) -> Difference:
    """What is different about ``new``; ``print`` shows it, ``same`` says whether anything is.

    ``targets``: those whose costs and stages are compared. Raises CellError for what is no cell, ValueError for an
    unknown target.
    """
    old, new = as_cell(old), as_cell(new)
    for target in targets:
        emitter(target)
    if old.name == new.name:
        new = replace(new, name=f"{new.name} (new)")
    proof = compare(new, old)
    chosen = _pairs(old, new, proof if isinstance(proof, Equivalence) else None)
    there = _under_old_names(new, chosen)
    changed, differing = equations(old, there), facts(old, there)
    same = not changed.changes and not differing
    verdict: Verdict = (
        ("renamed" if chosen.renamed else "equal") if same
        else "rewritten" if isinstance(proof, Equivalence) else "different"
    )  # fmt: skip
    reason = str(compare(old, new)) if verdict == "different" else ""
    found = Difference(old, new, verdict, reason, chosen.renamed, changed, (), differing, (), (), notes(old, there))
    if same:
        return found  # what is made of the same equations is the same
    before, after = (plans(cell, targets) for cell in (old, there))
    return replace(
        found,
        gradients=gradients((old, derive(old)), (there, derive(there))),
        costs=costs((old, before), (there, after)),
        stages=stages(before, after),
    )


def _pairs(old: Cell, new: Cell, proof: Equivalence | None) -> Pairs:
    """Names as they are read off the equations; or those of a proof, where fewer equations differ then."""
    found = pairs(old, new)
    if proof is None:
        return found
    proved = Pairs({n: there for n, there in proof.names.items() if n in kinds(new)}, proof.sizes)
    return min((found, proved), key=lambda p: len(equations(old, _under_old_names(new, p)).changes))


def _under_old_names(new: Cell, chosen: Pairs) -> Cell:
    """The new cell in the old one's names; a name that is in the way gets another."""
    return renamed(new, _cleared(chosen.names, kinds(new)), _cleared(chosen.sizes, new.sizes))


def _cleared(names: Mapping[str, str], known: Mapping[str, str] | tuple[str, ...]) -> dict[str, str]:
    taken = Names((*names.values(), *known))
    return {n: names[n] if n in names else taken.fresh(n) if n in names.values() else n for n in known}
