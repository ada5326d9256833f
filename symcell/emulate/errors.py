"""What can go wrong in the emulator. One base class, so that a caller can tell these from a module's own errors."""

from __future__ import annotations


class EmulatorError(RuntimeError):
    """Base class of every error that the emulator raises on its own account."""


class CompilerNotFoundError(EmulatorError):
    """There is no host C++ compiler."""


class CompileError(EmulatorError):
    """The CUDA source does not compile; the message holds the compiler's log, with lines of the kernel source."""


class LaunchError(EmulatorError):
    """A launch that CUDA would refuse: too many threads, too large a grid, too much shared memory."""


class CooperativeLaunchError(LaunchError, ValueError):
    """A cooperative launch of more blocks than the device holds at once; a ValueError, as in CuPy."""


class CUDADriverError(LaunchError):
    """What the driver refused, as ``cupy.cuda.driver`` says it; ``status``: CUDA's number of the error."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


class KernelError(EmulatorError):
    """A kernel did something undefined while it ran, such as a divergent ``__syncthreads()``."""


class SanitizerError(EmulatorError):
    """AddressSanitizer is not available, or its runtime was not loaded when the process started."""
