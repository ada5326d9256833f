"""The CUDA source of every shipped cell compiles with NVIDIA's own compiler: in float, also with numbers stored in 16
bits, for every architecture, in double for the oldest and the newest; and kernels of all steps, which are of some
sizes, keep to what a device has. Without ``--whole`` two cells are compiled for all, a few more in double for the
newest; every cell is in float for the oldest. `tools/kernel_table.py` compiles them all."""

from __future__ import annotations

import functools

import pytest
from steps_kernels import DEVICES, launched, taken, written

import symcell
from symcell.emit.cupy import cuda_source
from symcell.emulate import nvrtc
from symcell.pipeline import plan
from symcell.predict import device
from symcell.predict.kernels import sources

REASON = nvrtc.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")


@functools.cache
def source(name: str) -> str:
    return cuda_source(plan(name, "cupy"))


SLOW = (b"div.s64", b"div.u64", b"rem.s64", b"rem.u64")
OLDEST, NEWEST = nvrtc.ARCHITECTURES[0], nvrtc.ARCHITECTURES[-1]
NUMBERS = {
    "float": "typedef float real;",
    "double": "typedef double real;",
    "float16": "typedef float real;\n#define STORED_F16",
    "bfloat16": "typedef float real;\n#define STORED_BF16",
}
KINDS = [(real, arch) for real in ("float", "float16", "bfloat16") for arch in nvrtc.ARCHITECTURES]
KINDS += [("double", OLDEST), ("double", NEWEST)]
EVERYWHERE = ("rnn", "lstm")
"""Cells whose source is compiled for all: without and with a cell state."""
TWICE = ("mlstm", "mamba", "gated_deltanet", "layernorm_lstm")
"""Cells whose source is compiled in double for the newest too: matrix memories, a scan of many, norms."""


def sampled(name: str, kind: tuple[str, str]) -> bool:
    if kind[0] in ("float16", "bfloat16"):
        return name in ("lstm", "mamba") and (kind[1] in (OLDEST, NEWEST) or name == "lstm")
    return name in EVERYWHERE or kind == ("float", OLDEST) or (name in TWICE and kind == ("double", NEWEST))


@pytest.mark.parametrize(("name", "real", "arch"), [
    pytest.param(name, *kind, marks=[] if sampled(name, kind) else pytest.mark.whole)
    for name in symcell.names() for kind in KINDS
])  # fmt: skip
def test_compiles(name: str, real: str, arch: str) -> None:
    ptx = nvrtc.compile_ptx(f"{NUMBERS[real]}\n{source(name)}", arch)
    assert f".target {arch}".encode() in ptx
    assert b".entry forward_1" in ptx
    assert b".entry backward_1" in ptx
    assert not [op for op in SLOW if op in ptx], "a slow division"
    if real != "double":
        assert b".f64" not in ptx, "a float kernel computes in double"
    assert (b"cvt.rn.f16.f32" in ptx) == (real == "float16")
    assert (b"cvt.rn.bf16.f32" in ptx) == (real == "bfloat16" and arch != "sm_75")


# all cells: python tools/kernel_table.py
STEPS = [("lstm", "sm_75", "float32"), ("layernorm_lstm", "sm_90", "float64"), ("lmu", "sm_120", "float32")]


GRAPHS = [
    ("lstm", "sm_90", "float32"),
    pytest.param("layernorm_lstm", "sm_75", "float32", marks=pytest.mark.whole),
]


@pytest.mark.parametrize(("name", "arch", "dtype"), GRAPHS)
def test_kernels_of_graphs(name: str, arch: str, dtype: str) -> None:
    """At a size for which no device has room on chip: nothing spills, wherever weights lie."""
    device = DEVICES[arch]
    kernels = launched(name, 2048, 16, dtype, device, "graph")
    legs = [kernel for kernel in kernels if "_leg_" in kernel.name]
    assert {leg.name[:-1] for leg in legs} == {"forward_steps_leg_", "backward_steps_leg_"}
    for leg in legs:
        found = taken(leg, arch)
        assert f".entry {leg.name}".encode() in found.ptx
        assert found.spilled == 0
        assert leg.shared + found.static <= device.shared_per_block_optin


@pytest.mark.parametrize(("name", "arch", "dtype"), STEPS)
def test_kernels_of_all_steps(name: str, arch: str, dtype: str) -> None:
    """At sizes that fill registers and shared memory: nothing spills, and blocks of 256 threads fit the device."""
    device = DEVICES[arch]
    kernels = launched(name, 256, 64, dtype, device)
    assert [kernel.name for kernel in kernels] == ["forward_steps", "backward_steps"]
    for kernel in kernels:
        found = taken(kernel, arch)
        assert f".entry {kernel.name}".encode() in found.ptx
        assert not [op for op in SLOW if op in found.ptx], "a slow division"
        assert (b".f64" in found.ptx) == (dtype == "float64")
        assert found.spilled == 0
        assert 64 < found.registers <= 255
        assert kernel.shared + found.static <= device.shared_per_block_optin
        waiting = kernel.grid[0] * kernel.grid[1]
        assert not kernel.cooperative or waiting <= device.multiprocessors


LARGEST = {
    "sm_75": {"float16": 512, "bfloat16": 256, "float32": 512},
    "sm_80": {"float16": 1536, "bfloat16": 1024, "float32": 1024, "tf32": 1024},
    "sm_90": {"float16": 2048, "bfloat16": 1536, "float32": 1024, "tf32": 1024},
    "sm_120": {"float16": 1536, "bfloat16": 1024, "float32": 1024, "tf32": 1024},
}
"""Units by device and type."""
PROBES = [
    (name, arch, dtype)
    for arch, sizes in LARGEST.items() for dtype in sizes for name in ("lstm", "gru", "layernorm_lstm")
]  # fmt: skip
QUICK = (("lstm", "sm_90", "float16"), ("gru", "sm_80", "float32"), ("gru", "sm_120", "bfloat16"))


@pytest.mark.parametrize(
    ("name", "arch", "dtype"),
    [pytest.param(*probe, marks=[] if probe in QUICK else pytest.mark.whole) for probe in PROBES],
)
def test_weights_in_registers(name: str, arch: str, dtype: str) -> None:
    """What a thread holds of the matrices leaves room for all else: nothing spills."""
    device, tf32 = DEVICES[arch], dtype == "tf32"
    for kernel in written(name, LARGEST[arch][dtype], 16, "float32" if tf32 else dtype, device, tf32=tf32):
        found = taken(kernel, arch)
        assert found.spilled == 0, kernel.name
        assert kernel.shared + found.static <= device.shared_per_block_optin
        assert (b"mma.sync" in found.ptx) == (dtype != "float32" and (arch, dtype) != ("sm_75", "bfloat16"))


NEAR = {"t4": (800, 672), "a100": (1832, 1400), "h100": (2240, 1712)}
"""Units of an LSTM by device, in float16 and float32."""


@pytest.mark.parametrize("name", NEAR)
def test_the_largest_lstm(name: str) -> None:
    """How many units have room on chip: registers hold what shared memory does not."""
    found = [
        sources(symcell.plan("lstm", "cupy"), device(name), {"D": units, "H": units}, batch=batch, dtype=dtype)[1:]
        for batch in (1, 16) for dtype, units in zip(("float16", "float32"), NEAR[name], strict=True)
    ]  # fmt: skip
    assert all("forward_steps" in loops[0].kernels and "struct Thread" in loops[0].code for loops in found)


def test_an_lstm_of_2048_units_has_weights_in_registers() -> None:
    """Its slices are larger than the shared memory of an H100's block."""
    for kernel in written("lstm", 2048, 16, "float16", DEVICES["sm_90"]):
        numbers = 4 * 2048 * 2048 / kernel.grid[1]
        assert 2 * numbers > DEVICES["sm_90"].shared_per_block_optin
        assert kernel.shared < DEVICES["sm_90"].shared_per_block_optin
