"""What an emitted CuPy module will do on a device, by asking the module itself.

The emulator loads the source, which then finds the device that is described; nothing is compiled or run. The rule, and
how long it expects a step to take, are the module's own.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from symcell import emulate

STRATEGIES = ("plain", "block", "persistent", "graph")
"""How a loop over time may run."""
WAITS = {"": "that never wait", "cluster": "that wait in a cluster", "grid": "that wait at a barrier of the grid",
         "graph": "that a graph launches from meeting to meeting"}  # fmt: skip
"""Blocks, by the module's word for how they wait for each other."""


@dataclass(frozen=True)
class Way:
    """A strategy for a loop. ``step``: µs of a step, None where the device has no room for it, and then ``refused``
    says what lacks. ``groups`` of samples, each of ``parts`` blocks that share units; ``at_once``: samples in hand;
    ``waits``: how blocks wait for each other, one of WAITS; ``shared``: bytes of a block's shared memory; ``cache``:
    bytes of products' operands that all blocks together read of the cache in a step; of plain, a launch per stage,
    these are 0."""

    strategy: str
    step: float | None
    refused: str = ""
    groups: int = 0
    parts: int = 0
    at_once: int = 0
    waits: str = ""
    shared: int = 0
    cache: int = 0


@dataclass(frozen=True)
class Loop:
    """A loop over time. ``work``: what a step has to do, the module's ``Step``; ``ways``: each strategy by name;
    ``chosen``: the one that the module takes by itself."""

    name: str
    work: Any
    ways: Mapping[str, Way]
    chosen: str

    @property
    def weights(self) -> int:
        """Numbers in the matrices of a step's products."""
        return sum(inner * sum(many * width for many, width in out) for inner, out in self.work.products)


@lru_cache(maxsize=64)
def loaded(source: str, name: str, device: emulate.Device) -> types.ModuleType:
    """An emitted CuPy module as it is on a device."""
    return emulate.load(source, name, device=device)


def loops(module: types.ModuleType, role: str, sizes: Mapping[str, int], batch: int, dtype: str) -> list[Loop]:
    """The loops of one program of a loaded module, for ``batch`` B samples in a type of numbers."""
    names = [name for name in getattr(module, "STEPS", ()) if name.startswith(f"{role}_steps")]
    return [_loop(module, name, sizes, batch, dtype) for name in names]


def _loop(module: types.ModuleType, name: str, sizes: Mapping[str, int], batch: int, dtype: str) -> Loop:
    work = module._work(name, sizes)
    ways = {strategy: _way(module, strategy, work, batch, dtype) for strategy in STRATEGIES}
    shares = module._shares("auto", work, batch, dtype, 0)
    return Loop(name, work, ways, _chosen(shares))


def _chosen(shares: Any) -> str:
    """The strategy by which blocks share a step so."""
    if shares is None:
        return "plain"
    return "graph" if shares.waits == "graph" else "block" if shares.parts == 1 else "persistent"


def _way(module: types.ModuleType, strategy: str, work: Any, batch: int, dtype: str) -> Way:
    real, stored = module.ITEMSIZES[dtype]
    try:
        shares = module._shares(strategy, work, batch, dtype, 0)
    except RuntimeError as why:
        return Way(strategy, None, str(why).removeprefix("STRATEGY: "))
    if shares is None:
        processors = module.cp.cuda.Device(0).attributes["MultiProcessorCount"]
        return Way(strategy, module._plain(work, batch, stored, processors))
    if shares.waits == "graph":  # with its weights in memory
        shared = module._image(shares, real)[3]
    else:
        _, shared = shares.places(real)
    cache = sum(batch * shares.parts * product.inner * stored for product in shares.products)
    return Way(strategy, shares.expected, "", shares.groups, shares.parts, shares.at_once, shares.waits, shared, cache)
