"""Addresses in a kernel's complaint, as the arrays that they lie in."""

from __future__ import annotations

import re
from collections.abc import Sequence

from symcell.emulate.arguments import Parameter
from symcell.emulate.array import Array, unwrap

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def named(message: str, arrays: Sequence[tuple[Parameter, Array]]) -> str:
    """The message with ``counter[2]`` for an address that lies in the argument ``counter``, as one flat array."""

    def place(match: re.Match[str]) -> str:
        address = int(match[0], 16)
        for parameter, value in arrays:
            host = unwrap(value)
            if 0 <= address - host.ctypes.data < host.nbytes:
                element, rest = divmod(address - host.ctypes.data, host.itemsize)
                return f"{parameter.name}[{element}]" + (f" (byte {rest})" if rest else "")
        return match[0]

    return _ADDRESS.sub(place, message)
