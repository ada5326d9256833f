"""Plan → files: emitted modules with a manifest, written whole or not at all, and checked against what made them."""

from symcell.generate.checking import Problem, Report, check
from symcell.generate.sources import Found, find, shipped
from symcell.generate.writing import Written, generate

__all__ = ["Found", "Problem", "Report", "Written", "check", "find", "generate", "shipped"]
