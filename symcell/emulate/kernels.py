"""Kernels in a CUDA source text: their names, and the source as the host compiler reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_BOUNDS = r"__launch_bounds__\s*\((?P<{}>[^()]*)\)"
_KERNEL = re.compile(
    r"(?P<template>template\s*<[^>]*>\s*)?(?:extern\s*\"C\"\s*)?__global__\s+(?:static\s+|inline\s+)?"
    rf"(?:{_BOUNDS.format('before')}\s*)?void\s+(?:{_BOUNDS.format('after')}\s*)?"
    r"(?:__cluster_dims__\s*\((?P<cluster>[^()]*)\)\s*)?(?P<name>\w+)\s*\((?P<parameters>[^()]*)\)"
)
_DYNAMIC_SHARED = re.compile(
    r"extern\s+__shared__\s+(?:__align__\s*\([^()]*\)\s*|alignas\s*\([^()]*\)\s*)?(?P<type>[\w\s:]+?)\s*\b(?P<name>\w+)"
    r"\s*\[\s*\]\s*;"
)


@dataclass(frozen=True)
class Kernel:
    """A ``__global__`` function: its name, its parameters' names, and what its ``__launch_bounds__`` say.

    ``most_threads``: of a block that it is compiled for; ``least_blocks``: that a multiprocessor must hold at once.
    ``cluster``: its ``__cluster_dims__``, how many blocks run at once on each axis of the grid.
    """

    name: str
    parameters: tuple[str, ...]
    most_threads: int = 1024
    least_blocks: int = 1
    cluster: tuple[int, int, int] = (1, 1, 1)

    @property
    def registers(self) -> int:
        """The most registers a thread that the compiler may take: the emulator cannot know how many it does."""
        warps = -(-self.most_threads // 32) * self.least_blocks
        return max(16, min(255, (1 << 16) // (32 * warps) // 8 * 8))


def find_kernels(code: str) -> dict[str, Kernel]:
    """The kernels that ``code`` defines, by name; templates are left out, as they have no name to launch by."""
    text = _COMMENT.sub(" ", code)
    kernels = {}
    for match in _KERNEL.finditer(text):
        if match["template"]:
            continue
        declarations = [part.strip() for part in match["parameters"].split(",") if part.strip() not in ("", "void")]
        names = tuple(re.findall(r"\w+", declaration)[-1] for declaration in declarations)
        bounds = [bound.strip() for bound in (match["before"] or match["after"] or "").split(",")]
        most, least = (int(b) if b.isdigit() else unknown for b, unknown in zip([*bounds, ""], (1024, 1), strict=False))
        x, y, z = (int(n) for n in [*re.findall(r"\d+", match["cluster"] or ""), 1, 1, 1][:3])
        kernels[match["name"]] = Kernel(match["name"], names, most, least, (x, y, z))
    return kernels


def host_source(code: str, kernels: dict[str, Kernel]) -> str:
    """The translation unit for the host: ``code`` with its own line numbers, then an entry point for each kernel.

    Only ``extern __shared__ T name[];`` is rewritten: there is no host storage class whose size a launch can choose.
    """

    def reference(match: re.Match[str]) -> str:
        kind, name = match["type"], match["name"]
        lines = "\n" * match[0].count("\n")
        return f"static {kind} *&{name} = ({kind} *&)symcell_emulator::dynamic_shared;{lines}"

    body = _DYNAMIC_SHARED.sub(reference, code)
    entries = "\n".join(f"SYMCELL_KERNEL({name})" for name in kernels)
    return f'#include "cuda_host.h"\n#line 1 "kernel.cu"\n{body}\n#line 1 "entries"\n{entries}\n'
