"""Fresh names for the values that passes add to a graph."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """Hands out names that are not taken yet."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def fresh(self, *hints: str) -> str:
        """The first hint that is free; where none is, the last one with a number: ``a_i_2``, ``a_i_3`` …"""
        name = next((hint for hint in hints if hint not in self._taken), "")
        while not name:
            number = self._next[hints[-1]] = self._next.get(hints[-1], 1) + 1
            name = f"{hints[-1]}_{number}" if f"{hints[-1]}_{number}" not in self._taken else ""
        self._taken.add(name)
        return name
