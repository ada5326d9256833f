"""Loads the unmodified source of an emitted CuPy module so that it runs on the CPU."""

from __future__ import annotations

import builtins
import itertools
import linecache
import types
from collections.abc import Mapping, Sequence
from typing import Any

from symcell.emulate.device import DEVICE, Device
from symcell.emulate.launch import Order
from symcell.emulate.raw import Settings
from symcell.emulate.standin import packages

_numbers = itertools.count(1)  # next() is atomic
_REPLACED = ("cupy", "cupyx", "cupy_backends")


def _importer(replacements: Mapping[str, types.ModuleType]) -> Any:
    """An ``__import__`` that finds cupy in ``replacements`` and leaves every other name to Python."""

    def load_name(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        top = name.partition(".")[0]
        if level != 0 or top not in _REPLACED:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if name not in replacements:
            raise ModuleNotFoundError(f"the emulator has no {name!r}", name=name)
        for full in (name, *(f"{name}.{item}" for item in fromlist or ())):
            parent, _, last = full.rpartition(".")
            if parent and full in replacements:  # like Python, bind a submodule in its package when it is imported
                setattr(replacements[parent], last, replacements[full])
        return replacements[name if fromlist else top]

    return load_name


def load(
    source: str,
    name: str,
    *,
    sanitize: bool = False,
    races: bool = False,
    order: Order = "forward",
    device: Device = DEVICE,
) -> types.ModuleType:
    """The module that ``source`` is, with ``cupy`` standing for the emulator and everything else imported as usual.

    ``sanitize`` compiles its kernels with AddressSanitizer and UBSan (see ``symcell.emulate.sanitizer``). ``races``
    looks for races (see races.h): two threads that reach the same bytes, one of them writing, with nothing that orders
    them, are a KernelError, whichever comes first.

    ``order="reversed"`` runs the threads of a block, and the blocks, from the last to the first, and a number as the
    seed of a random order, other at every barrier: with a barrier missing, results then change. ``device`` says how
    many blocks of a cooperative launch fit, and how much shared memory there is.

    Raises what the module's own code raises, and SyntaxError. Nothing is added to ``sys.modules``; several threads may
    load at once.
    """
    if order not in ("forward", "reversed") and not (isinstance(order, int) and order >= 0):
        raise ValueError(f"order must be 'forward', 'reversed' or a seed of 0 or more, not {order!r}")
    if sanitize and races:
        raise ValueError("a kernel is compiled with sanitize=True or with races=True, not with both")
    filename = f"<emulated {name} {next(_numbers)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    module = types.ModuleType(name)
    settings = Settings("memory" if sanitize else "races" if races else "nothing", order, device)
    module.__dict__["__file__"] = filename
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importer(packages(settings))}
    exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)
    return module
