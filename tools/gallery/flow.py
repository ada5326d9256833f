"""What a cell's gradient does over time, at its initial parameters: a picture, and what the derivation says of it."""

from __future__ import annotations

import base64

from markup import raw, table, text
from mathml import mathml

from symcell.cell import Cell
from symcell.flow import Stage, flow as study
from symcell.flow.plots import pictures

STEPS, UNITS = 100, 32


def section(cell: Cell) -> list[str]:
    """Nothing for a cell whose states are inputs of earlier steps alone."""
    if not any(state in cell.signals for state in cell.states):
        return []
    if cell.arrays:
        files = f"with `symcell flow {cell.name} --params FILE`"
        return ["## Gradient flow\n\n", f"Its constant arrays are the caller's, so it is looked at {files}.\n\n"]
    matrices = any(len(cell.shape_of(state)) > 1 for state in cell.states)
    sizes = {"H": UNITS} if "H" in cell.sizes and not matrices else None
    report = study([cell], steps=STEPS, sizes=sizes, sweeps=False)
    (found,) = report.cells
    (stage,) = found.stages
    drawn = next(content for name, content in pictures(report) if name == "gradients.svg")
    at = ", ".join(f"{name} = {value}" for name, value in found.sizes.items())
    image = f'<img alt="{text(_said(stage))}" src="data:image/svg+xml;base64,{base64.b64encode(drawn).decode()}">'
    return [
        "## Gradient flow\n\n",
        raw(f'<figure class="flow">{image}<figcaption>{text(_said(stage))} ({text(at)})</figcaption></figure>'),
        *([raw(_claims(stage))] if stage.claims else []),
        f"`symcell flow {cell.name}` has more: singular values, gains and biases, parameters of yours.\n\n",
    ]


def _said(stage: Stage) -> str:
    left = "stays above 1 % of its largest for all steps" if stage.memory is None else (
        f"falls below 1 % of its largest after {stage.memory} steps")  # fmt: skip
    return f"Initial parameters, random inputs: over {STEPS} steps back, the gradient of the loss by the state {left}"


def _claims(stage: Stage) -> str:
    """Each state's own way through a step, and both rates."""
    heads = ("state", "its own way through a step", "which is", "predicted a step", "measured")
    rows = [
        [mathml(claim.state), mathml(claim.tex, True), text(claim.word), f"{claim.rate:.3f}", f"{claim.measured:.3f}"]
        for claim in stage.claims
    ]
    return table(heads, rows, numbers=(3, 4))
