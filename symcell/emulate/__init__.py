"""Runs emitted CuPy modules on a CPU: the kernels' CUDA source is compiled by the host C++ compiler.

``load`` gives the module. See cuda_host.h for the CUDA that kernels may use, and runtime.cpp for how they run.
"""

from symcell.emulate.device import Device
from symcell.emulate.errors import (
    CompileError,
    CompilerNotFoundError,
    CooperativeLaunchError,
    EmulatorError,
    KernelError,
    LaunchError,
    SanitizerError,
)
from symcell.emulate.loader import load

__all__ = [
    "CompileError",
    "CompilerNotFoundError",
    "CooperativeLaunchError",
    "Device",
    "EmulatorError",
    "KernelError",
    "LaunchError",
    "SanitizerError",
    "load",
]
