"""The whole line on one page: text → Cell → Graph → adjoint → Plan (programs) → source → module."""

from __future__ import annotations

import builtins
import linecache
import types
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from weakref import WeakValueDictionary

from symcell.adjoint import Adjoint, adjoint
from symcell.cell import Cell
from symcell.derivation import Derivation, Steps, citations, document
from symcell.derivation.check import Case, Certificate, certified, with_certificate
from symcell.derivation.kernels import Listing, listing
from symcell.derivation.lemmas import lemma
from symcell.derivation.records import Records
from symcell.graph import Graph
from symcell.language import as_cell
from symcell.lower import lower
from symcell.plan import plan as plan_graphs
from symcell.program import report
from symcell.program.model import Plan
from symcell.program.numbering import numbered
from symcell.tangent import Tangent, second, tangent
from symcell.transforms.textbook import samples, textbook

TARGETS = ("numpy", "c", "cupy")
"""The languages a cell can be emitted in; each has a package ``symcell.emit.TARGET`` with ``PROFILE`` and ``emit``."""

LARGE = 100
"""A cell of more equations has kernels of one target in its derivation: a page of three would be of no use."""


def graphs(cell: Cell | str | Path) -> tuple[Graph, Adjoint]:
    """One time step of a cell as a graph, and the derived backward sweep."""
    graph = lower(as_cell(cell))
    return graph, adjoint(graph)


def derive(cell: Cell | str | Path, steps: Steps = "brief", *, check: bool = False) -> Derivation:
    """Derive back-propagation through time for ``cell`` (a Cell, a name or a path), every formula numbered.

    ``steps``: ``brief``, or ``full`` with every local derivative and intermediate equality, under the same numbers.
    ``check``: with a numeric certificate at the end. Raises CellError for what is no cell, ValueError for other steps.
    """
    cell = as_cell(cell)
    kept = records(cell)
    planned = plan_graphs(cell, kept.emitted.forward, kept.emitted, emitter("numpy").PROFILE)
    made = document(kept, steps, report.totals(planned))
    if check:
        made = with_certificate(made, certificate(cell))
    return Derivation.of(replace(made, kernels=partial(_listings, cell, planned, made.values)))


def certificate(cell: Cell | str | Path) -> Certificate:
    """Every formula of a cell's derivation evaluated as it stands, at 50 digits, against the graphs, interpreted, and
    differences. Raises CellError for what is no cell."""
    kept = records(as_cell(cell))
    return certified(document(kept, "full"), Case(kept.displayed(), kept.emitted))


def records(cell: Cell) -> Records:
    """What a cell's derivation is made from: its graphs in textbook form, and what composites send back, each kind
    derived from the cell that is it alone."""
    book, found = textbook(cell), graphs(cell)
    shown = found if book.cell is cell else graphs(book.cell)
    return Records(book, *shown, found[1], tuple(lemma(alone, *graphs(alone)) for alone in samples(book)))


def _listings(cell: Cell, planned: Plan, values: Mapping[str, int]) -> tuple[Listing, ...]:
    """The modules of a cell, whose comments cite the formulas of its derivation; of a large cell the NumPy one.

    ``planned``: for NumPy; ``values``: :attr:`symcell.derivation.Document.values`.
    """
    made = {"numpy": planned}
    if len(cell.equations) <= LARGE:
        found = graphs(cell)
        made |= {t: plan_graphs(cell, *found, emitter(t).PROFILE) for t in TARGETS if t not in made}
    return tuple(listing(t, emitter(t).emit(numbered(plan, values))) for t, plan in made.items())


def derivatives(graph: Graph, order: int) -> tuple[Tangent, Adjoint] | None:
    """What second derivatives take: the steps with their tangents, and the derived backward sweep of these.

    Raises ValueError for an order that is not 1 or 2.
    """
    if isinstance(order, bool) or order not in (1, 2):
        raise ValueError(f"order: expected 1 or 2, the highest derivatives that a module has, got {order!r}")
    if order == 1:
        return None
    found = tangent(graph)
    return found, second(found)


def plan(cell: Cell | str | Path, target: str = "numpy", *, order: int = 1) -> Plan:
    """The programs of a cell for a target; ``print(plan)`` is the cost report. ``order``: 2 for second derivatives too.

    Raises ValueError for an unknown target or order, CellError for what is no cell.
    """
    return plans(cell, (target,), order=order)[target]


def plans(cell: Cell | str | Path, targets: Iterable[str], *, order: int = 1) -> dict[str, Plan]:
    """The programs of a cell for several targets, which share its graphs, and cite its derivation.

    Raises ValueError for an unknown target or order.
    """
    profiles = {target: emitter(target).PROFILE for target in targets}
    cell = as_cell(cell)
    found = graphs(cell)
    twice = derivatives(found[0], order)
    made = {target: plan_graphs(cell, *found, profile, twice) for target, profile in profiles.items()}
    return {target: numbered(plan, cited(cell)) for target, plan in made.items()}


def source(cell: Cell | str | Path, target: str = "numpy", *, order: int = 1) -> str:
    """The standalone module of a cell, as text. ``order``: 2 for one with ``jvp`` and ``second`` too.

    Raises ValueError for an unknown target or order.
    """
    return emitter(target).emit(plan(cell, target, order=order))


@lru_cache(maxsize=64)
def cited(cell: Cell) -> Mapping[str, int]:
    """For each value of a cell's graphs the number of the formula of its derivation, which comments of emitted code
    cite."""
    return citations(records(cell))


def emitter(target: str) -> types.ModuleType:
    """The package that writes a target's language. Raises ValueError for an unknown target."""
    if target not in TARGETS:
        raise ValueError(f"target: expected one of {', '.join(TARGETS)}, got {target!r}")
    return import_module(f"symcell.emit.{target}")


def compile(
    cell: Cell | str | Path,
    target: str = "numpy",
    *,
    emulate: bool = False,
    strategy: str | None = None,
    order: int = 1,
) -> types.ModuleType:
    """The emitted module of a cell, in memory: the same source that ``symcell generate`` writes.

    ``order``: 2 for a module with second derivatives, ``jvp`` and ``second``.

    ``emulate=True`` runs a CuPy module on the CPU, its kernels compiled by the host's C++ compiler. A C module calls
    the system's C compiler when it first runs (RuntimeError where there is none, or where it fails). ``strategy``: how
    a CuPy module runs its steps (its ``STRATEGIES``). Raises ValueError for an unknown target, strategy or order, or a
    target that cannot be emulated or has no strategies; ImportError where the target's library is missing.
    """
    cell = as_cell(cell)
    text = source(cell, target, order=order)
    name = f"{cell.name}_{target}" + ("" if order == 1 else f"_order{order}")
    if emulate and target != "cupy":
        raise ValueError(f"emulate: only the target cupy can be emulated, got {target!r}")
    if emulate:
        from symcell.emulate import load

        module = load(text, name)
    else:
        module = _module(text, name)
    if strategy is not None:
        _set_strategy(module, target, strategy)
    return _pickling(module, (cell, target, emulate, order))


def _set_strategy(module: types.ModuleType, target: str, strategy: str) -> None:
    if target != "cupy":
        raise ValueError(f"strategy: only modules of the target cupy have one, got {target!r}")
    known = emitter(target).STRATEGIES
    if strategy not in known:
        raise ValueError(f"strategy: expected one of {', '.join(known)}, got {strategy!r}")
    module.STRATEGY = strategy  # type: ignore[attr-defined]


_Key = tuple[Cell, str, bool, int]
"""What a module was compiled from: cell, target, whether it is emulated, and order."""

_MODULES: WeakValueDictionary[_Key, types.ModuleType] = WeakValueDictionary()


def _pickling(module: types.ModuleType, key: _Key) -> types.ModuleType:
    """The module, whose Params pickle though no import finds it: as what it was compiled from and their numbers."""
    _MODULES[key] = module
    numbers = module.Params.__reduce__
    module.Params.__reduce__ = lambda params: (_unpickled, (*key, numbers(params)[1]))
    return module


def _unpickled(cell: Cell, target: str, emulate: bool, order: int, numbers: tuple[object, ...]) -> object:
    """Params again: of the module that is there already, or of one compiled for them."""
    module = _MODULES.get((cell, target, emulate, order)) or compile(cell, target, emulate=emulate, order=order)
    return module.Params(*numbers)


def _module(text: str, name: str) -> types.ModuleType:
    filename = f"<symcell {name}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    module = types.ModuleType(name)
    module.__file__ = filename
    try:
        exec(builtins.compile(text, filename, "exec"), module.__dict__)
    except ModuleNotFoundError as error:
        hint = "pip install 'symcell[cupy]' (CUDA 13) or 'symcell[cupy-cuda12]'; emulate=True runs it on the CPU"
        raise ImportError(f"the target cupy needs CuPy: {hint}" if error.name == "cupy" else str(error)) from error
    return module
