"""A picture as typed data: boxes, lines and labels at places; drawn by :mod:`.svg`, :mod:`.tikz`. y grows downwards."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

Point = tuple[float, float]


@dataclass(frozen=True)
class Symbol:
    """The symbol of a value: ``lag`` None for one that does not vary, ``delta`` for its gradient."""

    name: str
    lag: int | None = None
    delta: bool = False


@dataclass(frozen=True)
class Sign:
    """A sign that stands as it is: ``+``, ``⊙``, ``…``."""

    text: str


Label = tuple[Symbol | Sign, ...]

LOSS = "ℓ"
"""The loss of one step."""


class Look(Enum):
    """What a box stands for."""

    INPUT = "input"
    BEFORE = "before"
    VALUE = "value"
    STATE = "state"
    OUTPUT = "output"
    LOSS = "loss"
    STEP = "step"
    FRAME = "frame"


class Stroke(Enum):
    """What a line stands for."""

    MATRIX = "matrix"
    UNITWISE = "unitwise"
    ADDED = "added"
    FLOW = "flow"
    GRADIENT = "gradient"


@dataclass(frozen=True)
class Box:
    """``x``, ``y``: its centre."""

    x: float
    y: float
    width: float
    height: float
    label: Label
    look: Look


@dataclass(frozen=True)
class Line:
    """Through ``points``; ``curved``: horizontal at each of them; ``head``: an arrow's head at the last."""

    points: tuple[Point, ...]
    stroke: Stroke
    curved: bool = False
    head: bool = True


@dataclass(frozen=True)
class Text:
    """``anchor``: ``start``, ``middle`` or ``end`` of the text is at ``x``; ``y`` is the middle of its height."""

    x: float
    y: float
    label: Label
    stroke: Stroke | None = None
    anchor: str = "middle"


@dataclass(frozen=True)
class Picture:
    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    texts: tuple[Text, ...]
