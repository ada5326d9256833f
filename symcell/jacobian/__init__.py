"""The one-step Jacobian of a cell, ∂s[t]/∂s[t-1]: the ways through it, by blocks, and in numbers."""

from symcell.jacobian.blocks import Block, Chain, OneStep, one_step
from symcell.jacobian.paths import Kind, Way, paths

__all__ = ["Block", "Chain", "Kind", "OneStep", "Way", "one_step", "paths"]
