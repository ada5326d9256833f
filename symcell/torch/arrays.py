"""Between tensors and the arrays of an emitted module: the same memory, no copy."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from symcell.torch.kernel import Kernel


class NumpyArrays:
    """Tensors of the CPU."""

    def array(self, tensor: Tensor) -> Any:
        if tensor.dtype == torch.bfloat16:
            return _as_bits(tensor).numpy().view(_bfloat16())
        return tensor.detach().numpy()

    def tensor(self, array: Any) -> Tensor:
        if _is_bfloat16(array):
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(array)

    def running(self) -> contextlib.AbstractContextManager[None]:
        """Where a module may be called."""
        return _NOTHING


class CupyArrays:
    """Tensors of a CUDA device, on PyTorch's current stream and from its allocator."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def array(self, tensor: Tensor) -> Any:
        import cupy

        if tensor.dtype == torch.bfloat16:
            return cupy.from_dlpack(_as_bits(tensor)).view(_bfloat16())
        return cupy.from_dlpack(tensor.detach())

    def tensor(self, array: Any) -> Tensor:  # its memory, by __cuda_array_interface__
        if _is_bfloat16(array):
            return torch.as_tensor(array.view(np.int16), device=self.device).view(torch.bfloat16)
        return torch.as_tensor(array, device=self.device)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        import cupy

        stream = torch.cuda.current_stream(self.device)
        with (
            cupy.cuda.Device(stream.device_index),
            cupy.cuda.using_allocator(_torch_allocator()),
            cupy.cuda.Stream.from_external(stream),
        ):
            yield


class EmulatedArrays:
    """Tensors of the CPU for a CuPy module that is emulated there: copied, as a device's memory is another."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy

    def array(self, tensor: Tensor) -> Any:
        return self.cupy.asarray(_NUMPY.array(tensor))

    def tensor(self, array: Any) -> Tensor:
        return _NUMPY.tensor(array.get())

    def running(self) -> contextlib.AbstractContextManager[None]:
        return _NOTHING


Arrays = NumpyArrays | CupyArrays | EmulatedArrays
_NOTHING = contextlib.nullcontext()
_NUMPY = NumpyArrays()


def arrays_of(kernel: Kernel, device: torch.device) -> Arrays:
    """How a target's arrays and tensors of a device meet. Raises ValueError where they cannot."""
    target = kernel.target
    if kernel.emulated:
        return EmulatedArrays(kernel.module.cp)
    if target == "cupy":
        if device.type != "cuda":
            raise ValueError(
                f"the target cupy needs tensors on a CUDA device, got {device}: move the module and its inputs with "
                ".to('cuda'), or make it with target='auto' or 'c'"
            )
        return CupyArrays(device)
    if device.type != "cpu":
        raise ValueError(
            f"the target {target} needs tensors on the CPU, got {device}: make the module with target='auto' or 'cupy'"
        )
    return _NUMPY


# bfloat16, which NumPy has from the package ml_dtypes: tensors and arrays meet in the bits, as integers


def _as_bits(tensor: Tensor) -> Tensor:
    return tensor.detach().view(torch.int16)


def _is_bfloat16(array: Any) -> bool:
    return bool(array.dtype.name == "bfloat16")


@functools.cache
def _bfloat16() -> np.dtype[Any]:
    """NumPy's type. Raises ImportError where it has none."""
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise ImportError("tensors of bfloat16 need the package ml_dtypes: pip install ml_dtypes") from error
    return np.dtype(bfloat16)


_ALLOCATOR: Any = None


def _torch_allocator() -> Any:
    """PyTorch's caching allocator as CuPy's, so that both share one pool."""
    global _ALLOCATOR
    if _ALLOCATOR is None:
        import cupy

        def allocate(size: int, device: int) -> int:
            stream = torch.cuda.current_stream(device)
            return torch.cuda.caching_allocator_alloc(size, device, stream) if size else 0

        def free(memory: int, device: int) -> None:
            if memory:
                torch.cuda.caching_allocator_delete(memory)

        _ALLOCATOR = cupy.cuda.PythonFunctionAllocator(allocate, free).malloc
    return _ALLOCATOR


def host_integers(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Integers as a NumPy array on the host."""
    return np.asarray(tensor.detach().cpu().numpy(), np.int64)
