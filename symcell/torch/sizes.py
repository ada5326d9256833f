"""A cell's named sizes from what PyTorch's modules are given: ``input_size``, ``hidden_size``, and others by name."""

from __future__ import annotations

from collections.abc import Mapping

from symcell.cell import Cell


def main_input(cell: Cell) -> str:
    """The input that a layer's predecessor feeds: ``x`` if there is one, else the first."""
    if not cell.inputs:
        raise ValueError(f"{cell.name}: expected a cell with an input, and it has none")
    return "x" if "x" in cell.inputs else next(iter(cell.inputs))


def named_sizes(cell: Cell, input_size: int, hidden_size: int, others: Mapping[str, int]) -> dict[str, int]:
    """All sizes of the cell in numbers.

    Raises TypeError for a size that is missing or that the cell does not have, ValueError for numbers that contradict
    each other or the cell.
    """
    main = main_input(cell)
    found: dict[str, int] = {}
    given = [("input_size", input_size, cell.inputs[main][-1]), ("hidden_size", hidden_size, cell.spread)]
    for _, number, size in given:
        if size.plain() in cell.sizes:
            name = str(size)
            if found.setdefault(name, number) != number:
                raise ValueError(
                    f"{cell.name}: input_size and hidden_size are one size {name} of this cell, "
                    f"got {found[name]} and {number}"
                )
    for name, number in others.items():
        if name not in cell.sizes:
            raise TypeError(f"{name!r}: no argument, and no size of {cell.name}, which has {', '.join(cell.sizes)}")
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name}: expected a positive integer, got {number!r}")
        if found.setdefault(name, number) != number:
            known = f"{name} is {found[name]} by input_size or hidden_size"
            raise ValueError(f"{cell.name}: expected no other {name}, as {known}, got {number}")
    missing = [name for name in cell.sizes if name not in found]
    if missing:
        raise TypeError(f"{cell.name}: expected its size{'s'[: len(missing) > 1]} {', '.join(missing)} by name, too")
    for argument, number, size in given:
        if size.value(found) != number:
            raise ValueError(f"{cell.name}: expected {argument} = {size.value(found)} ({size}), got {number}")
    return found
