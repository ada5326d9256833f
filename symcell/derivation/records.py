"""What a derivation is made from."""

from __future__ import annotations

from dataclasses import dataclass

from symcell.adjoint import Adjoint
from symcell.derivation.backward import Backward, read_backward
from symcell.derivation.forward import read_forward
from symcell.derivation.lemmas import Lemma
from symcell.derivation.textbook import Textbook
from symcell.graph import Graph


@dataclass(frozen=True, eq=False)
class Records:
    """``graph`` and ``adjoint``: of the cell in textbook form; ``emitted``: the adjoint of the cell as its user wrote
    it, of which code is emitted; ``lemmas``: of the kinds of composites that it has."""

    book: Textbook
    graph: Graph
    adjoint: Adjoint
    emitted: Adjoint
    lemmas: tuple[Lemma, ...] = ()

    def displayed(self) -> Backward:
        """The step and the derived sweep, as a derivation shows them."""
        return read_backward(read_forward(self.book, self.graph), self.adjoint)
