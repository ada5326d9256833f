"""Which names a cell may use, and what is wrong with the others."""

from __future__ import annotations

import keyword

from symcell.language.problems import Problems
from symcell.language.scan import MAX_NAME
from symcell.language.source import Span
from symcell.symbolic.functions import ELEMENTWISE, OVER_UNITS

FUNCTIONS = frozenset(ELEMENTWISE) | frozenset(OVER_UNITS)
FORMS = ("outer", "diag")
"""Words of the language that are written like functions."""
RESERVED_SIZES = ("seed", "dtype")
"""Arguments of an emitted module's ``init_params``, which takes the sizes by name."""


def check_name(name: str, span: Span, problems: Problems) -> bool:
    """Whether ``name`` may be a value's name; reports it if not."""
    if name in FUNCTIONS or name in FORMS:
        problems.add(span, f"{name} is a function's name", f"call it {name}_, or write {name}(...)")
    elif name == "t":
        problems.add(span, "t is the time index and no value", "it stands in brackets only: h[t], h[t-1]")
    elif name == "pi":
        problems.add(span, "pi is the number 3.14159...", "call it pi_")
    elif name == "π":
        problems.add(span, "π is no name: the number 3.14159... is written pi", "write pi, or call a value pi_")
    elif len(name) > MAX_NAME:
        problems.add(span, f"this name has {len(name)} characters, and at most {MAX_NAME} are allowed")
    else:
        return True
    return False


def is_identifier(name: str) -> bool:
    """Whether ``name`` can name a cell or a value at all."""
    return name.isidentifier() and not keyword.iskeyword(name) and len(name) <= MAX_NAME
