"""What values and buffers count for when the planner compares them, before any size is known."""

from __future__ import annotations

from symcell.cell import Shape, units

NOMINAL_UNITS = 256
"""What a named size counts for."""


def price(shape: Shape) -> int:
    """How much a value of this shape takes, in nominal numbers per sample and step."""
    size = units(shape)
    return size.value(dict.fromkeys(size.names, NOMINAL_UNITS))
