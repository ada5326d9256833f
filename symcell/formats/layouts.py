"""What a recurrent layer of another library is: its equations, and how its arrays are made of their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from symcell.cell import Cell, Shape
from symcell.language import parse

Option = str | int | bool | tuple[str, ...]


@dataclass(frozen=True)
class Stack:
    """How one array is made of the equations' parameters.

    ``blocks``: the names that are joined, along the first axis; several blocks (``several``) are set along a new first
    axis. ``transposed``: every matrix is transposed, and they are joined side by side. What a name stands for is the
    sum of all its places; writing puts it in the first one, and zero in the others.
    """

    blocks: tuple[tuple[str, ...], ...]
    several: bool = False
    transposed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names in order, as often as they occur."""
        return tuple(name for block in self.blocks for name in block)


@dataclass(frozen=True)
class ForeignModule:
    """A layer of another library with one direction.

    ``shipped``: the cell of the same equations that comes with symcell. ``equations``: in the cell language.
    ``arrays``: by the library's own names, in its order. ``states``: in the order in which it takes them. ``sizes``:
    what its arguments call the equations' sizes. ``options``: the arguments under which these are its equations.
    ``optional``: arrays that are missing where an argument is false; their names are zero then.
    """

    library: str
    name: str
    shipped: str
    equations: str
    arrays: Mapping[str, Stack]
    states: tuple[str, ...]
    sizes: Mapping[str, str]
    options: Mapping[str, Option]
    optional: Mapping[str, tuple[str, ...]]

    @cached_property
    def cell(self) -> Cell:
        """The equations, read."""
        return parse(self.equations, name=self.name)

    @property
    def title(self) -> str:
        """Its name and options as they are written in a call: ``torch RNN(nonlinearity='relu')``."""
        options = ", ".join(f"{k}={v!r}" for k, v in self.options.items())
        return f"{self.library} {self.name}({options})" if options else f"{self.library} {self.name}"

    @property
    def missing(self) -> frozenset[str]:
        """The arrays that may be missing."""
        return frozenset(name for names in self.optional.values() for name in names)

    @property
    def unread(self) -> frozenset[str]:
        """The parameters that are zero where those arrays are missing."""
        kept = {n for name, stack in self.arrays.items() if name not in self.missing for n in stack.names}
        return frozenset(self.cell.parameters.keys() - kept)

    def shape(self, name: str) -> Shape:
        return self.cell.parameters[name].shape

    def expects(self, array: str) -> str:
        """The shape of an array in words: ``4*H×D``."""
        stack = self.arrays[array]
        rows, *columns = (str(size) for size in self.shape(stack.names[0]))
        count = len(stack.blocks[0])
        long = rows if count == 1 else f"{count}*{rows}"
        axes = [*columns, long] if stack.transposed else [long, *columns]
        return "×".join([str(len(stack.blocks)), *axes] if stack.several else axes)


@dataclass(frozen=True)
class Library:
    """A library's layers. ``array``: what an array of one layer and direction is called, of {array}, {layer} and
    {direction}, one of ``directions``; ``{array}`` where layers hold their own. ``together``: both directions of a
    layer are in one array, along a first axis more."""

    name: str
    modules: tuple[ForeignModule, ...]
    array: str = "{array}"
    directions: tuple[str, ...] = ("",)
    together: bool = False

    def called(self, array: str, layer: int, direction: int) -> str:
        return self.array.format(array=array, layer=layer, direction=self.directions[direction])

    def module(self, name: str, options: Mapping[str, object]) -> ForeignModule:
        """The layer of this name under these options (others are ignored, but that an argument which names a size must
        not be 0). Raises ValueError where there is none."""
        of_name = [m for m in self.modules if m.name == name]
        for found in of_name:
            set_so = all(_says(options.get(k, v), v) for k, v in found.options.items())
            if set_so and all(options.get(k, 1) for k in found.sizes):
                return found
        if not of_name:
            known = ", ".join(dict.fromkeys(m.name for m in self.modules))
            raise ValueError(f"{self.name} {name}: expected one of {known}")
        asked = {k: options[k] for m in of_name for k in m.options if k in options}
        known = "; ".join(m.title for m in of_name)
        raise ValueError(
            f"{self.name} {name} with {asked}: no equations are known for these options; known are {known}"
        )


def _says(given: object, wanted: Option) -> bool:
    """Whether an argument has this value; one that is given for each of two directions, for both."""
    if isinstance(wanted, tuple) and isinstance(given, list | tuple):
        return tuple(given) in (wanted, wanted * 2)
    return given == wanted
