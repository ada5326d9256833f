"""What a step's predicted time is made of, and where each of the rule's constants is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from symcell import emulate
from symcell.pipeline import emitter
from symcell.predict.devices import Device
from symcell.program.model import Plan


@dataclass(frozen=True)
class Constant:
    """One of a module's: what it says of a step, where that is from, and the value with which it takes no time."""

    text: str
    source: str
    none: Any


_FITTED = "fitted to float32 steps on an H100"
CONSTANTS: Mapping[str, Constant] = {
    "MEETING": Constant("µs of a meeting of blocks, by how they wait", _FITTED, {"": 0, "cluster": 0, "grid": 0}),
    "PASS": Constant("µs of threads once over their units", _FITTED, 0),
    "PHASE": Constant("µs of a phase of a row", _FITTED, 0),
    "PRODUCT": Constant("µs of a product without matrix units, whatever its size", _FITTED, 0),
    "UNIT_PRODUCT": Constant(
        "µs of a product on matrix units, whatever its size",
        "assumed: what fits float32 steps of one sample, whose operand is read in one round too", 0),
    "MULTIPLIED": Constant("numbers that a multiprocessor multiplies in a µs", _FITTED, float("inf")),
    "UNIT_RATE": Constant("times as many of TF32 on matrix units, and twice that of 16 bits",
                          "assumed: a fifth of what an H100's can", None),
    "CACHE": Constant("bytes in a µs that all blocks read of an operand", _FITTED, float("inf")),
    "UNIT_CACHE": Constant("the same for matrix units", "measured on an H100: all blocks read 64 KB", float("inf")),
    "UNMEASURED": Constant("times as long where registers hold weights without matrix units", "assumed", None),
}  # fmt: skip


def parts(
    plan: Plan, device: Device, loop: str, sizes: Mapping[str, int], *, batch: int, dtype: str
) -> dict[str, float]:
    """Microseconds of a step of a ``loop`` by each constant that it depends on, for ``batch`` B samples, where the
    module would run it in one launch; nothing where it would not. They add up to what is predicted."""
    # a module of its own, whose constants may change
    module = emulate.load(emitter("cupy").emit(plan), plan.cell.name, device=device.stand_in())
    work = module._work(loop, sizes)
    shares = module._shares("auto", work, batch, dtype, 0)
    if shares is None or shares.waits == "graph":
        return {}
    major, minor = device.capability
    unit = module._unit(dtype, False, 10 * major + minor) if work.products else ""

    def expected() -> float:
        return float(module._expected(shares, work, batch, unit, module.ITEMSIZES[dtype]))

    found = {}
    for name, constant in CONSTANTS.items():
        if constant.none is not None:
            value, whole = getattr(module, name), expected()
            setattr(module, name, constant.none)
            found[name] = whole - expected()
            setattr(module, name, value)
    return {name: part for name, part in found.items() if part}


def values(plan: Plan, device: Device) -> dict[str, Any]:
    """Each constant's value."""
    module = emulate.load(emitter("cupy").emit(plan), plan.cell.name, device=device.stand_in())
    return {name: getattr(module, name) for name in CONSTANTS}
