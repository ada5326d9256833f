"""One time step as a picture: what is computed from what, and how."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What a node of the picture is."""

    INPUT = "input"
    BEFORE = "before"  # a state of an earlier step
    VALUE = "value"
    STATE = "state"
    OUTPUT = "output"


class Through(Enum):
    """How a value enters another: by a matrix, as a factor or under a function (unit by unit), or as it is in a sum."""

    MATRIX = "matrix"
    UNITWISE = "unitwise"
    ADDED = "added"


@dataclass(frozen=True)
class Node:
    """``name``: the value's name in the graph; ``lag``: how many steps back it is read."""

    name: str
    lag: int
    role: Role


@dataclass(frozen=True)
class Arrow:
    """``source`` and ``target``: places in :attr:`StepGraph.nodes`; ``matrices``: those that it goes through."""

    source: int
    target: int
    through: Through
    matrices: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepGraph:
    """``states``: the states carried to the next step, in the cell's order; ``inputs``; ``output``."""

    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    inputs: tuple[str, ...]
    states: tuple[str, ...]
    output: str
