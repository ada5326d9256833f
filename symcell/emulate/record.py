"""What CuPy 14 has: its names and what their calls take, from the committed record ``cupy_record.txt``.

A line is ``name(parameters)``, an optional one with a ``=`` behind it, or a bare name where nothing is known of a call.
``tools/cupy_record.py`` writes it from an installed CuPy (which imports without a GPU), and a test holds it to one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from inspect import Parameter, Signature
from pathlib import Path

FILE = Path(__file__).parent / "cupy_record.txt"


@functools.cache
def record() -> dict[str, Signature | None]:
    """Each name of CuPy (dotted below a module or ``ndarray``) and its signature, None where it has none."""
    found: dict[str, Signature | None] = {}
    for line in FILE.read_text(encoding="utf-8").split("\n"):
        name, bracket, rest = line.partition("(")
        if name and not name.startswith("#"):
            found[name] = _signature(rest.removesuffix(")")) if bracket else None
    return found


def _signature(text: str) -> Signature:
    return Signature(list(_parameters(text)), __validate_parameters__=False)


def _parameters(text: str) -> Iterator[Parameter]:
    parts = [part for part in text.split(", ") if part]
    kind = inspect._ParameterKind.POSITIONAL_OR_KEYWORD
    slash = parts.index("/") if "/" in parts else -1
    for position, part in enumerate(parts):
        name = part.strip("*=")
        if part.startswith("**"):
            yield Parameter(name, Parameter.VAR_KEYWORD)
        elif part.startswith("*"):
            kind = Parameter.KEYWORD_ONLY
            if name:
                yield Parameter(name, Parameter.VAR_POSITIONAL)
        elif part != "/":
            here = Parameter.POSITIONAL_ONLY if position < slash else kind
            yield Parameter(name, here, default=None if part.endswith("=") else Parameter.empty)


def text(name: str, signature: Signature | None) -> str:
    """The line of a name."""
    if signature is None:
        return name
    parts: list[str] = []
    parameters = list(signature.parameters.values())
    for position, parameter in enumerate(parameters):
        before = parameters[position - 1].kind if position else None
        if before is Parameter.POSITIONAL_ONLY and parameter.kind is not before:
            parts.append("/")
        if parameter.kind is Parameter.KEYWORD_ONLY and before not in (parameter.kind, Parameter.VAR_POSITIONAL):
            parts.append("*")
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
        parts.append(f"{stars}{parameter.name}{'' if parameter.default is Parameter.empty else '='}")
    if parameters and parameters[-1].kind is Parameter.POSITIONAL_ONLY:
        parts.append("/")
    return f"{name}({', '.join(parts)})"
