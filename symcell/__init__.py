"""symcell: symbolic derivation and code generation for recurrent neural-network cells.

    import symcell

    cell = symcell.load("lstm")
    lstm = symcell.compile(cell)                 # the emitted NumPy module, in memory
    params = lstm.init_params(D=8, H=16)
    y, last, tape = lstm.forward(params, x)      # x: (T, B, D)
    grads = lstm.backward(params, tape, dy)

Names are imported when they are first used: SymPy takes a while to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from symcell.version import __version__

if TYPE_CHECKING:
    from symcell.cell import Cell, CellError
    from symcell.derivation import Derivation, derive
    from symcell.language import from_equations, load, names, parse
    from symcell.pipeline import compile

_HOME = {
    "Cell": "symcell.cell",
    "CellError": "symcell.cell",
    "Derivation": "symcell.derivation",
    "compile": "symcell.pipeline",
    "derive": "symcell.derivation",
    "from_equations": "symcell.language",
    "load": "symcell.language",
    "names": "symcell.language",
    "parse": "symcell.language",
}

__all__ = [
    "Cell",
    "CellError",
    "Derivation",
    "__version__",
    "compile",
    "derive",
    "from_equations",
    "load",
    "names",
    "parse",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'symcell' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
