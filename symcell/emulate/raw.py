"""``cupy.RawKernel`` and ``cupy.RawModule`` on the host."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from symcell.emulate import arguments, build, kernels, launch
from symcell.emulate.errors import EmulatorError, KernelError, LaunchError

Order = Literal["forward", "reversed"]


@dataclass(frozen=True)
class Settings:
    """How the kernels of one emulated module are built and run."""

    sanitize: bool = False
    order: Order = "forward"


def _options(options: object) -> tuple[str, ...]:
    if not isinstance(options, tuple) or not all(isinstance(option, str) for option in options):
        raise TypeError(f"options must be a tuple of str, as CuPy demands, not {options!r}")
    return options


class RawKernel:
    """A kernel of ``code``; compiled at its first use, like CuPy's."""

    settings: ClassVar[Settings] = Settings()

    def __init__(
        self,
        code: str,
        name: str,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        *,
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        jitify: bool | None = None,
    ) -> None:
        if not isinstance(code, str) or not isinstance(name, str):
            raise TypeError("code and name must be str")
        self.code, self.name, self.options, self.backend = code, name, _options(options), backend
        self.enable_cooperative_groups = enable_cooperative_groups
        self.__name__ = name
        self._most_shared = launch.SHARED_DEFAULT
        self._parameters: tuple[arguments.Parameter, ...] | None = None

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """Bytes of dynamic shared memory that a launch may ask for. Can be set, up to the device's limit."""
        return self._most_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, value: int) -> None:
        if not 0 <= value <= launch.SHARED_LIMIT:
            raise LaunchError(f"kernel {self.name}: a block has at most {launch.SHARED_LIMIT} bytes of shared memory")
        self._most_shared = value

    def compile(self, log_stream: object = None) -> None:
        """Compiles now.

        Raises CompileError, and EmulatorError where CuPy finds no kernel of the name: it is not ``extern "C"``, say.
        """
        found = kernels.find_kernels(self.code)
        if self.name not in found:
            raise EmulatorError(f"the CUDA source has no kernel {self.name!r}; it has {', '.join(found) or 'none'}")
        source = kernels.host_source(self.code, found)
        library = build.load_library(source, self.options, sanitize=self.settings.sanitize)
        if not hasattr(library, self.name):
            raise EmulatorError(f'kernel {self.name!r} is not extern "C": CuPy finds no kernel of that name')
        count = library[f"symcell_count_{self.name}"]()
        table = library[f"symcell_table_{self.name}"]
        table.restype = ctypes.c_void_p
        self._run = library[f"symcell_launch_{self.name}"]
        self._kernel = found[self.name]
        self._parameters = arguments.parameters(self._kernel.parameters, ctypes.string_at(table(), 4 * count))

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[object],
        *,
        shared_mem: int = 0,
        stream: object = None,
    ) -> None:
        """Runs the kernel, and returns when it has finished.

        Raises TypeError for wrong arguments, LaunchError for a launch that CUDA refuses, KernelError for what the
        kernel did wrong.
        """
        if self._parameters is None:
            self.compile()
        assert self._parameters is not None
        checked = launch.checked(self.name, grid, block, shared_mem, self._kernel.most_threads, self._most_shared)
        packed = arguments.pack(self.name, self._parameters, args)
        what = checked.as_c(cooperative=self.enable_cooperative_groups, reverse=self.settings.order == "reversed")
        message = ctypes.create_string_buffer(512)
        if self._run(ctypes.byref(what), packed, message, ctypes.c_size_t(512)):
            raise KernelError(f"kernel {self.name}: {message.value.decode()}")


class RawModule:
    """The kernels of one CUDA source text; the arguments are keyword-only and options a tuple, as in CuPy."""

    settings: ClassVar[Settings] = Settings()

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Sequence[str] | None = None,
        jitify: bool | None = None,
    ) -> None:
        if code is None or path is not None or name_expressions is not None:
            raise EmulatorError("the emulator takes RawModule(code=...), without path and name_expressions")
        if not isinstance(code, str):
            raise TypeError("code must be str")
        self.code, self.options, self.backend = code, _options(options), backend
        self.enable_cooperative_groups = enable_cooperative_groups

    def get_function(self, name: str) -> RawKernel:
        """The kernel ``name``, compiled: RawModule compiles here and not when it is made, as in CuPy."""
        kernel = _bound(RawKernel, self.settings)(
            self.code,
            name,
            self.options,
            self.backend,
            enable_cooperative_groups=self.enable_cooperative_groups,
        )
        kernel.compile()
        return kernel

    def compile(self, log_stream: object = None) -> None:
        """Compiles now."""
        found = kernels.find_kernels(self.code)
        build.load_library(kernels.host_source(self.code, found), self.options, sanitize=self.settings.sanitize)


def _bound(base: Any, settings: Settings) -> Any:
    return type(base.__name__, (base,), {"settings": settings})


def classes(settings: Settings) -> dict[str, Any]:
    """RawKernel and RawModule for one emulated module."""
    return {base.__name__: _bound(base, settings) for base in (RawKernel, RawModule)}
