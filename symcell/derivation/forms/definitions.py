"""Which symbols of a document have a definition to show, and the printer that marks them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sympy import Expr

from symcell.derivation.model import Document, Formula, Meaning, Symbols
from symcell.derivation.nodes import Bar, Delta, Gradient, Last
from symcell.derivation.tex import TexPrinter
from symcell.pages import Mathematics
from symcell.symbolic.nodes import At, Param

Key = tuple[str, str]
"""``value``, ``delta``, ``bar``, ``last`` or ``gradient``, and a name."""


class Definitions:
    """What the symbols of a document are: rows of its table of symbols and the formulas that define them."""

    def __init__(self, document: Document) -> None:
        self.meanings: dict[str, Meaning] = {}
        for row in _rows(document):
            self.meanings |= {name: row for name in row.names if name not in self.meanings}
        self.varying = {name for name, row in self.meanings.items() if row.varying}
        self.numbers: dict[Key, int] = {}
        for formula in document.formulas():
            if (key := self.defines(formula)) is not None:
                self.numbers.setdefault(key, formula.number)
        names = dict.fromkeys((*self.meanings, *(name for kind, name in self.numbers if kind == "value")))
        deltas = [name for kind, name in self.numbers if kind == "delta"]
        pairs = [*(("value", n) for n in names), *(("delta", n) for n in deltas),
                 *((kind, n) for kind in ("bar", "last") for n in names)]  # fmt: skip
        self.keys: Mapping[Key, str] = {pair: str(k) for k, pair in enumerate(pairs)}

    def defines(self, formula: Formula) -> Key | None:
        """The symbol that a formula says the value of, for every step."""
        left = formula.left
        if isinstance(left, At) and not left.lag and (formula.condition is None or formula.condition.end != "first"):
            self.varying.add(left.signal)
            return "value", left.signal
        if isinstance(left, Param):
            return "value", left.signal
        if isinstance(left, Delta) and not left.lag:
            return "delta", left.value
        return ("gradient", left.value) if isinstance(left, Gradient) else None

    def number(self, kind: str, name: str) -> int | None:
        return self.numbers.get((kind, name))

    def symbol(self, kind: str, name: str) -> Expr:
        """A symbol as an expression, at step t."""
        match kind:
            case "delta":
                return Delta(name)
            case "bar":
                return Bar(name)
            case "last":
                return Last(name)
        return At(name) if name in self.varying else Param(name)


def _rows(document: Document) -> Iterator[Meaning]:
    for section in document.sections:
        for group in section.groups:
            for block in group.blocks:
                if isinstance(block, Symbols):
                    yield from block.rows


class MarkingPrinter(TexPrinter):
    """TeX in which each symbol that has a definition is one character, which :class:`Mathematics` knows."""

    def __init__(self, document: Document, mathematics: Mathematics, keys: Mapping[Key, str]) -> None:
        super().__init__(document.names, True, document.sample)
        self.mathematics, self.keys = mathematics, keys
        self.used: dict[Key, None] = {}

    def marked(self, kind: str, name: str, tex: str) -> str:
        key = self.keys.get((kind, name))
        if key is None:
            return tex
        self.used[kind, name] = None
        return self.mathematics.mark(tex, **{"class": "s", "data-s": key})

    def name(self, name: str) -> str:
        return self.marked("value", name, super().name(name))

    def timed(self, name: str, lag: int) -> str:
        return self.marked("value", name, super().timed(name, lag))

    def delta(self, name: str, lag: int) -> str:
        return self.marked("delta", name, super().delta(name, lag))

    def bar(self, name: str, lag: int) -> str:
        return self.marked("bar", name, super().bar(name, lag))

    def last(self, name: str, lag: int) -> str:
        return self.marked("last", name, super().last(name, lag))
