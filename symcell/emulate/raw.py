"""``cupy.RawKernel`` and ``cupy.RawModule`` on the host."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from symcell.emulate import arguments, build, graphs, kernels, launch, places, streams, symbols
from symcell.emulate.array import Array, unwrap
from symcell.emulate.attributes import KernelAttributes
from symcell.emulate.device import DEVICE, Device
from symcell.emulate.errors import EmulatorError, KernelError
from symcell.emulate.launch import Order
from symcell.emulate.memory import current
from symcell.emulate.toolchain import Watch


@dataclass(frozen=True)
class Settings:
    """How the kernels of one emulated module are built, and on what device they run in which order.

    ``patience`` is how many seconds a thread may compute for without letting others run, 0 for any time.
    """

    watch: Watch = "nothing"
    order: Order = "forward"
    device: Device = DEVICE
    patience: int = 60


@dataclass(frozen=True)
class Function:
    """A compiled kernel as the driver knows it: ``ptr`` stands for it."""

    ptr: int


def _options(options: object) -> tuple[str, ...]:
    if not isinstance(options, tuple) or not all(isinstance(option, str) for option in options):
        raise TypeError(f"options must be a tuple of str, as CuPy demands, not {options!r}")
    return options


class RawKernel(KernelAttributes):
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
        self._device = self.settings.device
        self._most_shared = self._device.shared_per_block
        self._parameters: tuple[arguments.Parameter, ...] | None = None

    @property
    def kernel(self) -> Function:
        """The compiled kernel, for ``cupy.cuda.driver``."""
        self._ready()
        functions[id(self)] = self
        return Function(id(self))

    def compile(self, log_stream: object = None) -> None:
        """Compiles now.

        Raises CompileError, and EmulatorError where CuPy finds no kernel of the name: it is not ``extern "C"``, say.
        """
        found = kernels.find_kernels(self.code)
        if self.name not in found:
            raise EmulatorError(f"the CUDA source has no kernel {self.name!r}; it has {', '.join(found) or 'none'}")
        source = kernels.host_source(self.code, found)
        library = build.load_library(source, self.options, watch=self.settings.watch)
        self._library = Path(library._name)
        self._static = symbols.static_shared(self._library, self.name, found)
        if not hasattr(library, self.name):
            raise EmulatorError(f'kernel {self.name!r} is not extern "C": CuPy finds no kernel of that name')
        count = library[f"symcell_count_{self.name}"]()
        table = library[f"symcell_table_{self.name}"]
        table.restype = ctypes.c_void_p
        self._run = library[f"symcell_launch_{self.name}"]
        self._found = found[self.name]
        self._parameters = arguments.parameters(self._found.parameters, ctypes.string_at(table(), 4 * count))

    def _ready(self) -> kernels.Kernel:
        """What the source says of the kernel, which is compiled now unless it was."""
        if self._parameters is None:
            self.compile()
        return self._found

    def _limits(self) -> launch.Limits:
        found = self._ready()
        return launch.Limits(
            self.name, self._device, found.most_threads, self._most_shared, self._static, found.registers,
            self.enable_cooperative_groups, found.cluster,
        )  # fmt: skip

    def _here(self, args: Sequence[object]) -> None:
        """KernelError for an array on another device than the current one, which has no such address."""
        for parameter, value in self._arrays(args):
            if value.device.id != current.device:
                raise KernelError(
                    f"kernel {self.name}: {parameter.name} lies on device {value.device.id}, and the kernel runs on "
                    f"device {current.device} (cudaErrorIllegalAddress)"
                )

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[object],
        *,
        shared_mem: int = 0,
        stream: Any = None,
    ) -> None:
        """Runs the kernel, and returns when it has finished; or writes the launch down where the stream captures.

        Raises TypeError for wrong arguments, LaunchError for a launch that CUDA refuses, KernelError for what the
        kernel did wrong.
        """
        checked = launch.checked(self._limits(), grid, block, shared_mem)
        assert self._parameters is not None
        packed = arguments.pack(self.name, self._parameters, args)
        self._here(args)
        capture = streams.launching(stream)
        if capture is None:
            self._launch(checked, packed, self._arrays(args))
        else:
            memory = [(p.name, graphs.owner(unwrap(a))) for p, a in self._arrays(args)]
            capture.nodes.append(graphs.Node(self.name, lambda: self._launch(checked, packed, []), memory))

    def _arrays(self, args: Sequence[object]) -> list[tuple[arguments.Parameter, Array]]:
        """The arguments that are arrays, with their parameters."""
        assert self._parameters is not None
        pairs = zip(self._parameters, args, strict=True)
        return [(parameter, value) for parameter, value in pairs if isinstance(value, Array)]

    def _launch(self, checked: launch.Launch, packed: Any, arrays: list[tuple[arguments.Parameter, Array]]) -> None:
        """Runs the kernel; ``arrays`` are named in what it complains about."""
        what = checked.as_c(self.settings.order, self.settings.patience)
        message = ctypes.create_string_buffer(1024)
        if self._run(ctypes.byref(what), packed, message, ctypes.c_size_t(1024)):
            text = places.named(message.value.decode(), arrays)
            raise KernelError(f"kernel {self.name}: {symbols.named(text, self._library)}")


functions: WeakValueDictionary[int, RawKernel] = WeakValueDictionary()
"""Compiled kernels, by what stands for each."""


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
        build.load_library(kernels.host_source(self.code, found), self.options, watch=self.settings.watch)


def _bound(base: Any, settings: Settings) -> Any:
    return type(base.__name__, (base,), {"settings": settings})


def classes(settings: Settings) -> dict[str, Any]:
    """RawKernel and RawModule for one emulated module."""
    return {base.__name__: _bound(base, settings) for base in (RawKernel, RawModule)}
