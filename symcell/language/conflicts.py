"""What to say where shapes contradict each other."""

from __future__ import annotations

from symcell.cell import ONE
from symcell.language.sizes import Extents, Sizes
from symcell.language.tree import (
    Diagonal,
    Joined,
    MatrixName,
    Multiplied,
    Name,
    Negative,
    Outer,
    Product,
    Ratio,
    Read,
    Total,
    Transposed,
    Tree,
    walk,
)
from symcell.language.unify import Length


class Conflicts:
    """Reports contradictions between shapes, naming both places."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes, self.problems = sizes, sizes.problems

    def _text(self, tree: Tree) -> str:
        return self.problems.source.excerpt(tree.span)

    def _line(self, name: str, tree: Tree) -> int:
        """The line in which a name got its size."""
        return self.sizes.first.get(name, tree.span).line

    def _described(self, tree: Tree, extents: Extents) -> str:
        """``b is H long (line 3)``."""
        line = self._line(tree.name, tree) if isinstance(tree, Read | Name) else tree.span.line
        return f"{self._text(tree)} is {self.sizes.described(extents)} (line {line})"

    def _ranked(self, extents: Extents) -> str:
        """``a vector, H long,``, or without the size where that is open."""
        what = "a vector" if len(extents) == 1 else "a matrix"
        is_open = any(self.sizes.lengths.resolve(length).unknown for length in extents)
        return f"{what}," if is_open else f"{what}, {self.sizes.described(extents)},"

    def _factor(self, tree: Tree) -> str:
        """The text of an operand of @."""
        text = self._text(tree)
        return f"({text})" if isinstance(tree, Total | Product | Ratio | Negative | Multiplied) else text

    def elementwise(self, leader: Tree, first: Extents, tree: Tree, second: Extents) -> None:
        """Two operands of different sizes."""
        advice = "elementwise operations need one size: multiply by a matrix to change it, or correct a declaration"
        if len(first) == 2:
            advice = "only matrices of one shape go together: correct a declaration"
        elif ONE in (self.sizes.known(first[0]), self.sizes.known(second[0])):
            advice = "a value of size 1 goes with any size where it is declared: name: 1"
        message = f"{self._described(tree, second)}, but {self._described(leader, first)}"
        self.problems.add(tree.span, message, advice)

    def beside(self, one: Tree, first: Extents, other: Tree, second: Extents, left_of: Multiplied | None) -> None:
        """A vector beside a matrix, unless the vector turns out to be one value."""
        (vector, length), (matrix, _) = ((one, first), (other, second))[:: 1 if len(first) == 1 else -1]
        if self.sizes.known(length[0]) == ONE and not self.sizes.lengths.resolve(length[0]).unknown:
            return
        u, m = self._text(vector), self._factor(matrix)
        if left_of is not None:
            v = self._text(left_of.right)
            message = f"left of @ stands a matrix; it can be multiplied only by one value, and {u} is a vector"
            self.problems.add(left_of.left.span, message, f"brackets decide: {u} * ({m} @ {v}), not {u} * {m} @ {v}")
            return
        message = f"{self._text(matrix)} is a matrix beside the vector {u}"
        if other is vector:
            message = f"{u} is a vector beside the matrix {self._text(matrix)}"
        advice = f"write diag({u}) @ {m} to scale rows, {m} @ diag({u}) to scale columns, or outer(u, v) for a matrix"
        if isinstance(vector, Read) and vector.name not in self.sizes.roles.shapes:
            advice = f"if {vector.name} is one value, declare {vector.name}: 1; else {advice}"
        self.problems.add(other.span, message, advice)

    def result(self, name: str, tree: Tree, extents: Extents, mine: Extents) -> None:
        """A right side that is not as long as what it defines."""
        message = (
            f"the right side is {self.sizes.described(extents)} in line {tree.span.line}, "
            f"but {name} is {self.sizes.described(mine)} in line {self._line(name, tree)}"
        )
        advice = f"multiply by a matrix, or correct the declaration of {name}"
        self.problems.add(tree.span, message, advice if len(mine) == 1 else f"correct the declaration of {name}")

    def result_rank(self, name: str, tree: Tree, extents: Extents, mine: Extents) -> None:
        """A vector where a matrix is defined, or a matrix where a vector is."""
        if len(extents) == 1 and self.sizes.known(extents[0]) == ONE:
            return
        what, other = self._ranked(extents), self._ranked(mine)
        message = f"the right side is {what} but {name} is {other} in line {self._line(name, tree)}"
        advice = f"correct the declaration of {name}, or write outer(u, v) for a matrix of two vectors"
        if len(extents) == 2:
            advice = f"correct the declaration of {name}, or apply the matrix to a vector: M @ v"
        self.problems.add(tree.span, message, advice)

    def product(self, tree: Multiplied, matrix: Extents, wanted: Length, names: str = "") -> None:
        """A matrix at a vector of another size than its columns; ``names``: more that could be done."""
        text, vector = self._text(tree.left), self._text(tree.right)
        name = next((p.name for p in walk(tree.left) if isinstance(p, MatrixName)), "")
        height, have, want = (self.sizes.shown(length) for length in (*matrix, wanted))
        if not name:
            message = f"{text} is {height}×{have}, but {vector} is {want} long"
            advice = f"read something {have} long in place of {vector}"
            if self.sizes.lengths.resolve(matrix[0]) == self.sizes.lengths.resolve(wanted):
                turned = text.removesuffix(".T") if isinstance(tree.left, Transposed) else f"{text}.T"
                advice = f"write {turned} @ {vector}, or {advice}"
            self.problems.add(tree.right.span, message, advice)
            return
        where = f"in line {tree.span.line} but {height}×{have} in line {self._line(name, tree)}"
        place = tree.right.vectors[0] if isinstance(tree.right, Joined) else tree.right
        advice = f"rename one of them, or {names or f'read something {have} long in place of {vector}'}"
        self.problems.add(place.span, f"{text} is {height}×{want} {where}", f"a matrix has one shape: {advice}")

    def slip(self, tree: Multiplied, matrix: Extents, wanted: Length) -> None:
        """One matrix that is applied both to an input of open size and to a state."""
        roles, shape = self.sizes.roles, self.sizes.extents
        resolve = self.sizes.lengths.resolve
        used = [i for i in roles.inputs if resolve(shape[i][0]) in (resolve(wanted), resolve(matrix[1]))]
        have, want = resolve(matrix[1]), resolve(wanted)
        other = next((f"{s}[t-1]" for s in roles.states if shape[s][-1:] and resolve(shape[s][0]) == have), "")
        if not other:
            other = next((f"{i}[t]" for i in roles.inputs if resolve(shape[i][0]) == have), "")
        state = next((s for s in roles.states if s in roles.definitions and resolve(shape[s][0]) in (have, want)), "")
        declare = f"declare {used[0]}: {self.sizes.shown(shape[state][0])}"
        self.product(tree, matrix, wanted, f"read {other} here; if {used[0]} is as long as {state}, {declare}")

    def no_matrix(self, tree: Multiplied, left: Tree, extents: Extents) -> None:
        """A vector or one value left of @."""
        text, right = self._text(left), self._text(tree.right)
        what = "a vector" if extents else "one value"
        advice = f"write {text} * {right}" if not extents else f"write {right} @ {text}, or W @ {text}"
        if isinstance(left, Read) and left.name not in self.sizes.roles.shapes:
            advice += f"; if {left.name} is a matrix, declare {left.name}: (H, K)"
        self.problems.add(left.span, f"{text} is {what}; left of @ stands a matrix", advice)

    def matrices(self, tree: Multiplied) -> None:
        """A product of two matrices."""
        left, right = self._text(tree.left), self._text(tree.right)
        advice = f"matrices are not multiplied with each other: apply one after the other, {left} @ ({right} @ v)"
        if isinstance(tree.right, Outer):
            u, v = (self._text(side) for side in (tree.right.left, tree.right.right))
            advice = f"write outer({left} @ {u}, {v}), which is the same"
        elif isinstance(tree.left, Outer):
            u, v = (self._text(side) for side in (tree.left.left, tree.left.right))
            advice = f"write outer({u}, {right}.T @ {v}), which is the same"
        self.problems.add(tree.right.span, f"{right} is a matrix; right of @ stands a vector", advice)

    def no_vector(self, tree: Tree, why: str) -> None:
        """A matrix in the place of a vector."""
        self.problems.add(tree.span, f"{why}, and {self._text(tree)} is a matrix", "apply it to a vector: M @ v")

    def diagonal(self, vector: Tree) -> None:
        text = self._text(vector)
        message = f"diag takes a vector, and {text} is a matrix"
        self.problems.add(vector.span, message, "write diag(v) @ M or M @ diag(v), with a vector v")

    def not_scaled(self, tree: Multiplied, diagonal: Diagonal, scaled: Tree, extents: Extents) -> None:
        """``diag(v) @ s`` or ``u @ diag(v)``."""
        text, vector = self._text(scaled), self._text(diagonal.vector)
        what = "a vector" if extents else "one value"
        self.problems.add(scaled.span, f"diag scales a matrix, and {text} is {what}", f"write {vector} * {text}")

    def scaled(self, diagonal: Diagonal, length: Length, scaled: Tree, extents: Extents, axis: int) -> None:
        """A diagonal that is not as long as the rows or columns that it scales are many."""
        text, vector = self._text(scaled), self._text(diagonal.vector)
        have, kind = self.sizes.shown(extents[axis]), ("rows", "columns")[axis]
        message = f"{vector} is {self.sizes.shown(length)} long, but {text} has {have} {kind}"
        advice = f"diag left of a matrix scales its rows, right of it its columns: read something {have} long"
        self.problems.add(diagonal.span, message, advice)

    def reduction(self, tree: Tree, argument: Tree) -> None:
        """A function over units of a matrix."""
        function = getattr(tree, "function", "")
        text = self._text(argument)
        message = f"{function} is taken over the units of a vector, and {text} is a matrix"
        advice = "write dot(u, M @ v)" if function == "dot" else f"write {function}(M @ v)"
        self.problems.add(argument.span, message, f"{advice}: the matrix applied to a vector")

    def addition(self, first: Tree, shape: Extents, other: Tree, theirs: Extents) -> None:
        """A sum of matrices of different shapes."""
        one, two = (self.sizes.described(extents) for extents in (theirs, shape))
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
