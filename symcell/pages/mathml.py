"""TeX as our printers write it → MathML as browsers read it (MathML Core), by latex2mathml and a thin layer over it.

What latex2mathml makes several letters of (words, names of functions) and what it does not tell apart (opening and
closing bars) stands in the TeX as one private character, a *mark*, and is put in place afterwards. Symbols are marks,
too: so each one carries what it is, and is converted once.
"""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping

from latex2mathml.converter import convert_to_element

_FIRST = 0xF0000
"""The first private character that stands for something."""
_BOLD = {**{str(d): chr(0x1D7CE + d) for d in range(10)}}
_FENCES = {r"\lvert": ("|", "prefix"), r"\rvert": ("|", "postfix"), r"\lVert": ("‖", "prefix"),
           r"\rVert": ("‖", "postfix"), r"\langle": ("⟨", "prefix"), r"\rangle": ("⟩", "postfix"),
           r"[\![": ("⟦", "prefix"), r"]\!]": ("⟧", "postfix")}  # fmt: skip
_FENCE = re.compile("|".join(re.escape(f) + (r"(?![a-zA-Z])" if f[-1].isalpha() else "") for f in _FENCES))
_WORD = re.compile(r"\\(mathit|mathrm|mathtt|operatorname)\{((?:[^{}\\]|\\_)+)\}")
_COMBINING = re.compile("[\u0300-\u036f]")
_OPERATORS = {":", "|", ";", "′"}
_ACCENTS = {"¯": "‾", "―": "‾"}
"""A bar that is as wide as its letter."""
_CLOSING = {")": "(", "]": "[", "⟧": "⟦"}
_SIGNS = {"−", "-", "+"}
_OPENING = {"", "(", "[", "{", "⟨", "⟦", "=", ",", ";", "<", ">", "≤", "≥", "·", "⊙", "|", "‖"}


class Mathematics:
    """Converts the formulas of one document; what was converted once is remembered."""

    def __init__(self) -> None:
        self.marked: list[ET.Element] = []
        self.tex: list[str] = []
        self.places: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
        self.known: dict[tuple[str, bool], str] = {}

    def mark(self, tex: str, **attributes: str) -> str:
        """A character that stands for ``tex`` as one symbol, which carries ``attributes``."""
        return self._place(tex, attributes, lambda: self._element(tex))

    def expanded(self, tex: str) -> str:
        """The TeX without marks."""
        if tex.isascii():
            return tex
        return "".join(self.expanded(self.tex[k]) if (k := self._number(c)) is not None else c for c in tex)

    def inline(self, tex: str, *, display: bool = False) -> str:
        """A formula as ``<math>``; ``display``: as large as on a line of its own."""
        key = (tex, display)
        if key not in self.known:
            element = self._element(tex)
            math = ET.Element("math")
            math.append(element)
            if element.tag == "mo":  # a sign that is spoken of has no room for operands
                element.tag = "mi"
            if display:
                math.set("displaystyle", "true")
            self.known[key] = ET.tostring(math, encoding="unicode", short_empty_elements=False)
        return self.known[key]

    def _element(self, tex: str) -> ET.Element:
        """What stands inside ``<math>``, as one element."""
        ready = _FENCE.sub(self._fence, _WORD.sub(self._word, tex))
        math = convert_to_element(ready, display="block")
        for part in math.iter():
            part.text = html.unescape(part.text) if part.text else part.text
        return _tidied(self._put(math[0] if len(math) == 1 else _row(list(math))))

    def _number(self, char: str) -> int | None:
        k = ord(char) - _FIRST
        return k if 0 <= k < len(self.tex) else None

    def _place(self, tex: str, attributes: Mapping[str, str], make: Callable[[], ET.Element]) -> str:
        key = (tex, tuple(attributes.items()))
        if key not in self.places:
            element = make()
            if attributes and element.tag not in ("mi", "mrow", "msub", "msubsup"):
                element = _row([element])
            element.attrib.update(attributes)
            self.places[key] = chr(_FIRST + len(self.marked))
            self.marked.append(element)
            self.tex.append(tex)
        return self.places[key]

    def _fence(self, found: re.Match[str]) -> str:
        sign, form = _FENCES[found[0]]
        return self._place(found[0], {}, lambda: _leaf("mo", sign, form=form, fence="true", stretchy="false")) + " "

    def _word(self, found: re.Match[str]) -> str:
        style, word = found[1], found[2].replace(r"\_", "_")
        return self._place(found[0], {}, lambda: _named(word, style))

    def _put(self, element: ET.Element) -> ET.Element:
        """The tree with each mark replaced by what it stands for; a symbol and its exponent become one element."""
        children = [self._put(child) for child in element]
        number = self._number(element.text) if element.text and len(element.text) == 1 and not children else None
        if number is not None:
            return _copied(self.marked[number])
        if element.tag in ("mi", "mo", "mtext", "mn") and not children:
            return self._split(element)
        if element.tag == "msup" and children and children[0].tag == "msub" and len(children[0]) == 2:
            symbol = children[0]
            joined = ET.Element("msubsup", symbol.attrib)
            joined.extend([*symbol, children[1]])
            return joined
        element[:] = children
        return element

    def _split(self, element: ET.Element) -> ET.Element:
        """An element of text with marks in it: as a row."""
        text = element.text or ""
        if all(self._number(c) is None for c in text):
            return element
        runs = re.findall(f"[{chr(_FIRST)}-\U0010ffff]|[^{chr(_FIRST)}-\U0010ffff]+", text)
        return _row([_leaf(element.tag, run) if (k := self._number(run[0])) is None else _copied(self.marked[k])
                     for run in runs])  # fmt: skip


def _leaf(tag: str, text: str, **attributes: str) -> ET.Element:
    element = ET.Element(tag, attributes)
    element.text = text
    return element


def _row(children: list[ET.Element]) -> ET.Element:
    row = ET.Element("mrow")
    row.extend(children)
    return row


def _copied(element: ET.Element) -> ET.Element:
    copy = ET.Element(element.tag, element.attrib)
    copy.text = element.text
    copy.extend(_copied(child) for child in element)
    return copy


def _named(word: str, style: str) -> ET.Element:
    """A word as one identifier: MathML sets one of several letters upright."""
    if style == "mathit":
        return _leaf("mi", word) if len(word) == 1 else _leaf("mi", word, style="font-style:italic")
    if style == "mathtt":
        return _leaf("mtext", word, style="font-family:monospace")
    return _leaf("mi", word, mathvariant="normal") if len(word) == 1 else _leaf("mi", word)


def _tidied(element: ET.Element) -> ET.Element:
    """Without what MathML Core has no use for, and with what it needs."""
    element[:] = [_tidied(child) for child in element]
    element.attrib.pop("xmlns", None)
    if element.tag == "mrow" and len(element) == 1 and not element.attrib:
        return element[0]
    text = element.text or ""
    if element.attrib.pop("columnalign", "") == "left":
        element.set("style", "text-align:left;padding-left:0")
    if element.tag == "mi" and text in _OPERATORS:
        element.tag = "mo"
    if element.tag == "mn" and element.attrib.pop("mathvariant", "") == "bold":
        element.text = "".join(_BOLD.get(c, c) for c in text)
    if element.tag == "mi" and text.isalpha() and len(text) > 1:
        element.attrib.pop("mathvariant", None)
    if element.tag == "mspace" and element.get("width") == "negativethinmathspace":
        element.set("width", "-0.167em")
    if element.tag == "mover" and len(element) == 2 and element[1].tag == "mo":
        element[1].text = _ACCENTS.get(element[1].text or "", element[1].text)
        element[1].set("stretchy", "true" if len(element[0].text or "ab") > 1 else "false")
        element.set("accent", "true")
    if element.tag in ("mrow", "mtd"):
        _signed(element)
        element[:] = _grouped(list(element))
    return element


def _grouped(children: list[ET.Element]) -> list[ET.Element]:
    """What a closing bracket with an exponent closes is the base of that exponent: else the bracket would not grow."""
    out: list[ET.Element] = []
    for child in children:
        closing = child[0] if child.tag in ("msup", "msubsup") and len(child) and child[0].tag == "mo" else None
        start = None if closing is None or closing.text not in _CLOSING else _opened(out, str(closing.text))
        if closing is not None and start is not None:
            child[0] = _row([*out[start:], closing])
            del out[start:]
        out.append(child)
    return out


def _opened(row: list[ET.Element], closing: str) -> int | None:
    """Where the bracket that ``closing`` closes behind a row was opened in it."""
    depth = 1
    for k in range(len(row) - 1, -1, -1):
        text = row[k].text if row[k].tag == "mo" else None
        depth += (text == closing) - (text == _CLOSING[closing])
        if not depth:
            return k
    return None


def _signed(row: ET.Element) -> None:
    """A sign that begins a row, or follows a bracket or another sign, is no infix one: MathML would set it apart."""
    before = ""
    for child in row:
        if child.tag == "mo" and child.text in _SIGNS and before in _OPENING:
            child.set("form", "prefix")
        before = (child.text or "") if child.tag == "mo" and child.get("form") != "postfix" else "operand"
