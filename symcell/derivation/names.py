"""Names in LaTeX: any Python identifier becomes a symbol that pdflatex can set, and different names look different."""

from __future__ import annotations

import re
import unicodedata

_LOWER = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi "
    "psi omega"
)
_UPPER = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
GREEK = frozenset(f"{_LOWER} {_UPPER}".split())
_ACCENTS = {"\u0300": "grave", "\u0301": "acute", "\u0302": "hat", "\u0303": "tilde", "\u0304": "bar",
            "\u0306": "breve", "\u0307": "dot", "\u0308": "ddot", "\u030a": "mathring", "\u030c": "check"}  # fmt: skip
_ACCENTED = re.compile("(?s:.)[\u0300-\u036f]?")
"""A character, and the accent that it carries."""


def greek(char: str) -> str | None:
    """The LaTeX name of a Greek letter: ``alpha`` for α; None for any other character."""
    words = unicodedata.name(char, "").split()
    if words[:1] != ["GREEK"] or "LETTER" not in words or len(words) != 4:
        return None
    name = {"LAMDA": "LAMBDA"}.get(words[3], words[3]).lower()
    name = name.capitalize() if words[1] == "CAPITAL" else name
    return name if name in GREEK else None


def _char(char: str, native: bool) -> str:
    """One character that is not ASCII, with its accent, in mathematics."""
    if len(char) == 1 and (name := greek(char)) is not None:
        return rf"\{name}"
    parts = unicodedata.normalize("NFD", char)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in _ACCENTS:
        letter = {"i": r"\imath", "j": r"\jmath"}.get(parts[0], parts[0])
        return rf"\{_ACCENTS[parts[1]]}{{{letter}}}"
    if len(parts) == 2 and greek(parts[0]) and parts[1] in _ACCENTS:
        return rf"\{_ACCENTS[parts[1]]}{{{_char(parts[0], native)}}}"
    if len(char) > 1:
        return "".join(_char(c, native) for c in char)
    return rf"\text{{{char}}}" if native else rf"\mathtt{{[U\mbox{{+}}{ord(char):04X}]}}"


def _word(word: str, style: str, native: bool) -> str:
    if word in GREEK:
        return rf"\{word}"
    if word.isascii():
        return word if len(word) == 1 and style == "mathit" else rf"\{style}{{{word}}}"
    parts = _ACCENTED.findall(word)
    return "{" + "".join(rf"\{style}{{{c}}}" if c.isascii() else _char(c, native) for c in parts) + "}"


def tex_symbol(name: str, native: bool) -> tuple[str, tuple[str, ...]]:
    """A name as a symbol and its subscripts: ``W_i`` as ``W`` and ``i``.

    ``native``: characters that no font of pdflatex has may stand as they are (a browser sets them).
    """
    bare = name.lstrip("_")
    lead = r"\_" * (len(name) - len(bare))
    head, *tail = bare.split("_") if bare else [""]
    symbol = lead + (_word(head, "mathit", native) if head else "")
    return symbol or r"\_", tuple(_subscript(part, native) for part in tail)


def _subscript(part: str, native: bool) -> str:
    if not part:
        return r"\_"
    if part.isascii() and (part.isdigit() or (len(part) == 1 and part != "t")):
        return part
    return _word(part, "mathrm", native)
