"""The text as numbers: a tenth of it is held out, the rest is read by several streams side by side."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

FILE = Path(__file__).parent / "data" / "alice.txt"
HELD_OUT = 0.1


@dataclass(frozen=True)
class Text:
    """``characters``: the whole text. Its last tenth is for validation."""

    characters: str

    @classmethod
    def read(cls, file: Path = FILE) -> Text:
        return cls(file.read_text("utf-8"))

    @cached_property
    def vocabulary(self) -> str:
        """Every character that occurs, in order; its place is its number."""
        return "".join(sorted(set(self.characters)))

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.characters.encode()).hexdigest()

    def encode(self, characters: str) -> Tensor:
        """Numbers (len,). Raises ValueError for characters that the text does not have."""
        if unknown := sorted(set(characters) - set(self.vocabulary)):
            raise ValueError(f"the text has no {' '.join(map(repr, unknown))}: its characters are {self.vocabulary!r}")
        number = {character: k for k, character in enumerate(self.vocabulary)}
        return torch.tensor([number[character] for character in characters])

    def decode(self, numbers: Tensor) -> str:
        return "".join(self.vocabulary[k] for k in numbers.tolist())

    @property
    def _border(self) -> int:
        return int(len(self.characters) * (1 - HELD_OUT))

    def training(self, batch: int) -> Streams:
        return Streams.of(self.encode(self.characters[: self._border]), batch)

    def validation(self, batch: int) -> Streams:
        return Streams.of(self.encode(self.characters[self._border :]), batch)


@dataclass(frozen=True)
class Streams:
    """``numbers`` (length, batch): each column is a part of the text, read from its beginning to its end."""

    numbers: Tensor

    @classmethod
    def of(cls, numbers: Tensor, batch: int) -> Streams:
        """The text cut into ``batch`` parts of one length; what is left over at its end is not read."""
        length = len(numbers) // batch
        if length < 2:
            raise ValueError(f"{len(numbers)} characters do not make {batch} streams of two or more: a smaller batch")
        return cls(numbers[: length * batch].view(batch, length).T.contiguous())

    def pieces(self, steps: int) -> int:
        """How many pieces of at most ``steps`` characters the streams have: an epoch."""
        return -(-(len(self.numbers) - 1) // steps)

    def piece(self, k: int, steps: int) -> tuple[Tensor, Tensor]:
        """Piece k of an epoch, and for each of its characters the next one: (T, batch) each."""
        start = k * steps
        stop = min(start + steps, len(self.numbers) - 1)
        return self.numbers[start:stop], self.numbers[start + 1 : stop + 1]

    def part(self, which: int, of: int) -> Streams:
        """A share of the streams, for one of several devices. Raises ValueError where they cannot be shared equally."""
        batch = self.numbers.shape[1]
        if batch % of:
            raise ValueError(f"{batch} streams cannot be shared by {of}: a batch that {of} divides")
        return Streams(self.numbers[:, which * batch // of : (which + 1) * batch // of].contiguous())
