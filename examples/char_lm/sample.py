"""Text from a trained model, a character at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from .model import CharModel
from .text import Text


def sample(model: CharModel, text: Text, prompt: str, length: int, temperature: float, seed: int = 0) -> str:
    """The prompt and ``length`` characters more. A low temperature takes the likeliest, 0 always; 1 draws as the model
    believes. Raises ValueError for a prompt that is empty or has characters that the text does not have."""
    if not prompt:
        raise ValueError("a sample begins with at least one character")
    if temperature < 0:
        raise ValueError(f"temperature is {temperature}: 0 or more")
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    model.eval()
    drawn: list[Tensor] = []
    with torch.no_grad():
        scores, state = model(text.encode(prompt)[:, None].to(device))
        for _ in range(length):
            drawn.append(_draw(scores[-1], temperature, generator))
            scores, state = model(drawn[-1].view(1, 1), state)
    return prompt + text.decode(torch.cat(drawn) if drawn else torch.empty(0))


def _draw(scores: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A number (1,) by its score."""
    if temperature == 0:
        return scores.argmax().view(1)
    return torch.multinomial(torch.softmax(scores / temperature, 0), 1, generator=generator)
