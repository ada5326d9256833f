"""How symbols of a picture are called: a head and a subscript in Unicode, and about how wide they are."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from symcell.derivation.figures.picture import Label, Sign, Symbol
from symcell.derivation.names import GREEK

_NAMES = {"lambda": "lamda", "Lambda": "Lamda"}
_SUBSCRIPT = 0.72


def unicode_word(word: str) -> str:
    """``beta`` as β, any other word as it stands."""
    if word not in GREEK:
        return word
    kind = "CAPITAL" if word[0].isupper() else "SMALL"
    return unicodedata.lookup(f"GREEK {kind} LETTER {_NAMES.get(word, word).upper()}")


def split(symbol: Symbol, names: Mapping[str, str]) -> tuple[str, str]:
    """The head of a symbol and its subscript: ``W`` and ``i``, ``h`` and ``t−1``."""
    head, *tail = names.get(symbol.name, symbol.name).split("_")
    parts = [unicode_word(part) for part in tail if part]
    if symbol.lag is not None:
        parts.append(when(symbol.lag))
    return ("δ" if symbol.delta else "") + unicode_word(head or "_"), ",".join(parts)


def when(lag: int) -> str:
    """A step by its distance from t: ``t−1``."""
    return "t" if not lag else f"t{'−' if lag > 0 else '+'}{abs(lag)}"


def label_width(label: Label, names: Mapping[str, str], size: float) -> float:
    """About how wide a label is, ``size`` being the height of its font."""
    width = 0.0
    for k, part in enumerate(label):
        width += 0.25 * size if k else 0.0
        if isinstance(part, Sign):
            width += 0.62 * size * len(part.text)
        else:
            head, subscript = split(part, names)
            width += 0.62 * size * len(head) + 0.52 * _SUBSCRIPT * size * len(subscript)
    return width
