"""The sizes of a cell's names while they are found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from symcell.cell import ONE, Shape, Size
from symcell.language.problems import Problems
from symcell.language.roles import Roles
from symcell.language.source import Span
from symcell.language.tree import Multiplied
from symcell.language.unify import Length, Lengths, Outcome

SCALAR = Length((), ONE)
Extents = tuple[Length, ...]
"""The lengths of a value while they are found out, axis by axis; none for one value."""


@dataclass
class Sizes:
    """The lengths of all names, axis by axis; ``first`` is where each first got them."""

    roles: Roles
    problems: Problems
    lengths: Lengths = field(default_factory=Lengths)
    extents: dict[str, Extents] = field(default_factory=dict)
    first: dict[str, Span] = field(default_factory=dict)
    waiting: list[tuple[Length, Length, Span]] = field(default_factory=list)
    conflicts: list[Callable[[], None]] = field(default_factory=list)
    """Reports of contradictions, made once all is read, when more sizes are known."""
    slips: list[tuple[Multiplied, Extents, Length]] = field(default_factory=list)
    """Matrices that are applied both to an input of open size and to a state."""

    def later(self, report: Callable[..., None], *arguments: object) -> None:
        self.conflicts.append(lambda: report(*arguments))

    def shape_of(self, name: str) -> Shape:
        """The shape of a name once all is known."""
        return tuple(self.known(length) for length in self.extents[name])

    def known(self, length: Length) -> Size:
        return self.lengths.resolve(length).known

    def shown(self, length: Length) -> str:
        return str(self.lengths.resolve(length))

    def described(self, extents: Extents) -> str:
        """``H long`` or ``H×K``."""
        text = "×".join(map(self.shown, extents))
        return text if len(extents) == 2 else f"{text} long" if extents else "one value"

    def unify_all(self, left: Extents, right: Extents, span: Span) -> bool:
        """Makes two shapes of as many axes equal."""
        equal = [self.unify(a, b, span) for a, b in zip(left, right, strict=True)]
        return all(equal)

    def unify(self, left: Length, right: Length, span: Span) -> bool:
        """Makes two lengths equal, now or once more is known; False if they cannot be."""
        outcome = self.lengths.unify(left, right)
        if outcome is Outcome.OPEN:
            self.waiting.append((left, right, span))
        return outcome is not Outcome.CONFLICT

    def retry(self) -> None:
        """Returns to what was left open, until nothing more follows; a contradiction goes to ``problems``."""
        progress = True
        while progress and self.waiting:
            waiting, self.waiting, progress = self.waiting, [], False
            for left, right, span in waiting:
                before = len(self.waiting)
                if not self.unify(left, right, span):
                    message = f"a size is {self.shown(left)} and {self.shown(right)} at once here"
                    self.problems.add(span, message, "declare the sizes that meet here")
                progress |= len(self.waiting) == before

    def is_one(self, name: str) -> bool:
        """Whether a name is one value for all units, by declaration or by what it is made of."""
        declared = self.roles.shapes.get(name)
        return name in self.roles.scalars or (declared is not None and declared.shape in ((), (ONE,)))


def start_sizes(roles: Roles, problems: Problems) -> Sizes:
    """A length for every axis of every name: the declared one, or an unknown one."""
    sizes = Sizes(roles, problems)
    new = sizes.lengths.new
    for name in (*roles.inputs, *roles.definitions, *roles.fixed):
        declared = roles.shapes.get(name)
        if declared:
            sizes.first[name] = declared.span
            sizes.extents[name] = tuple(Length((), size) for size in declared.shape)
        elif name in roles.matrices:
            sizes.extents[name] = (new(), new())
        else:
            sizes.extents[name] = (SCALAR if name in roles.scalars else new(),)
    return sizes
