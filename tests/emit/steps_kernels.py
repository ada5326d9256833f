"""The kernels of all steps as a device would be given them, for any sizes and without a device.

``python tools/kernel_table.py`` compiles those of all cells.
"""

from __future__ import annotations

import re
import types
from dataclasses import dataclass
from typing import Any

import symcell
from symcell.emulate import Device, load, nvrtc
from symcell.pipeline import source
from symcell.verify.case import Case
from symcell.verify.cases import Kind, random_case
from symcell.verify.targets import run

DEVICES = {
    "sm_75": Device(40, threads=1024, blocks=16, shared=64 << 10, shared_per_block_optin=64 << 10, capability=(7, 5)),
    "sm_80": Device(108, shared=164 << 10, shared_per_block_optin=163 << 10, capability=(8, 0)),
    "sm_90": Device(132),
    "sm_120": Device(170, threads=1536, shared=100 << 10, shared_per_block_optin=99 << 10, capability=(12, 0)),
}
"""By architecture: a T4, an A100, an H100, an RTX 5090."""


@dataclass(frozen=True)
class Launched:
    """A kernel as it would be compiled and launched; ``shared``: bytes of its dynamic shared memory."""

    name: str
    code: str
    grid: tuple[int, ...]
    shared: int
    cooperative: bool


@dataclass(frozen=True)
class Taken:
    """What NVIDIA's assembler makes of a kernel. ``static``, ``spilled``: bytes."""

    ptx: bytes
    registers: int
    static: int
    spilled: int


def launched(
    name: str, sizes: int, batch: int, dtype: str, device: Device, strategy: str = "persistent"
) -> list[Launched]:
    """The kernels of all steps of a shipped cell, or those that graphs of them have, forward and backward, all of its
    sizes being ``sizes``.

    Nothing is computed: kernels are written down and not run.
    """
    cell = symcell.load(name)
    module = load(source(cell, "cupy"), name, device=device)
    module.STRATEGY = strategy  # type: ignore[attr-defined]
    found: list[Launched] = []

    class Kernel:
        max_dynamic_shared_size_bytes = 0

        def __init__(self, name: str, code: str, cooperative: bool) -> None:
            self.what = name, code, cooperative

        def __call__(self, grid: tuple[int, ...], block: object, arguments: object, *, shared_mem: int = 0) -> None:
            kernel, code, cooperative = self.what
            steps = any(kernel == name or kernel.startswith(f"{name}_") for name in module.STEPS)
            if steps and kernel not in {one.name for one in found}:
                found.append(Launched(kernel, code, grid, shared_mem, cooperative))

    class RawModule:
        def __init__(self, *, code: str, options: object, enable_cooperative_groups: bool = False) -> None:
            self.code, self.cooperative = code, enable_cooperative_groups

        def get_function(self, kernel: str) -> Kernel:
            return Kernel(kernel, self.code, self.cooperative)

    module.cp.RawModule = RawModule
    run(module, _case(cell, sizes, batch), dtype)
    return found


def written(name: str, sizes: int, batch: int, dtype: str, device: Device, *, tf32: bool = False) -> list[Launched]:
    """The same, of any sizes: nothing of them is there."""
    cell = symcell.load(name)
    module: Any = load(source(cell, "cupy"), name, device=device)
    found: list[Launched] = []

    class RawModule:
        def __init__(self, *, code: str, options: object, enable_cooperative_groups: bool = False) -> None:
            shared = shares.places(module.ITEMSIZES[dtype][0])[1]
            grid = (shares.groups, shares.parts)
            found.append(Launched(sweep, code, grid, shared, enable_cooperative_groups))

        def get_function(self, kernel: str) -> Any:
            return types.SimpleNamespace()

    module.cp.RawModule = RawModule
    for sweep in module.STEPS:
        work = module._work(sweep, dict.fromkeys(cell.sizes, sizes))
        shares = module._shares("persistent", work, batch, dtype, 0, tf32)
        module._steps_kernel(sweep, shares, dtype, 0)
    return found


def _case(cell: Any, sizes: int, batch: int) -> Case:
    return random_case(cell, Kind("compiled", 1, batch), sizes=dict.fromkeys(cell.sizes, sizes))


def taken(kernel: Launched, arch: str) -> Taken:
    """Compiles a kernel with NVRTC."""
    ptx, log = nvrtc.assembled(kernel.code, arch)

    def number(pattern: str) -> int:
        return sum(int(n) for n in re.findall(pattern, log))

    return Taken(
        ptx, number(r"Used (\d+) registers"), number(r"(\d+) bytes smem"), number(r"(\d+) bytes spill (?:stores|loads)")
    )
