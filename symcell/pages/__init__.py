"""What the HTML pages of symcell share: mathematics as MathML, the style sheet, text made safe."""

from symcell.pages.mathml import Mathematics
from symcell.pages.style import page_script, page_style, scoped_style, sides_style
from symcell.pages.text import text

__all__ = ["Mathematics", "page_script", "page_style", "scoped_style", "sides_style", "text"]
