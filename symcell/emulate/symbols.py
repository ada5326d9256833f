"""What the compiler's tools (binutils) know of a compiled library."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path


def _output(tool: str, *args: str) -> str:
    """What a tool prints; nothing where it is missing or fails, as nothing hangs on it but a better message."""
    path = shutil.which(tool)
    return subprocess.run([path, *args], capture_output=True, text=True, check=False).stdout if path else ""


@functools.cache
def _shared_variables(library: Path) -> tuple[tuple[str, int, int], ...]:
    """Mangled names, places and bytes of the static shared variables; a place is counted from the first's."""
    found, marks = [], {}
    for line in _output("nm", "-S", str(library)).splitlines():
        fields = line.split()
        if fields[-1] in ("__start_symcell_shared", "__stop_symcell_shared"):
            marks[fields[-1]] = int(fields[0], 16)
        elif len(fields) == 4:
            found.append((int(fields[0], 16), int(fields[1], 16), fields[3]))
    first, last = marks.get("__start_symcell_shared", 0), marks.get("__stop_symcell_shared", 0)
    return tuple((name, place - first, size) for place, size, name in found if first <= place < last)


def static_shared(library: Path, kernel: str, kernels: Collection[str]) -> int:
    """Bytes of the static shared variables that ``kernel`` has: its own, and those of functions that are no kernel."""
    total = 0
    for name, _, size in _shared_variables(library):
        owner = re.match(r"_ZZ(\d+)(\w+)", name)
        function = owner[2][: int(owner[1])] if owner else ""
        if function == kernel or function not in kernels:
            total += size
    return total


def named(message: str, library: Path) -> str:
    """A kernel's message with lines of its source for places in the code, and names of static shared variables."""

    def line(match: re.Match[str]) -> str:
        frames = _output("addr2line", "-i", "-e", str(library), match[1])
        found = re.search(r"(?:kernel\.cu|<stdin>):(\d+)", frames)  # and not in a header; GCC may know either name
        return f"line {found[1]}" if found else "a line unknown without addr2line and nm (binutils)"

    def variable(match: re.Match[str]) -> str:
        place = int(match[1])
        for name, first, size in _shared_variables(library):
            if first <= place < first + size:
                own = re.match(r"_ZZ.*E\d+([A-Za-z_]\w*?)(_\d+)?$", name)
                return f"byte {place - first} of {own[1] if own else name} (shared memory)"
        return match[0]

    return re.sub(r"byte (\d+) of static shared memory", variable, re.sub(r"@([0-9a-f]+)", line, message))
