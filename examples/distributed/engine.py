"""What drives a model on many devices: DistributedDataParallel, FSDP2, or nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from examples.char_lm.model import CharModel

from .group import Group


class Engine(Protocol):
    """``module``: what is called and whose parameters are trained."""

    module: nn.Module

    def gathering(self, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward of a part of a batch: gradients meet those of other devices in the ``last``."""


class Alone:
    """One device."""

    def __init__(self, model: CharModel, group: Group) -> None:
        if group.size > 1:
            raise ValueError(f"{group.size} processes would each train a model of their own: --engine ddp, or fsdp")
        self.module: nn.Module = model

    def gathering(self, last: bool) -> AbstractContextManager[Any]:
        return nullcontext()


class Replicated:
    """Every device has the whole model; gradients are averaged while backward goes on."""

    def __init__(self, model: CharModel, group: Group) -> None:
        self._replicas = DistributedDataParallel(model, [group.device] if group.device.type == "cuda" else None)
        self.module: nn.Module = self._replicas

    def gathering(self, last: bool) -> AbstractContextManager[Any]:
        return nullcontext() if last else self._replicas.no_sync()


class Sharded:
    """Every device has a part of each parameter, its gradient and what the optimizer keeps of it (FSDP2): they are
    gathered before they are used. The recurrent layers are a unit of their own."""

    def __init__(self, model: CharModel, group: Group) -> None:
        fully_shard(model.recurrent)
        self._shards: Any = fully_shard(model)
        self.module: nn.Module = self._shards

    def gathering(self, last: bool) -> AbstractContextManager[Any]:
        self._shards.set_requires_gradient_sync(last)
        return nullcontext()


ENGINES: dict[str, type[Alone | Replicated | Sharded]] = {"none": Alone, "ddp": Replicated, "fsdp": Sharded}


def weights(engine: Engine) -> dict[str, Any]:
    """All weights, whole, under the names that they have on one device; every process must ask."""
    return get_model_state_dict(engine.module, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
