"""Arrays of a foreign layer as the parameters of its equations, and back: slices, transposes and joins alone.

All of it works on NumPy arrays and on PyTorch tensors (through which gradients then flow), and copies: nothing that is
returned is a view. What goes from names to arrays and back comes back bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from symcell.arrays import Array, join, total, zeros
from symcell.formats.layouts import ForeignModule, Stack


def named(module: ForeignModule, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The parameters of a layer's equations; what has several places is their sum, what has none here is zero.

    Raises ValueError for an array that is missing, unknown or of a wrong shape.
    """
    sizes = sizes_of(module, arrays)
    found = pieces(module, arrays)
    like = next(iter(arrays.values()))
    return {
        name: total(found[name]) if name in found else zeros(tuple(n.value(sizes) for n in p.shape), like)
        for name, p in module.cell.parameters.items()
    }


def stacked(module: ForeignModule, params: Mapping[str, Array], leave_out: Iterable[str] = ()) -> dict[str, Array]:
    """A layer's arrays from the parameters of its equations, but those called in ``leave_out``. What has several places
    goes to the first; KeyError where one is missing."""
    placed: set[str] = set()
    left = set(leave_out)
    return {
        array: _set(stack, params, placed) for array, stack in module.arrays.items() if array not in left
    }  # fmt: skip


def pieces(module: ForeignModule, arrays: Mapping[str, Array]) -> dict[str, list[Array]]:
    """What stands in each of a parameter's places, as views, those in missing arrays left out."""
    found: dict[str, list[Array]] = {}
    for array, stack in module.arrays.items():
        if array in arrays:
            for name, piece in zip(stack.names, _cut(stack, arrays[array]), strict=True):
                found.setdefault(name, []).append(piece)
    return found


def sizes_of(module: ForeignModule, arrays: Mapping[str, Array]) -> dict[str, int]:
    """The equations' sizes, from arrays. Raises ValueError for arrays that are missing, unknown or do not fit."""
    if missing := module.arrays.keys() - module.missing - arrays.keys():
        raise ValueError(f"{module.title}: {', '.join(sorted(missing))}: missing; it has {', '.join(module.arrays)}")
    if unknown := arrays.keys() - module.arrays.keys():
        raise ValueError(f"{module.title}: {', '.join(sorted(unknown))}: unknown; it has {', '.join(module.arrays)}")
    sizes: dict[str, int] = {}
    for array, value in arrays.items():
        stack = module.arrays[array]
        came = tuple(map(int, value.shape))
        shape = _part_shape(stack, came, len(module.shape(stack.names[0])))
        for size, length in zip(module.shape(stack.names[0]), shape or (), strict=shape is not None):
            if sizes.setdefault(str(size), length) != length:
                shape = None
        if shape is None:
            known = "".join(f", {k} = {v}" for k, v in sizes.items())
            got = "×".join(map(str, came)) or "a number"
            raise ValueError(f"{module.title}: {array}: expected {module.expects(array)}{known}; got {got}")
    return sizes


def _part_shape(stack: Stack, shape: tuple[int, ...], rank: int) -> tuple[int, ...] | None:
    """The shape of each part of an array; None where it cannot be cut."""
    if stack.several:
        if not shape or shape[0] != len(stack.blocks):
            return None
        shape = shape[1:]
    if stack.transposed:
        shape = shape[::-1]
    count = len(stack.blocks[0])
    if len(shape) != rank or shape[0] % count:
        return None
    return (shape[0] // count, *shape[1:])


def _cut(stack: Stack, array: Array) -> list[Array]:
    blocks = [array[k] for k in range(len(stack.blocks))] if stack.several else [array]
    found = []
    for block in blocks:
        block = block.T if stack.transposed else block
        rows = block.shape[0] // len(stack.blocks[0])
        found += [block[k * rows : (k + 1) * rows] for k in range(len(stack.blocks[0]))]
    return found


def _set(stack: Stack, params: Mapping[str, Array], placed: set[str]) -> Array:
    blocks = []
    for block in stack.blocks:
        parts = []
        for name in block:
            value = params[name]
            value = zeros(tuple(value.shape), value) if name in placed else value
            placed.add(name)
            parts.append(value.T if stack.transposed else value)
        blocks.append(join(parts, 1 if stack.transposed else 0))
    return join([b[None] for b in blocks], 0) if stack.several else blocks[0]
