"""Words that all of this package uses."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

Maybe: TypeAlias = Tensor | None
"""A tensor, or None: a gradient or tangent that is zero."""
