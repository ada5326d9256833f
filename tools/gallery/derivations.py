"""A cell's derivation as part of its page, and as files of its own."""

from __future__ import annotations

import re

from markup import raw

from symcell.derivation import Derivation

FILES = {
    "derivation.html": ("html", "en", "a page"),
    "derivation.ko.html": ("html", "ko", "한국어"),
    "derivation.tex": ("latex", "en", "LaTeX"),
    "derivation.md": ("markdown", "en", "Markdown"),
    "derivation.txt": ("text", "en", "text"),
}
"""Form, language and what a link to it says."""
_SECTION = re.compile(r'<section id="([\w-]+)"[^>]*>\s*<h2>(.*?)</h2>', re.DOTALL)
_HEAD = re.compile(r"<header>.*?</header>", re.DOTALL)
_MAIN = re.compile(r"<(/?)main\b")


def files(found: Derivation) -> dict[str, str]:
    """The forms of a derivation by the names of their files."""
    return {name: found.render(form, lang) for name, (form, lang, _) in FILES.items()}  # type: ignore[arg-type]


def section(name: str, found: Derivation) -> str:
    """The derivation inside of a page, which has a title and a ``main`` already; and a way to each of its parts."""
    inner = _MAIN.sub(r"<\1div", _HEAD.sub("", found.render("html", fragment=True), count=1))
    parts = "\n".join(f'<li><a href="#{key}">{title}</a></li>' for key, title in _SECTION.findall(inner))
    links = ", ".join(f'<a href="{name}/{file}">{said}</a>' for file, (_, _, said) in FILES.items())
    return raw(f'<p class="forms">By itself: {links}.</p>\n<ul class="parts">\n{parts}\n</ul>') + raw(inner)
