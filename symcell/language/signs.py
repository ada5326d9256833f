"""Signs of printed mathematics that have no place in a text, and how what they mean is written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_PRODUCT = "write * for a product of units, @ for matrix times vector"
_POWER = "a power is written **: v**2"
_INDEX = "an index is part of a name: h_1; time stands in square brackets: h[t], h[t-1]"
_TIME = "time stands in square brackets: h[t], h[t-1]"
_TRANSPOSED = "a transposed matrix is written W.T"

_MEANT = {
    "⊙∘×·⋅∗•∙⨀": _PRODUCT,
    "⊗": "write outer(u, v) for u vᵀ, * for a product of units",
    "⊕": "write [u, v] to join two vectors, + for a sum",
    "−–—‐‑": "write -",
    "÷∕⁄": "write /",
    "±∓": "write the two cases apart, with + and -",
    "²³¹⁰⁴⁵⁶⁷⁸⁹⁻⁺": _POWER,
    "₀₁₂₃₄₅₆₇₈₉₋₊": _INDEX,
    "ₜ": _TIME,
    "ᵀ⊤ᵗ′": _TRANSPOSED,
    "≤⩽≦": "write <=",
    "≥⩾≧": "write >=",
    "≠": "write !=",
    "√": "write sqrt(v)",
    "∑": "write sum(v), over the units",
    "∞": "numbers are finite",
    "‖∥": "write norm(v)",
    "∣": "write abs(v)",
    "←≔≡": "write =",
    "½": "write 1/2",
    "«»“”„‘’‚": "only the docstring at the top is text, between plain quotes; a comment begins with #",
}
ADVICE = {sign: advice for signs, advice in _MEANT.items() for sign in signs}
_OTHER = "operators are + - * / ** @; names are letters, digits and _"

_ODD = re.compile(r"[^\x00-\x7f\w]|[" + "".join(sign for sign in ADVICE if re.match(r"\w", sign)) + "]")


def odd_signs(code: str) -> Iterator[tuple[int, str, str]]:
    """What no statement can hold: the place of each such character, what is wrong with it, and what to write.

    Letters of any script are no odd signs, as names may hold them; superscripts and subscripts that Python would read
    as plain letters (``Wᵀ`` as ``WT``) are.
    """
    for match in _ODD.finditer(code):
        sign = match.group()
        if sign in ADVICE:
            yield match.start(), f"{sign} is no sign of the language", ADVICE[sign]
        elif not f"a{sign}".isidentifier():
            yield match.start(), *_unknown(sign)


def _unknown(sign: str) -> tuple[str, str]:
    number = f"U+{ord(sign):04X}"
    if unicodedata.category(sign) in ("Zs", "Cf"):
        return f"a character that cannot be seen ({number}) stands here", "delete it, or write an ordinary space"
    return f"{sign} ({number}) is no sign of the language", _OTHER
