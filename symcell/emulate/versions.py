"""What CUDA says where there is no device, or no driver that its version can work with."""

from __future__ import annotations

from symcell.emulate.device import Device


class CUDARuntimeError(RuntimeError):
    """``cupy.cuda.runtime.CUDARuntimeError``; ``status``: CUDA's number of the error."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(_ERRORS[status])


_ERRORS = {
    35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    401: "cudaErrorIllegalState: the operation cannot be performed in the present state",
    900: "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing",
    901: "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during capture",
    902: "cudaErrorStreamCaptureMerge: operation would result in a merge of separate capture sequences",
    905: "cudaErrorStreamCaptureIsolation: dependency created on uncaptured work in another stream",
    906: "cudaErrorStreamCaptureImplicit: operation would make the legacy stream depend on a capturing blocking stream",
    907: "cudaErrorCapturedEvent: operation not permitted on an event last recorded in a capturing stream",
}


def check(device: Device) -> None:
    """CUDARuntimeError where nothing can run: a driver serves every runtime of its own major version."""
    if device.driver // 1000 < device.toolkit // 1000:
        raise CUDARuntimeError(35)
    if not device.count:
        raise CUDARuntimeError(100)


def available(device: Device) -> bool:
    """Whether something can run."""
    try:
        check(device)
    except CUDARuntimeError:
        return False
    return True
