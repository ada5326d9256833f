"""PyTorch's own modules as witnesses: a cell is recognised by its equations alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from symcell import formats
from symcell.cell import Cell
from symcell.formats import Known
from symcell.verify.case import Case, Result
from symcell.verify.pytorch import Leaves
from symcell.verify.torch_loop import Tensor


def recognise(cell: Cell) -> Known | None:
    """The module of torch.nn that computes this cell; None if none does."""
    return formats.recognise(cell, "torch")


def run(cell: Cell, case: Case, known: Known) -> Result:
    """A case (without ``lengths``) through PyTorch's own module."""
    import torch

    leaves = Leaves(cell, case)
    (x,) = leaves.x.values()
    net = module(known, case.sizes, torch.float64)
    y, end = torch.func.functional_call(net, stacked(leaves.params, known), (x, start(leaves.state, known)))
    ends = end if len(known.states) > 1 else (end,)
    return leaves.result(case, y, dict(zip(known.states, ends, strict=True)))


def module(known: Known, sizes: Mapping[str, int], dtype: Tensor) -> Tensor:
    """PyTorch's module at these sizes of the cell, its parameters random."""
    import torch

    lengths = {argument: sizes[size] for argument, size in known.sizes.items()}
    switches = {option: False for option, arrays in known.module.optional.items() if known.left_out & {*arrays}}
    options: dict[str, Any] = {**known.module.options, **lengths, **switches}
    return getattr(torch.nn, known.module.name)(dtype=dtype, **options)


def stacked(params: Mapping[str, Tensor], known: Known) -> dict[str, Tensor]:
    """The module's parameters by its own names, from the cell's."""
    library = formats.library("torch")
    return {library.called(name, 0, 0): array for name, array in known.from_cell(params).items()}


def start(state: Mapping[str, Tensor], known: Known) -> Tensor:
    """States (1, B, n) by name as the module takes them."""
    several = tuple(state[name] for name in known.states)
    return several if len(several) > 1 else several[0]


def gradients(net: Tensor, known: Known) -> dict[str, Tensor]:
    """The gradients that a module has collected, by the cell's names; all terms of a sum have the same."""
    library = formats.library("torch")
    arrays = [name for name in known.module.arrays if name not in known.left_out]
    held = {name: getattr(net, library.called(name, 0, 0)).grad for name in arrays}
    found = known.equal.to_other({name: places[0] for name, places in formats.pieces(known.module, held).items()})
    return found | {name: found[first] for first, several in known.equal.sums[1].items() for name in several}
