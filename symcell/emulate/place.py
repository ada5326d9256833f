"""A device by its number, as ``cupy.ndarray.device`` gives it."""

from __future__ import annotations

from symcell.emulate.memory import current


class Place:
    """A device that a thread may make its current one, by ``use`` or for a ``with`` statement."""

    def __init__(self, number: int) -> None:
        self.id = number
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def use(self) -> Place:
        """Makes it the current one."""
        current.device = self.id
        return self

    def synchronize(self) -> None:
        """Returns at once."""

    def __enter__(self) -> Place:
        self._before.append(current.device)
        return self.use()

    def __exit__(self, *exception: object) -> None:
        current.device = self._before.pop()
