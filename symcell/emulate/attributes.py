"""What a compiled kernel says of itself: the attributes of ``cupy.RawKernel``."""

from __future__ import annotations

from symcell.emulate.device import Device
from symcell.emulate.errors import LaunchError
from symcell.emulate.kernels import Kernel


class KernelAttributes:
    """A kernel's attributes; a subclass finds them when it compiles, which ``_ready`` asks it to."""

    name: str
    _device: Device
    _static: int
    _most_shared: int
    _carveout = -1

    def _ready(self) -> Kernel:
        """What the source says of the kernel, which is compiled now unless it was."""
        raise NotImplementedError

    @property
    def max_threads_per_block(self) -> int:
        """The most threads of a block: its ``__launch_bounds__``."""
        return self._ready().most_threads

    @property
    def num_regs(self) -> int:
        """Registers of a thread: as many as its ``__launch_bounds__`` allow, since a host's compiler counts others."""
        return self._ready().registers

    @property
    def shared_size_bytes(self) -> int:
        """Bytes of static shared memory."""
        self._ready()
        return self._static

    @property
    def local_size_bytes(self) -> int:
        """Bytes of local memory of a thread: 0, as if nothing was spilled."""
        self._ready()
        return 0

    const_size_bytes = local_size_bytes

    @property
    def attributes(self) -> dict[str, int]:
        """Those above and below, by name."""
        names = ("max_threads_per_block", "shared_size_bytes", "const_size_bytes", "local_size_bytes", "num_regs",
                 "max_dynamic_shared_size_bytes", "preferred_shared_memory_carveout")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    @property
    def preferred_shared_memory_carveout(self) -> int:
        """Percents of the first cache for shared memory, -1 for the driver's choice. Can be set, and does nothing."""
        return self._carveout

    @preferred_shared_memory_carveout.setter
    def preferred_shared_memory_carveout(self, fraction: int) -> None:
        if not -1 <= fraction <= 100:
            raise LaunchError(f"kernel {self.name}: a carveout is a percentage or -1, not {fraction}")
        self._carveout = fraction

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """Bytes of dynamic shared memory that a launch may ask for. Can be set, up to the device's limit."""
        return self._most_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, value: int) -> None:
        most = self._device.shared_per_block_optin - self.shared_size_bytes
        if not 0 <= value <= most:
            raise LaunchError(
                f"kernel {self.name}: max_dynamic_shared_size_bytes is at most {most} on this device, besides "
                f"{self.shared_size_bytes} bytes of static shared memory, not {value} (CUDA_ERROR_INVALID_VALUE)"
            )
        self._most_shared = value
