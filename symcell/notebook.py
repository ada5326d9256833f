"""What a notebook shows of an object: as HTML with MathML, as LaTeX and as Markdown, all of the same rows."""

from __future__ import annotations

import html
from collections.abc import Iterable

_TEX = str.maketrans({
    "\\": r"\backslash ", "{": r"\{", "}": r"\}", "_": r"\_", "^": r"\hat{}", "#": r"\#", "&": r"\&", "%": r"\%",
    "$": r"\$", "~": r"\sim ",
})  # fmt: skip


class Formulas:
    """Mixin: equations below each other, aligned at their equals signs."""

    def _formulas(self) -> Iterable[tuple[str, str]]:
        """Left and right sides in TeX."""
        raise NotImplementedError

    def _aligned(self) -> str:
        rows = (f"{left} &= {right}" for left, right in self._formulas())
        return r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}"

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self._aligned()}$"

    def _repr_markdown_(self) -> str:
        return f"$$\n{self._aligned()}\n$$"

    def _repr_html_(self) -> str:
        from symcell.pages import Mathematics

        mathematics = Mathematics()
        rows = (f"<div>{mathematics.inline(f'{left} = {right}')}</div>" for left, right in self._formulas())
        return "".join(rows)


class Lines:
    """Mixin: the lines of ``str()``, as they stand."""

    def _repr_latex_(self) -> str:
        rows = (rf"\texttt{{{line.translate(_TEX)}}}" for line in str(self).splitlines())
        return r"$\begin{array}{l}" + r" \\ ".join(rows) + r"\end{array}$"

    def _repr_markdown_(self) -> str:
        return f"```text\n{self}\n```"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


class Table:
    """Mixin: rows of two columns, words and a formula."""

    def _rows(self) -> Iterable[tuple[str, str]]:
        """What something is called, and what it is in TeX."""
        raise NotImplementedError

    def _repr_latex_(self) -> str:
        rows = (rf"\text{{{name}}} & {tex}" for name, tex in self._rows())
        return r"$\begin{array}{ll}" + r" \\ ".join(rows) + r"\end{array}$"

    def _repr_markdown_(self) -> str:
        return "| | |\n| --- | --- |\n" + "".join(f"| {name} | ${tex}$ |\n" for name, tex in self._rows())

    def _repr_html_(self) -> str:
        from symcell.pages import Mathematics

        mathematics = Mathematics()
        rows = ((html.escape(name), mathematics.inline(tex)) for name, tex in self._rows())
        return f"<table>{''.join(f'<tr><td>{name}</td><td>{math}</td></tr>' for name, math in rows)}</table>"
