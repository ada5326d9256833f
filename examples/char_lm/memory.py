"""The most memory that training holds, beyond what was held when it began."""

from __future__ import annotations

import torch

from symcell.bench import memory


class Peak:
    """``device``: a GPU counts what PyTorch's allocator holds of it; elsewhere it is the process's resident memory."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._known = self._cuda or not memory.missing()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        self._start = torch.cuda.memory_allocated() if self._cuda else memory.mark() if self._known else 0

    def bytes(self) -> int | None:
        """Since this was made; None where it is not known."""
        if not self._known:
            return None
        highest = torch.cuda.max_memory_allocated() if self._cuda else memory.highest()
        return int(max(0, highest - self._start))
