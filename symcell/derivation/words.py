"""What a derivation says, in each language: one catalogue of sentences with braces for mathematics, and short
formulas between backquotes."""

from __future__ import annotations

import re
import string
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sympy import Expr

from symcell.derivation.model import Literal, Ref, Value, Words

LANGUAGES = ("en", "ko")

FORMULA = "`"
"""Around a formula in a sentence of the catalogue."""


@dataclass(frozen=True)
class Ready:
    """Text of the form already."""

    text: str


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Every sentence of a language by its key (``section.key``). Raises ValueError for a language that there is none
    of."""
    if language not in LANGUAGES:
        raise ValueError(f"lang: expected one of {', '.join(LANGUAGES)}, got {language!r}")
    text = files("symcell.derivation").joinpath("prose", f"{language}.toml").read_text("utf-8")
    return {f"{table}.{key}": entry for table, entries in tomllib.loads(text).items() for key, entry in entries.items()}


def braces(sentence: str) -> frozenset[str]:
    """The names of the places in a sentence of the catalogue."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None)


class Speech(ABC):
    """Puts words into one form and one language: subclasses say how its parts look there."""

    def __init__(self, language: str) -> None:
        self.language, self.catalogue = language, catalogue(language)

    def say(self, words: Words) -> str:
        """The sentence with its places filled. Raises KeyError for a key or a place that is missing."""
        said = ""
        formula: list[str | Expr] | None = None
        for part in self.parts(words):
            if part == FORMULA:
                said += "" if formula is None else self.symbols(formula)
                formula = [] if formula is None else None
            elif formula is None:
                said += self.plain(part) if isinstance(part, str) else self.value(part)
            elif isinstance(part, str | Expr):
                formula.append(part)
            else:
                raise TypeError(f"{words.key}: expected mathematics in a formula, got {type(part).__name__}")
        return said

    def parts(self, words: Words) -> Iterator[str | Value]:
        """Text, what fills the places, and the marks around formulas, as they follow each other."""
        for text, name, _, _ in string.Formatter().parse(self.catalogue[words.key]):
            yield from filter(None, re.split(f"({FORMULA})", text))
            if name is not None:
                yield words.values[name]

    def tell(self, key: str, **values: Value | Ready) -> str:
        """An entry of the catalogue that the form itself needs."""
        return self.say(Words(key, values))

    def value(self, value: Value | Ready) -> str:
        match value:
            case Ready():
                return value.text
            case Words():
                return self.say(value)
            case Ref():
                return self.reference(value.numbers)
            case Literal():
                return self.label(value.text)
            case tuple():
                return self.listed([self.value(v) for v in value])
            case Expr():
                return self.mathematics(value)
        raise TypeError(f"expected an expression, words, numbers of formulas or text, got {type(value).__name__}")

    def label(self, text: str) -> str:
        """A label or title of the user's: in the language where the catalogue knows it, else as it stands."""
        return self.literal(self.catalogue.get(f"labels.{text}", text))

    def listed(self, parts: list[str]) -> str:
        """``a``, ``a and b``, ``a, b and c``."""
        if len(parts) < 2:
            return "".join(parts)
        comma, last = (self.plain(self.catalogue[f"lists.{key}"]) for key in ("comma", "last"))
        return comma.join(parts[:-1]) + last + parts[-1]

    @abstractmethod
    def plain(self, text: str) -> str:
        """Text of the catalogue."""

    @abstractmethod
    def symbols(self, parts: list[str | Expr]) -> str:
        """A formula of the catalogue, in whose signs there may be places."""

    @abstractmethod
    def literal(self, text: str) -> str:
        """Text of the user."""

    @abstractmethod
    def mathematics(self, expr: Expr) -> str:
        """A formula inside a line."""

    @abstractmethod
    def reference(self, numbers: tuple[int, ...]) -> str:
        """The numbers of formulas, linked where the form can."""
