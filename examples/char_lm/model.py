"""Characters in, scores of the next character out: an embedding, recurrent layers, a linear layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .options import Options

State = Any
"""What a recurrent module returns beside its output: a tensor, a tuple of them, or None before the first step."""

TORCH = {"nn.RNN": nn.RNN, "nn.GRU": nn.GRU, "nn.LSTM": nn.LSTM}


class CharModel(nn.Module):
    """``forward(x, state)``: numbers (T, B) to scores (T·B, characters), and the state after the last step."""

    def __init__(self, options: Options, characters: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, options.embedding)
        self.dropout = nn.Dropout(options.dropout)
        self.head = nn.Linear(options.hidden, characters)
        self.recurrent = recurrent(options)
        for name, parameter in self.recurrent.named_parameters():
            parameter.requires_grad_(not options.frozen or not name.startswith(options.frozen))

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        y, state = self.recurrent(self.dropout(self.embedding(x)), state)
        return self.head(self.dropout(y).flatten(0, 1)), state


def build(options: Options, characters: int) -> CharModel:
    """The model with the initial weights of ``options.seed``; what dropout draws is the same for every cell."""
    torch.manual_seed(options.seed)
    model = CharModel(options, characters)
    torch.manual_seed(options.seed + 1)  # cells draw more or fewer numbers than each other
    return model


def recurrent(options: Options) -> nn.Module:
    """The layers: PyTorch's own, or a cell's."""
    sizes: dict[str, Any] = {"num_layers": options.layers, "dropout": options.dropout if options.layers > 1 else 0.0}
    if options.cell in TORCH:
        return TORCH[options.cell](options.embedding, options.hidden, **sizes)
    from symcell.torch import Recurrent

    if options.like:
        return Recurrent.from_torch(TORCH[options.like](options.embedding, options.hidden, **sizes))
    return Recurrent(options.cell, options.embedding, options.hidden, **sizes)


def detached(state: State) -> State:
    """The state as a beginning: gradients do not go back through it."""
    return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)


def equations(options: Options) -> str:
    """What the layers compute, as text: a checkpoint of other equations is refused."""
    if options.cell in TORCH:
        return options.cell
    import symcell

    return symcell.load(options.cell).text
