"""What differs between the Python targets."""

from __future__ import annotations

from typing import Protocol

from symcell.emit.python.blocks import Block, RegionView
from symcell.emit.python.scope import Products, Scope
from symcell.emit.python.views import RegionViews


class Dialect(Products, Protocol):
    """How a target runs a program's stages. One object prints one module, so it may collect what it has printed.

    ``name``: the folder of its templates; ``xp``: the array package's name; ``keeps``: whether ``step`` keeps its
    memory between calls, and returns copies: not where work may be under way when a call returns.
    """

    @property
    def name(self) -> str: ...
    @property
    def xp(self) -> str: ...
    @property
    def keeps(self) -> bool: ...

    def sweep(self, scope: Scope) -> list[RegionView]:
        """The regions of ``forward`` or ``backward``, whose program is the scope's."""

    def single(self, views: RegionViews) -> list[Block]:
        """The stages of the forward program for one step."""

    def view(self) -> object:
        """What the target's own templates read as ``own``, asked for when all functions are printed."""
