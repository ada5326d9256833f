"""Mathematics of pages as MathML: a math renderer for Sphinx that needs neither a script nor a network."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from symcell.pages import Mathematics

_TAG = re.compile(r"\s*\\tag\{(\w+)\}")


_MATHEMATICS = Mathematics()


def mathml(tex: str, display: bool = False) -> str:
    """A formula as ``<math>``."""
    return _MATHEMATICS.inline(tex, display=display)


def displayed(tex: str) -> str:
    """A formula on a line of its own, its number at the right."""
    number = _TAG.search(tex)
    formula = mathml(_TAG.sub("", tex).strip(), True)
    if number is not None:
        formula = f'<div class="numbered">{formula}<span class="number">({number[1]})</span></div>'
    return f'<div class="formula">{formula}</div>\n'


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _display(self: Any, node: nodes.math_block) -> None:
    self.body.append(displayed(node.astext()))
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
