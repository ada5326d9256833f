"""Kernels in a CUDA source text: their names, and the source as the host compiler reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_BOUNDS = r"__launch_bounds__\s*\((?P<{}>[^()]*)\)"
_KERNEL = re.compile(
    r"(?P<template>template\s*<[^>]*>\s*)?(?:extern\s*\"C\"\s*)?__global__\s+(?:static\s+|inline\s+)?"
    rf"(?:{_BOUNDS.format('before')}\s*)?void\s+(?:{_BOUNDS.format('after')}\s*)?(?P<name>\w+)\s*\((?P<parameters>[^()]*)\)"
)
_DYNAMIC_SHARED = re.compile(
    r"extern\s+__shared__\s+(?:__align__\s*\([^()]*\)\s*|alignas\s*\([^()]*\)\s*)?(?P<type>[\w\s:]+?)\s*\b(?P<name>\w+)"
    r"\s*\[\s*\]\s*;"
)


@dataclass(frozen=True)
class Kernel:
    """A ``__global__`` function: its name, its parameters' names, and the most threads that it is compiled for."""

    name: str
    parameters: tuple[str, ...]
    most_threads: int


def find_kernels(code: str) -> dict[str, Kernel]:
    """The kernels that ``code`` defines, by name; templates are left out, as they have no name to launch by."""
    text = _COMMENT.sub(" ", code)
    kernels = {}
    for match in _KERNEL.finditer(text):
        if match["template"]:
            continue
        declarations = [part.strip() for part in match["parameters"].split(",") if part.strip() not in ("", "void")]
        names = tuple(re.findall(r"\w+", declaration)[-1] for declaration in declarations)
        bounds = (match["before"] or match["after"] or "").split(",")[0].strip()
        kernels[match["name"]] = Kernel(match["name"], names, int(bounds) if bounds.isdigit() else 1024)
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
