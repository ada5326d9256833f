"""The sizes of a cell's names while they are found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from symcell.cell import ONE, Shape, Size
from symcell.language.problems import Problems
from symcell.language.roles import Roles
from symcell.language.scalars import scalar_signals
from symcell.language.source import Span
from symcell.language.unify import Length, Lengths, Outcome

SCALAR = Length((), ONE)


@dataclass
class Sizes:
    """The lengths of signals, inputs and parameters by name; ``first`` is where each first got one."""

    roles: Roles
    problems: Problems
    scalars: frozenset[str]
    lengths: Lengths = field(default_factory=Lengths)
    vectors: dict[str, Length] = field(default_factory=dict)
    matrices: dict[str, tuple[Length, Length]] = field(default_factory=dict)
    first: dict[str, Span] = field(default_factory=dict)
    waiting: list[tuple[Length, Length, Span]] = field(default_factory=list)
    conflicts: list[Callable[[], None]] = field(default_factory=list)
    """Reports of contradictions, made once all is read, when more sizes are known."""

    def shape_of(self, name: str) -> Shape:
        """The shape of a signal, an input or a parameter once all is known."""
        if name in self.matrices:
            return tuple(self.known(length) for length in self.matrices[name])
        return (self.known(self.vectors[name]),) if name in self.vectors else ()

    def known(self, length: Length) -> Size:
        return self.lengths.resolve(length).known

    def shown(self, length: Length) -> str:
        return str(self.lengths.resolve(length))

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
        """Whether a name is one value for all units: by declaration, or as :func:`scalar_signals` says."""
        declared = self.roles.shapes.get(name)
        return name in self.scalars or (declared is not None and declared.shape in ((), (ONE,)))


def start_sizes(roles: Roles, problems: Problems) -> Sizes:
    """A length for every name: the declared one, or an unknown one."""
    sizes = Sizes(roles, problems, scalar_signals(roles))
    new = sizes.lengths.new
    for name in (*roles.inputs, *roles.definitions, *roles.parameters):
        declared = roles.shapes.get(name)
        lengths = tuple(Length((), size) for size in declared.shape) if declared else None
        if declared:
            sizes.first[name] = declared.span
        if name in roles.matrices:
            rows, columns = lengths or (new(), new())
            sizes.matrices[name] = (rows, columns)
        elif lengths:
            sizes.vectors[name] = lengths[0]
        elif lengths is None:
            sizes.vectors[name] = SCALAR if name in sizes.scalars else new()
    return sizes
