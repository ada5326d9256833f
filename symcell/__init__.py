"""symcell: symbolic derivation and code generation for recurrent neural-network cells.

    import symcell

    cell = symcell.load("lstm")
    lstm = symcell.compile(cell)                 # the emitted NumPy module, in memory
    params = lstm.init_params(D=8, H=16)
    y, last, tape = lstm.forward(params, x)      # x: (T, B, D)
    grads = lstm.backward(params, tape, dy)
    symcell.set_threads(4)                       # how many threads a call of a C module runs on

Names are imported when they are first used: SymPy takes a while to load.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from symcell.version import __version__

if TYPE_CHECKING:
    from symcell.cell import Cell, CellError
    from symcell.compare import compare
    from symcell.derivation import Derivation
    from symcell.diff import diff
    from symcell.flow import flow
    from symcell.language import from_equations, load, names, parse
    from symcell.pipeline import compile, derive, plan, source
    from symcell.symbolic.nodes import At, ColumnScaled, Constant, Flipped, Join, MatVec, OuterProduct, RowScaled
    from symcell.threads import set_threads
    from symcell.verify import verify

_HOME = {
    "At": "symcell.symbolic.nodes",
    "Cell": "symcell.cell",
    "CellError": "symcell.cell",
    "ColumnScaled": "symcell.symbolic.nodes",
    "Constant": "symcell.symbolic.nodes",
    "Derivation": "symcell.derivation",
    "Flipped": "symcell.symbolic.nodes",
    "Join": "symcell.symbolic.nodes",
    "MatVec": "symcell.symbolic.nodes",
    "OuterProduct": "symcell.symbolic.nodes",
    "RowScaled": "symcell.symbolic.nodes",
    "compare": "symcell.compare",
    "compile": "symcell.pipeline",
    "derive": "symcell.pipeline",
    "diff": "symcell.diff",
    "flow": "symcell.flow",
    "from_equations": "symcell.language",
    "load": "symcell.language",
    "names": "symcell.language",
    "parse": "symcell.language",
    "plan": "symcell.pipeline",
    "set_threads": "symcell.threads",
    "source": "symcell.pipeline",
    "verify": "symcell.verify",
}

__all__ = [
    "At",
    "Cell",
    "CellError",
    "ColumnScaled",
    "Constant",
    "Derivation",
    "Flipped",
    "Join",
    "MatVec",
    "OuterProduct",
    "RowScaled",
    "__version__",
    "compare",
    "compile",
    "derive",
    "diff",
    "flow",
    "from_equations",
    "load",
    "names",
    "parse",
    "plan",
    "set_threads",
    "source",
    "verify",
]


def _value(name: str) -> Any:
    return getattr(import_module(_HOME[name]), name)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'symcell' has no attribute {name!r}")
    value = _value(name)
    return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Function(ModuleType):
    """A package of symcell's that is called like the public function of its name: ``symcell.verify(cell)``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _value(self.__name__.rpartition(".")[2])(*args, **kwargs)


class _Package(ModuleType):
    """symcell itself: Python sets a package's attribute to each module below it that is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            value.__class__ = _Function
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
