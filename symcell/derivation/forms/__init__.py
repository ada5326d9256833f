"""Forms of a derivation: a document on paper, in a terminal, on a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

from symcell.derivation.forms.base import Form
from symcell.derivation.forms.html import Html
from symcell.derivation.forms.latex import Latex
from symcell.derivation.forms.markdown import Markdown
from symcell.derivation.forms.text import WIDTH, Text
from symcell.derivation.model import Document
from symcell.templating import environment

Format = Literal["text", "latex", "markdown", "html"]

FORMS: dict[str, Callable[[Document, str, Options], Form]] = {
    "text": lambda document, language, options: Text(document, language, options.width or WIDTH),
    "latex": lambda document, language, options: Latex(document, language, options.fragment),
    "markdown": lambda document, language, options: Markdown(document, language),
    "html": lambda document, language, options: Html(document, language, page=not options.fragment),
}


@dataclass(frozen=True)
class Options:
    """``fragment``: LaTeX or HTML to be read into another document; ``width``: of a terminal, in columns."""

    fragment: bool = False
    width: int | None = None


def render(document: Document, format: Format, lang: str = "en", options: Options = Options()) -> str:
    """The document in one form and language; ValueError for a form or a language that there is none of."""
    if format not in FORMS:
        raise ValueError(f"format is one of {', '.join(FORMS)}, not {format!r}")
    if options.fragment and format not in ("latex", "html"):
        raise ValueError(f"fragment: only latex and html have fragments, not {format}")
    page = FORMS[format](document, lang, options).page()
    values = {f.name: getattr(page, f.name) for f in fields(page)}
    return environment("derivation").get_template(f"derivation/{format}.j2").render(values).rstrip("\n") + "\n"


__all__ = ["FORMS", "Form", "Format", "Options", "render"]
