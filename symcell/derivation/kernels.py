"""What the emitted code says about the formulas of a derivation: the lines that compute each of them.

The comments of emitted code end with the number of the formula that the code below them computes
(:mod:`symcell.program.numbering`); this reads them back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

_CITING = re.compile(r"\s*(?:#|//) \S.* = .*\((\d+)\)$")
MOST = 16
"""Lines of a kernel behind its comments."""


@dataclass(frozen=True)
class Kernel:
    """Lines ``first`` to ``last`` (from 1, both included) of an emitted module compute the formulas ``numbers``."""

    numbers: tuple[int, ...]
    first: int
    last: int


@dataclass(frozen=True)
class Listing:
    """An emitted module of one target: its lines, and what they compute."""

    target: str
    lines: tuple[str, ...]
    kernels: tuple[Kernel, ...]

    @cached_property
    def by_number(self) -> Mapping[int, tuple[Kernel, ...]]:
        """Where each formula is computed, without what only says so again (a step alone, what backward recomputes)."""
        found: dict[int, list[Kernel]] = {}
        seen: set[str] = set()
        for kernel in self.kernels:
            told = {line.strip(): n for line in self.lines[kernel.first - 1 : kernel.last] if (n := cited(line))}
            for number in dict.fromkeys(n for line, n in told.items() if line not in seen):
                found.setdefault(number, []).append(kernel)
            seen |= set(told)
        return {number: tuple(kernels) for number, kernels in found.items()}

    def said(self, kernel: Kernel, number: int) -> int:
        """The line of a kernel's comments that cites a formula."""
        return next(k for k in range(kernel.first, kernel.last + 1) if cited(self.lines[k - 1]) == number)


def stretches(kernels: Sequence[Kernel], between: int = 0) -> list[tuple[int, int]]:
    """The lines of kernels as stretches; up to ``between`` lines that lie between two are shown with them."""
    parts: list[tuple[int, int]] = []
    for kernel in kernels:
        if parts and kernel.first - parts[-1][1] <= between + 1:
            parts[-1] = (parts[-1][0], kernel.last)
        else:
            parts.append((kernel.first, kernel.last))
    return parts


def listing(target: str, source: str) -> Listing:
    """The kernels of an emitted module whose comments cite formulas."""
    lines = tuple(source.splitlines())
    return Listing(target, lines, tuple(_kernels(lines)))


def cited(line: str) -> int | None:
    """The number that a comment of emitted code ends with; None for any other line."""
    found = _CITING.match(line)
    return int(found[1]) if found else None


def _kernels(lines: Sequence[str]) -> Iterator[Kernel]:
    k = 0
    while k < len(lines):
        numbers: list[int] = []
        first = k
        while k < len(lines) and (number := cited(lines[k])) is not None:
            numbers.append(number)
            k += 1
        if numbers:
            k = _end(lines, k, _indent(lines[first]))
            yield Kernel(tuple(dict.fromkeys(numbers)), first + 1, k)
        else:
            k += 1


def _end(lines: Sequence[str], start: int, indent: int) -> int:
    """Where the code below comments ends: at the next ones, a blank line, or where a block is left."""
    k = start
    while k < len(lines) and k - start < MOST:
        line = lines[k]
        if not line.strip() or _indent(line) < indent or (cited(line) is not None and k > start):
            break
        k += 1
    return k


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
