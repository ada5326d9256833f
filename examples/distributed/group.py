"""The processes of a run: those that ``torchrun`` has started, or this one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """``rank`` of ``size`` processes, and the device of this one."""

    rank: int
    size: int
    device: torch.device

    def mean(self, value: Tensor) -> float:
        """The mean over all processes of a number that each has."""
        total = value.detach().clone()
        if self.size > 1:
            dist.all_reduce(total)
        return total.item() / self.size


@contextmanager
def joined() -> Iterator[Group]:
    """The group that ``torchrun``'s environment describes, left in the end; without it, this process alone."""
    cuda = torch.cuda.is_available()
    if "RANK" not in os.environ:
        yield Group(0, 1, torch.device("cuda" if cuda else "cpu"))
        return
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
