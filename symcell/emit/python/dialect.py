"""What differs between the Python targets."""

from __future__ import annotations

from typing import Protocol

from symcell.emit.python.blocks import Block
from symcell.emit.python.views import RegionViews
from symcell.program.model import Kernel


class Dialect(Protocol):
    """How a target runs kernels. One object prints one module, so it may collect what it has printed.

    ``name``: the folder of its templates; ``xp``: the array package's name.
    """

    @property
    def name(self) -> str: ...
    @property
    def xp(self) -> str: ...

    def kernel(self, kernel: Kernel, views: RegionViews) -> Block:
        """The lines that run a kernel on the rows of the region that ``views`` belongs to.

        Arrays are asked of ``views``; :meth:`RegionViews.flush`, their definitions, stands in front of the lines.
        """

    def view(self) -> object:
        """What the target's own templates read as ``own``, asked for when all functions are printed."""
