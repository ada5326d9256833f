"""GPUs as numbers, and where each number is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from symcell import emulate

KB = 1024


@dataclass(frozen=True)
class Device:
    """A GPU. ``capability``: compute capability; ``processors``: multiprocessors; ``shared``: bytes of shared memory
    that a block may have; ``cooperative``: whether blocks of a launch may wait for each other; ``fp32``: TFLOP/s in
    float32; ``fp16``: the same of products of 16-bit numbers on matrix units, added up in float32; ``memory``: GB/s.
    ``sources``: of each field."""

    name: str
    title: str
    capability: tuple[int, int]
    processors: int
    shared: int
    cooperative: bool
    fp32: float
    fp16: float
    memory: float
    sources: Mapping[str, str]

    def stand_in(self) -> emulate.Device:
        """The same as a module finds it that the emulator has loaded."""
        return emulate.Device(
            multiprocessors=self.processors,
            shared=self.shared + KB,
            shared_per_block_optin=self.shared,
            cooperative=self.cooperative,
            capability=self.capability,
        )


_GUIDE = "CUDA C++ Programming Guide, technical specifications per compute capability"
_AMPERE = "NVIDIA A100 architecture white paper (SXM4, 80 GB)"
_HOPPER = "NVIDIA H100 architecture white paper (SXM5)"
_ADA = "NVIDIA Ada GPU architecture white paper"
_T4 = "NVIDIA T4 data sheet"
_A10 = "NVIDIA A10 data sheet"
_RTX = "NVIDIA RTX Blackwell GPU architecture white paper"
_H200 = "NVIDIA H200 data sheet (SXM)"
_B200 = "NVIDIA Blackwell data sheet (B200 SXM)"


def _sources(spec: str) -> Mapping[str, str]:
    given = dict.fromkeys(("processors", "fp32", "fp16", "memory"), spec)
    return MappingProxyType({**given, **dict.fromkeys(("capability", "shared", "cooperative"), _GUIDE)})


_ALL = (
    Device("t4", "T4", (7, 5), 40, 64 * KB, True, 8.1, 65, 320, _sources(_T4)),
    Device("a100", "A100 SXM4 80 GB", (8, 0), 108, 163 * KB, True, 19.5, 312, 2039, _sources(_AMPERE)),
    Device("a10", "A10", (8, 6), 72, 99 * KB, True, 31.2, 125, 600, _sources(_A10)),
    Device("h100", "H100 SXM5 80 GB", (9, 0), 132, 227 * KB, True, 66.9, 989, 3350, _sources(_HOPPER)),
    Device("h200", "H200 SXM 141 GB", (9, 0), 132, 227 * KB, True, 66.9, 989, 4800, _sources(_H200)),
    Device("rtx4090", "GeForce RTX 4090", (8, 9), 128, 99 * KB, True, 82.6, 165, 1008, _sources(_ADA)),
    Device("b200", "B200 SXM 180 GB", (10, 0), 148, 227 * KB, True, 75, 2250, 7700, _sources(_B200)),
    Device("rtx5090", "GeForce RTX 5090", (12, 0), 170, 99 * KB, True, 104.8, 209.5, 1792, _sources(_RTX)),
)

DEVICES: Mapping[str, Device] = MappingProxyType({device.name: device for device in _ALL})
"""The devices that are known, by name."""


def device(name: str) -> Device:
    """A device by name. Raises ValueError for an unknown one."""
    if name not in DEVICES:
        raise ValueError(f"device: expected one of {', '.join(DEVICES)}, got {name!r}")
    return DEVICES[name]
