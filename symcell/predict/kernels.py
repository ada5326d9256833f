"""The CUDA that an emitted module would compile for a device, without one: what it hands to CuPy, written down."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from symcell import emulate
from symcell.emulate.numbers import named
from symcell.pipeline import emitter
from symcell.predict.devices import Device
from symcell.program.model import Plan


@dataclass(frozen=True)
class Source:
    """CUDA C as it is handed to the compiler. ``kernels``: those that it is compiled for; ``shared``: bytes of dynamic
    shared memory that a block of theirs has; ``blocks``: how many wait for each other in one launch (0: none do)."""

    kernels: tuple[str, ...]
    code: str
    options: tuple[str, ...]
    shared: int = 0
    blocks: int = 0


def sources(
    plan: Plan,
    device: Device,
    sizes: Mapping[str, int],
    *,
    batch: int,
    dtype: str,
    tf32: bool = False,
    strategy: str = "persistent",
) -> list[Source]:
    """What a plan's CuPy module compiles on a device for ``batch`` B samples at given sizes: first the kernels that are
    launches of their own, then that of each loop over time under a strategy, if the device has room for it.

    Raises ValueError for an unknown strategy.
    """
    module, compiled = _recording(plan, device)
    module._kernels(named(dtype))
    for name in getattr(module, "STEPS", ()):
        work = module._work(name, sizes)
        try:
            shares = module._shares(strategy, work, batch, dtype, 0, tf32)
        except RuntimeError:
            continue
        if shares is not None:
            build = module._graph_kernels if strategy == "graph" else module._steps_kernel
            *_, shared = build(name, shares, dtype, 0)
            waiting = shares.groups * shares.parts if shares.waits in ("cluster", "grid") else 0
            compiled[-1] = replace(compiled[-1], shared=shared, blocks=waiting)
    return compiled


def _recording(plan: Plan, device: Device) -> tuple[types.ModuleType, list[Source]]:
    """A module that compiles nothing, and the list of what it would."""
    found: list[Source] = []

    class RawModule:
        def __init__(self, *, code: str, options: Sequence[str], **_: Any) -> None:
            found.append(Source((), code, tuple(options)))

        def get_function(self, name: str) -> Any:
            made = found[-1]
            found[-1] = replace(made, kernels=(*made.kernels, name))
            return types.SimpleNamespace()

    module = emulate.load(emitter("cupy").emit(plan), plan.cell.name, device=device.stand_in())
    module.cp.RawModule = RawModule
    return module, found
