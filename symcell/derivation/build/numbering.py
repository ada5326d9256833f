"""The numbers of formulas: each is given once, to a formula with a key by which others cite it."""

from __future__ import annotations

from collections.abc import Iterable

from sympy import Expr

from symcell.derivation.model import Condition, Formula, Ref, Words

Key = tuple[str, ...]
"""What a formula says: a kind (``value``, ``local``, ``delta``, ``last``, ``first``, ``gradient``, …) and names."""


class Numbering:
    """Numbers formulas in the order in which they are made."""

    def __init__(self) -> None:
        self.numbers: dict[Key, int] = {}
        self.count = 0

    def formula(
        self,
        key: Key,
        left: Expr,
        right: Expr,
        cites: Iterable[Key] = (),
        *,
        via: tuple[Expr, ...] = (),
        label: str = "",
        note: Words | None = None,
        condition: Condition | None = None,
        detail: bool = False,
    ) -> Formula:
        """The next formula. Cited keys without a formula are left out."""
        cited = self.of(*cites)
        self.count += 1
        self.numbers[key] = self.count
        return Formula(self.count, left, right, via, label, note, cited, condition, detail, key)

    def same(self, key: Key, other: Key) -> None:
        """Another key for a formula that there is."""
        self.numbers[key] = self.numbers[other]

    def of(self, *keys: Key) -> tuple[int, ...]:
        """The numbers of the formulas with these keys, sorted, each once."""
        return tuple(sorted({self.numbers[key] for key in keys if key in self.numbers}))

    def ref(self, *keys: Key) -> Ref:
        return Ref(self.of(*keys))
