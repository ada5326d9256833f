"""Fresh names for the values that passes add to a graph."""

from __future__ import annotations


class Names:
    """Hands out names that are not taken yet: ``a_i``, ``a_i_2``, ``a_i_3`` …"""

    def __init__(self, taken: set[str]) -> None:
        self._taken = set(taken)

    def fresh(self, hint: str) -> str:
        name, k = hint, 1
        while name in self._taken:
            k += 1
            name = f"{hint}_{k}"
        self._taken.add(name)
        return name
