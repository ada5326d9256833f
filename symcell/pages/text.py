"""Text of the user in HTML: it comes out as text."""

from __future__ import annotations

import html
import re

_NO_CHARACTER = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def text(raw: str) -> str:
    """``raw`` as HTML text, also inside a quoted attribute; what HTML has no character for is left out."""
    return html.escape(_NO_CHARACTER.sub("", raw))
