"""A derivation as data: sections of blocks, free of any language and any form.

What is said is :class:`Words`, a key of a catalogue (``prose/en.toml``, ``prose/ko.toml``) with what fills its braces;
mathematics is SymPy expressions over :mod:`symcell.derivation.nodes`; a form (:mod:`symcell.derivation.forms`) puts
both on paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal as OneOf, TypeAlias

from sympy import Expr

from symcell.derivation.figures.model import StepGraph
from symcell.derivation.kernels import Listing

# what is said


@dataclass(frozen=True)
class Ref:
    """The numbers of formulas: ``(3), (5)-(8)``."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Literal:
    """The user's own text: it comes out as it stands, whatever it would mean to the form."""

    text: str


@dataclass(frozen=True, eq=False)
class Words:
    """One entry of the catalogue; ``values`` fill its ``{braces}``."""

    key: str
    values: Mapping[str, Value] = field(default_factory=dict)


Value: TypeAlias = "Expr | Ref | Literal | Words | tuple[Value, ...]"
"""What may fill a brace: mathematics, numbers of formulas, the user's text, other words; several are a list."""


def say(key: str, **values: Value) -> Words:
    """``Words`` with its values by name."""
    return Words(key, values)


# formulas


@dataclass(frozen=True)
class Condition:
    """Where a formula holds: ``last`` (the last ``depth`` steps), ``inner`` (all steps before these) or ``first`` (as
    many states before the first)."""

    end: str
    depth: int


@dataclass(frozen=True, eq=False)
class Formula:
    """``left = via[0] = … = right``, with its number.

    ``label``: the user's; ``note``: the derivation's remark beside it; ``cites``: the numbers of those it came from;
    ``condition``: for which steps it holds, where not for all; ``detail``: a brief derivation leaves it out; ``key``:
    what it says, such as ``("delta", "h")``.
    """

    number: int
    left: Expr
    right: Expr
    via: tuple[Expr, ...] = ()
    label: str = ""
    note: Words | None = None
    cites: tuple[int, ...] = ()
    condition: Condition | None = None
    detail: bool = False
    key: tuple[str, ...] = ()


# blocks


@dataclass(frozen=True, eq=False)
class Paragraph:
    """``detail``: a brief derivation leaves it out."""

    words: Words
    detail: bool = False


@dataclass(frozen=True)
class Quoted:
    """A paragraph of the user's own text."""

    text: str


@dataclass(frozen=True, eq=False)
class Display:
    """Formulas one below the other, aligned at their equals signs."""

    formulas: tuple[Formula, ...]


@dataclass(frozen=True, eq=False)
class Meaning:
    """Names of one kind: their meaning (the user's label, or words) and shape; ``varying`` ones are read at t."""

    names: tuple[str, ...]
    shape: tuple[Expr, ...]
    varying: bool
    meaning: Words | Literal | None = None


@dataclass(frozen=True, eq=False)
class Symbols:
    """The table of symbols."""

    rows: tuple[Meaning, ...]


@dataclass(frozen=True, eq=False)
class Figure:
    """``step``: the graph of one step; ``unrolled``: three steps beside each other."""

    kind: OneOf["step", "unrolled"]
    graph: StepGraph
    caption: Words


@dataclass(frozen=True, eq=False)
class Do:
    """One line of an algorithm."""

    words: Words


@dataclass(frozen=True, eq=False)
class Loop:
    """``for …:`` and the lines inside."""

    head: Words
    body: tuple[Do | Loop, ...]


@dataclass(frozen=True, eq=False)
class Algorithm:
    title: Words
    lines: tuple[Do | Loop, ...]


@dataclass(frozen=True, eq=False)
class Table:
    head: tuple[Words, ...]
    rows: tuple[tuple[Value, ...], ...]


Block: TypeAlias = Paragraph | Quoted | Display | Symbols | Figure | Algorithm | Table


@dataclass(frozen=True, eq=False)
class Group:
    """Blocks under a heading of their own, where they have one."""

    heading: Words | None
    blocks: tuple[Block, ...]

    @property
    def formulas(self) -> tuple[Formula, ...]:
        return tuple(f for block in self.blocks if isinstance(block, Display) for f in block.formulas)


@dataclass(frozen=True, eq=False)
class Section:
    """``key``: one of :data:`symcell.derivation.build.SECTIONS`."""

    key: str
    title: Words
    groups: tuple[Group, ...]

    @property
    def formulas(self) -> tuple[Formula, ...]:
        return tuple(f for group in self.groups for f in group.formulas)


@dataclass(frozen=True, eq=False)
class Document:
    """All that a form needs. ``title`` and ``description`` are the user's text.

    Formulas call every value by its name in the graph; ``names`` says what an intermediate is called in print.
    ``sample``: the letter that counts samples, one that the cell does not use. ``values``: for each value of the
    graph of a step and of its adjoint, the number of the formula that says what it is.
    """

    title: str
    name: str
    description: str
    output: str
    names: Mapping[str, str]
    sample: str
    sections: tuple[Section, ...]
    values: Mapping[str, int]
    kernels: Callable[[], tuple[Listing, ...]] = tuple
    """What is emitted for the cell, its comments citing the formulas; made when a form asks for it."""

    def formulas(self) -> Iterator[Formula]:
        for section in self.sections:
            yield from section.formulas

    def section(self, key: str) -> Section:
        """A section by its key; StopIteration where the derivation has none of it."""
        return next(s for s in self.sections if s.key == key)
