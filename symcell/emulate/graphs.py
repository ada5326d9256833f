"""``cupy.cuda.Graph`` on the host: launches with their arguments as they were when a stream captured them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symcell.emulate.errors import KernelError


@dataclass(frozen=True)
class Node:
    """A launch that was written down. ``run`` runs it; ``memory``: by parameter, the memory of each array that it reads
    or writes, which it does not keep alive."""

    kernel: str
    run: Callable[[], None]
    memory: Sequence[tuple[str, weakref.ref[np.ndarray[Any, Any]]]]

    def replay(self) -> None:
        """Runs it. Raises KernelError where memory has gone: CuPy's pool may have given it to other arrays."""
        for parameter, owner in self.memory:
            if owner() is None:
                raise KernelError(
                    f"kernel {self.kernel}: the memory of {parameter} was given back to the pool after the launch had "
                    "been captured, and the graph still uses it"
                )
        self.run()


@dataclass(eq=False)
class Capture:
    """What a stream has written down. ``spoilt``: something was not permitted meanwhile."""

    nodes: list[Node] = field(default_factory=list)
    spoilt: bool = False


class Graph:
    """Captured launches, to run as often as one likes, wherever."""

    _nodes: tuple[Node, ...]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            "currently this class cannot be initiated by the user and must be created via stream capture"
        )

    @classmethod
    def of(cls, capture: Capture) -> Graph:
        """What was captured."""
        graph = cls.__new__(cls)
        graph._nodes = tuple(capture.nodes)
        return graph

    def launch(self, stream: Any = None) -> None:
        """Runs all launches in order; a stream that captures writes them down."""
        from symcell.emulate.streams import launching

        capture = launching(stream)
        for node in self._nodes:
            if capture is None:
                node.replay()
            else:
                capture.nodes.append(node)

    def upload(self, stream: Any = None) -> None:
        """Returns at once."""


def owner(array: np.ndarray[Any, Any]) -> weakref.ref[np.ndarray[Any, Any]]:
    """The array whose memory an array is a view of, kept alive by nothing."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return weakref.ref(array)
