"""Text of the user (titles, descriptions, labels) as literal text in each format."""

from __future__ import annotations

import re
import unicodedata

from symcell.derivation.names import greek

_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "-": "-{}", ",": ",{}",
    "[": "{[}", "]": "{]}",
    "–": r"\textendash{}", "—": r"\textemdash{}", "‘": r"\textquoteleft{}", "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}", "…": r"\textellipsis{}", "•": r"\textbullet{}",
    "·": r"\textperiodcentered{}", "§": r"\textsection{}", "©": r"\textcopyright{}", "®": r"\textregistered{}",
    "°": r"\textdegree{}", "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}",
    "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "×": r"\ensuremath{\times}", "÷": r"\ensuremath{\div}",
    "±": r"\ensuremath{\pm}", "→": r"\ensuremath{\rightarrow}", "←": r"\ensuremath{\leftarrow}",
    "≤": r"\ensuremath{\le}", "≥": r"\ensuremath{\ge}", "≠": r"\ensuremath{\ne}", "≈": r"\ensuremath{\approx}",
    "∞": r"\ensuremath{\infty}", "∂": r"\ensuremath{\partial}", "∑": r"\ensuremath{\sum}", "√": r"\ensuremath{\surd}",
    "∈": r"\ensuremath{\in}", "⊙": r"\ensuremath{\odot}", "⊗": r"\ensuremath{\otimes}", "²": r"\ensuremath{^2}",
    "³": r"\ensuremath{^3}", "ᵀ": r"\ensuremath{^\top}", "−": r"\ensuremath{-}",
}  # fmt: skip
_TEX_ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
                "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c", "\u0328": "k"}  # fmt: skip
_MARKDOWN = frozenset("\\`*_{}[]<>&$#|~")


def one_line(text: str) -> str:
    """Without control characters and with single spaces: what every format starts from."""
    visible = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)
    return re.sub(r"\s+", " ", visible).strip()


def paragraphs(text: str) -> list[str]:
    """A text with blank lines between its paragraphs, each as one line."""
    return [line for part in re.split(r"\n\s*\n", text) if (line := one_line(part))]


def _tex_char(char: str, hangul: bool) -> str:
    if char in _TEX:
        return _TEX[char]
    if char.isascii() or (hangul and "\uac00" <= char <= "\ud7a3"):
        return char
    if (name := greek(char)) is not None:
        return rf"\ensuremath{{\{name}}}"
    parts = unicodedata.normalize("NFD", char)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _TEX_ACCENTS:
        return rf"\{_TEX_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return rf"\texttt{{{{[}}U+{ord(char):04X}{{]}}}}"


def latex_text(text: str, hangul: bool = False) -> str:
    """As LaTeX text; a character that pdflatex has no font for becomes its code, ``[U+5909]``. ``hangul``: the document
    has Korean fonts."""
    return "".join(_tex_char(c, hangul) for c in unicodedata.normalize("NFC", one_line(text)))


def markdown_text(text: str) -> str:
    """As Markdown text: whatever could mean something to Markdown, HTML or MathJax becomes a character reference."""
    line = one_line(text)
    escaped = "".join(f"&#{ord(c)};" if c in _MARKDOWN else c for c in line)
    if line[:1] and line[0] in "+-=!.":
        return f"&#{ord(line[0])};{escaped[1:]}"
    return re.sub(r"^(\d+)([.)])", lambda m: f"{m[1]}&#{ord(m[2])};", escaped)
