"""How Sphinx makes the site: `make docs`. Nothing is fetched, neither when it is made nor when it is read."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import symcell

# the pages are copied beside what is written for each cell; tools/gallery says where it is
sys.path.insert(0, str(Path(symcell.__file__).parents[1] / "tools" / "gallery"))

project = "symcell"
version = release = symcell.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "mathml"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["extra/**"]
nitpicky = False
suppress_warnings = ["myst.header", "misc.highlighting_failure"]

myst_enable_extensions = ["dollarmath", "attrs_block"]
myst_heading_anchors = 4
myst_dmath_double_inline = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports = [name for name in ("onnx", "safetensors") if importlib.util.find_spec(name) is None]
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = "symcell"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("sort.js", {"defer": "defer"})]
html_extra_path = ["extra"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_permalinks_icon = "#"
pygments_style, pygments_dark_style = "friendly", "monokai"
templates_path: list[str] = []
