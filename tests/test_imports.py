"""Imports point one way, and only the cells' own folder knows a cell by name."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import symcell

ROOT = Path(symcell.__file__).parent
TEMPLATES = ROOT.parent / "templates"

CORE = {"cell", "symbolic"}
ALLOWED = {
    "": {"cell", "derivation", "language", "pipeline", "version"},
    "__main__": {"cli"},
    "adjoint": {*CORE, "graph", "fresh"},
    "cell": {"language"},
    "cli": {"", "cell", "derivation", "emit", "generate", "language", "pipeline", "plan", "verify", "version"},
    "derivation": {*CORE, "adjoint", "fresh", "graph", "lower", "templating"},
    "emit": {*CORE, "fresh", "graph", "plan", "templating", "version"},
    "emulate": set(),
    "fresh": set(),
    "generate": {"", "cell", "emit", "language", "pipeline", "version"},
    "graph": CORE,
    "interpret": {*CORE, "graph"},
    "language": CORE,
    "lower": {*CORE, "fresh", "graph"},
    "pipeline": {"adjoint", "cell", "emit", "emulate", "lower", "plan"},
    "plan": {*CORE, "adjoint", "fresh", "graph"},
    "symbolic": set(),
    "templating": set(),
    "verify": {*CORE, "adjoint", "emulate", "graph", "interpret", "language", "lower", "pipeline"},
    "version": set(),
}
"""What each stage may import of the others ("": the package itself)."""

LIBRARIES = {
    "click": {"cli"},
    "cupy": set(),
    "jinja2": {"templating"},
    "matplotlib": set(),
    "mpmath": {"interpret", "verify"},
    "networkx": {"graph", "plan"},
    "numpy": {"cli", "emulate", "interpret", "verify"},
    "rich": {"cli", "verify"},
    "sympy": {
        "adjoint",
        "cell",
        "cli",
        "derivation",
        "emit",
        "graph",
        "interpret",
        "language",
        "lower",
        "plan",
        "symbolic",
        "verify",
    },
    "torch": {"verify"},
}
"""Which stages may import a library."""


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__") if name != "__init__" else ""] = path
    return {k: v for k, v in found.items() if not k.startswith(("templates", "generated"))}


def stage(module: str) -> str:
    return module.split(".")[0]


def imported(path: Path) -> Iterator[str]:
    """Full names of what a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"symcell.{a.name}" for a in node.names] if node.module == "symcell" else [node.module or ""]
            yield from names


@pytest.mark.parametrize("module", modules())
def test_imports_point_one_way(module: str) -> None:
    here = stage(module)
    assert here in ALLOWED, f"{here} is a new stage: say in ALLOWED what it may import"
    for name in imported(modules()[module]):
        top, _, rest = name.partition(".")
        if top == "symcell":
            there = stage(rest) if stage(rest) in ALLOWED else ""
            assert there == here or there in ALLOWED[here], f"{module} imports {name}"
        elif top in LIBRARIES:
            assert here in LIBRARIES[top], f"{module} imports {name}"


def test_there_is_no_way_back() -> None:
    """The table itself has no cycle, but for two imports inside functions: Cell.from_equations and the lazy package."""
    edges = {k: set(v) for k, v in ALLOWED.items()}
    edges["cell"] -= {"language"}
    edges["cli"] -= {""}
    edges["generate"] -= {""}
    order: list[str] = []
    while edges:
        ready = sorted(k for k, v in edges.items() if not v & set(edges))
        assert ready, f"a cycle among {sorted(edges)}"
        order += ready
        for k in ready:
            del edges[k]
    assert (
        order.index("symbolic")
        < order.index("graph")
        < order.index("adjoint")
        < order.index("plan")
        < order.index("emit")
    )
    assert order.index("emit") < order.index("pipeline") < order.index("cli")


NAME = re.compile(rf"\b({'|'.join(map(re.escape, symcell.names()))})(?![\w-])")


def _words(path: Path) -> Iterator[tuple[int, str]]:
    """Code and strings of a Python module, docstrings and comments left out."""
    text = path.read_text(encoding="utf-8")
    docstrings = {
        n.value.lineno
        for n in ast.walk(ast.parse(text))
        if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant) and isinstance(n.value.value, str)
    }
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT and not (token.type == tokenize.STRING and token.start[0] in docstrings):
            yield token.start[0], token.string


@pytest.mark.parametrize("path", [*modules().values()], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_code_knows_a_cell_by_name(path: Path) -> None:
    for line, word in _words(path):
        assert not NAME.search(word), f"{path}:{line}: {word}"


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.j2")), ids=lambda p: str(p.relative_to(TEMPLATES)))
def test_no_template_knows_a_cell_by_name(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        assert not NAME.search(line), f"{path}:{number}: {line}"


def test_the_search_finds_names() -> None:
    assert NAME.search('load("lstm")')
    assert NAME.search("if cell.name == 'rnn':")
    assert not NAME.search("torch.nn.LSTM")
    assert not NAME.search("lstm_cell")
