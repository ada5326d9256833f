"""The functions of the table as C that compilers vectorise: no branch, no table, no call of a library.

Each text is a template without a hole, over ``real``: float where the macro REAL_IS_FLOAT is 1, else double. It follows
``<stdint.h>``, ``<math.h>`` and ``vectors.c``, whose INLINE it takes, as a loop with a call is not vectorised. What it
names is read off it: a source holds what it needs and no more.
Sine, cosine, powers and remainders are the C library's, one number at a time: they are right for all arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from symcell.symbolic import functions as fn
from symcell.templating import environment

TEXTS = (
    *("words", "exponential", "exp", "expm1", "tanh", "sigmoid", "logarithm", "log"),
    *("normal_tail", "erf_near", "normal_cdf", "erf", "softplus", "clip"),
)
"""The texts in ``templates/c/mathematics`` by name; each builds on those before it."""

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_DEFINED = re.compile(r"^(?:(?:static inline|INLINE) \w+|#define) (\w+)", re.MULTILINE)


def definitions(functions: Iterable[type[fn.Elementwise]]) -> tuple[str, ...]:
    """What a C source that calls ``functions`` holds before it does, in order.

    The first names C's own functions (``sqrt``, ``pow``, …), which are then those of ``real`` too.
    """
    functions = tuple(functions)
    own = tuple((_text(name), _defined(_text(name))) for name in TEXTS)
    replaced = frozenset().union(*(names for _, names in own))
    rows = tuple((text, _defined(text)) for text in fn.prelude(functions))
    waiting = {f.row.c for f in functions}
    needed: list[str] = []
    for text, names in reversed([*own, *(row for row in rows if not row[1] & replaced)]):
        if waiting & names:
            needed.append(text)
            waiting |= _named(text)
    return (_text("primitives"), *reversed(needed))


@cache
def _text(name: str) -> str:
    return environment("c").get_template(f"c/mathematics/{name}.c.j2").render().rstrip("\n")


def _defined(text: str) -> frozenset[str]:
    return frozenset(_DEFINED.findall(text))


def _named(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", _COMMENT.sub("", text)))
