"""What to say where sizes contradict each other."""

from __future__ import annotations

from symcell.cell import ONE
from symcell.language.sizes import Sizes
from symcell.language.tree import MatrixName, Multiplied, Name, Read, Tree, walk
from symcell.language.unify import Length


class Conflicts:
    """Reports contradictions between sizes, naming both places."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes, self.problems = sizes, sizes.problems

    def _text(self, tree: Tree) -> str:
        return self.problems.source.excerpt(tree.span)

    def _line(self, name: str, tree: Tree) -> int:
        """The line in which a name got its size."""
        return self.sizes.first.get(name, tree.span).line

    def _described(self, tree: Tree, length: Length) -> str:
        """``b is H long (line 3)``."""
        line = self._line(tree.name, tree) if isinstance(tree, Read | Name) else tree.span.line
        return f"{self._text(tree)} is {self.sizes.shown(length)} long (line {line})"

    def elementwise(self, leader: Tree, first: Length, tree: Tree, second: Length) -> None:
        """Two operands of different sizes."""
        advice = "elementwise operations need one size: multiply by a matrix to change it, or correct a declaration"
        if ONE in (self.sizes.known(first), self.sizes.known(second)):
            advice = "a value of size 1 goes with any size where it is declared: name: 1"
        message = f"{self._described(tree, second)}, but {self._described(leader, first)}"
        self.problems.add(tree.span, message, advice)

    def result(self, name: str, tree: Tree, length: Length, mine: Length) -> None:
        """A right side that is not as long as what it defines."""
        have, want = self.sizes.shown(length), self.sizes.shown(mine)
        message = (
            f"the right side is {have} long in line {tree.span.line}, "
            f"but {name} is {want} long in line {self._line(name, tree)}"
        )
        self.problems.add(tree.span, message, f"multiply by a matrix, or correct the declaration of {name}")

    def product(self, tree: Multiplied, rows: Length, columns: Length, wanted: Length) -> None:
        """A matrix at a vector of another size than before."""
        text = self._text(tree.matrix)
        name = next((p.name for p in walk(tree.matrix) if isinstance(p, MatrixName)), text)
        height, have, want = (self.sizes.shown(length) for length in (rows, columns, wanted))
        where = f"in line {tree.span.line} but {height}×{have} in line {self._line(name, tree)}"
        advice = f"rename one of them, or read something {have} long in place of {self._text(tree.vector)}"
        self.problems.add(tree.matrix.span, f"{text} is {height}×{want} {where}", f"a matrix has one shape: {advice}")

    def addition(self, first: Tree, shape: tuple[Length, ...], other: Tree, theirs: tuple[Length, ...]) -> None:
        """A sum of matrices of different shapes."""
        one, two = ("×".join(self.sizes.shown(n) for n in lengths) for lengths in (theirs, shape))
        message = f"{self._text(other)} is {one}, but {self._text(first)} is {two}"
        self.problems.add(other.span, message, "only matrices of one shape can be added")

    def need_units(self, tree: Tree, why: str) -> None:
        """Reports an expression of numbers and scalar parameters alone where units are needed."""
        shapes = self.sizes.roles.shapes
        for part in walk(tree):
            if isinstance(part, Read | MatrixName):
                return
            if isinstance(part, Name) and not (part.name in shapes and shapes[part.name].shape == ()):
                return
        self.problems.add(tree.span, f"{why}, and there is none in this", "write a signal, an input or a vector")
