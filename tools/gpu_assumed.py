"""What the predictions of docs/gpu.md assume, and what a step's time is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpu_predicted import AT, plan_of
from markdown_table import table

from symcell.predict import ASSUMPTIONS, CONSTANTS, device, parts, values

LOOPS = {"forward": "forward_steps", "backward": "backward_steps"}
DTYPES = ("float32", "float16")


def assumed() -> str:
    found = values(plan_of("lstm"), device("h100"))
    constants = [(f"`{name}`", c.text, _value(found[name]), c.source) for name, c in CONSTANTS.items()]
    besides = [(text.text, f"{text.value:g}") for text in ASSUMPTIONS.values()]
    return f"""## What predictions assume

Of a step in one launch: the module's own constants, which stand in it with what they mean. Those of launches and graphs
stand beside them.

{table(("", "what it is", "value", "where from"), constants)}

What a step of an LSTM is made of by them on an H100, B = {AT["B"]}, H = {AT["H"]}, µs:

{table(("", *(f"{dtype}, {role}" for dtype in DTYPES for role in LOOPS)), list(_steps()))}

Of what runs over the whole sequence:

{table(("", "value"), besides)}"""


def _value(value: Any) -> str:
    return " / ".join(f"{v:g}" for v in value.values()) if isinstance(value, dict) else f"{value:g}"


def _steps() -> Iterator[tuple[str, ...]]:
    """A row for each constant that counts, and their sums."""
    plan = plan_of("lstm")
    sizes = dict.fromkeys(plan.cell.sizes, AT["H"])
    found = [parts(plan, device("h100"), loop, sizes, batch=AT["B"], dtype=dtype)
             for dtype in DTYPES for loop in LOOPS.values()]  # fmt: skip
    for name in CONSTANTS:
        if any(name in column for column in found):
            yield (f"`{name}`", *(f"{column[name]:.2f}" if name in column else "" for column in found))
    yield ("together", *(f"{sum(column.values()):.2f}" for column in found))
