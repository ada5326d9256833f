"""Imports point one way, and only the cells' own folder knows a cell by name."""

from __future__ import annotations

import ast
import graphlib
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import symcell

ROOT = Path(symcell.__file__).parent
TEMPLATES = ROOT.parent / "templates"

CORE = {"cell", "symbolic"}
ALLOWED = {
    "": {"cell", "compare", "derivation", "diff", "flow", "language", "pipeline", "symbolic", "threads", "verify",
         "version"},
    "__main__": {"cli"},
    "adjoint": {*CORE, "graph", "fresh"},
    "arrays": set(),
    "bench": {"cell", "generate", "language", "pipeline", "program", "verify", "version"},
    "cell": {"notebook"},
    "checkpoint": {"cell", "language"},
    "cli": {"", "bench", "cell", "compare", "derivation", "diff", "flow", "generate", "language", "pipeline", "predict",
            "program", "shipped", "verify"},
    "compare": {*CORE, "bench", "derivation", "diff", "jacobian", "language", "lower", "pages", "pipeline", "program",
                "templating", "transforms"},
    "derivation": {*CORE, "adjoint", "fresh", "graph", "interpret", "jacobian", "pages", "program", "templating"},
    "diff": {*CORE, "derivation", "equivalence", "fresh", "language", "pages", "pipeline", "program", "templating"},
    "emit": {*CORE, "graph", "program", "templating", "version"},
    "emulate": set(),
    "equivalence": {*CORE, "arrays", "graph", "interpret", "lengths", "lower"},
    "flow": {*CORE, "adjoint", "checkpoint", "derivation", "generate", "graph", "jacobian", "language", "lower",
             "pipeline", "program"},
    "formats": {"arrays", "cell", "equivalence", "language"},
    "fresh": set(),
    "generate": {"", "cell", "emit", "language", "pipeline"},
    "graph": {*CORE, "notebook"},
    "interpret": {*CORE, "graph"},
    "jacobian": {*CORE, "adjoint", "graph", "interpret", "language", "lower"},
    "language": {*CORE, "shipped"},
    "lengths": {"cell"},
    "lower": {*CORE, "fresh", "graph"},
    "notebook": {"pages"},
    "onnx": {*CORE, "graph", "language", "lengths", "lower", "version"},
    "pages": set(),
    "pipeline": {"adjoint", "cell", "derivation", "emit", "emulate", "graph", "language", "lower", "plan", "program",
                 "tangent", "transforms"},
    "plan": {*CORE, "adjoint", "fresh", "graph", "program", "tangent"},
    "predict": {"emulate", "pipeline", "program"},
    "program": {*CORE, "graph", "notebook"},
    "shipped": set(),
    "symbolic": set(),
    "tangent": {"adjoint", "graph", "symbolic"},
    "templating": set(),
    "threads": set(),
    "torch": {"cell", "checkpoint", "equivalence", "formats", "language", "onnx", "pipeline", "program",
              "threads", "transforms", "verify"},
    "transforms": {*CORE, "derivation", "fresh", "language", "lower"},
    "verify": {
        *CORE,
        "adjoint",
        "emulate",
        "formats",
        "generate",
        "graph",
        "interpret",
        "language",
        "lower",
        "pipeline",
        "program",
    },
    "version": set(),
}  # fmt: skip
"""What each stage imports of the others ("": the package itself)."""

BY_NAME = {("pipeline", "emit")}
"""Imports that no statement shows: the pipeline picks its printer by the target's name."""

LIBRARIES = {
    "click": {"cli"},
    "cupy": {"torch"},
    "jinja2": {"templating"},
    "latex2mathml": {"pages"},
    "matplotlib": {"flow"},
    "mpmath": {"derivation", "equivalence", "interpret", "language", "symbolic", "verify"},
    "networkx": {"graph", "plan"},
    "ml_dtypes": {"emulate", "torch"},
    "numpy": {"arrays", "bench", "checkpoint", "derivation", "emulate", "equivalence", "flow", "formats", "interpret",
              "jacobian", "onnx", "program", "torch", "verify"},
    "onnx": {"onnx"},
    "rich": {"bench", "cli", "verify"},
    "safetensors": {"checkpoint"},
    "sympy": {"adjoint", "cell", "compare", "derivation", "diff", "emit", "equivalence", "flow", "graph", "interpret",
              "jacobian", "language", "lower", "onnx", "plan", "predict", "program", "symbolic", "tangent",
              "transforms", "verify"},
    "torch": {"arrays", "bench", "torch", "verify"},
}  # fmt: skip
"""Which stages import a library; what is not named here is imported nowhere."""


@cache
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


def reached(name: str) -> str:
    """The stage that an import of ``symcell...`` means; what the package itself gives (a version, a function) is ""."""
    first = stage(name.partition(".")[2])
    return first if first in {stage(m) for m in modules()} else ""


@pytest.mark.parametrize("module", modules())
def test_imports_point_one_way(module: str) -> None:
    here = stage(module)
    assert here in ALLOWED, f"{here} is a new stage: say in ALLOWED what it may import"
    for name in imported(modules()[module]):
        top = name.partition(".")[0]
        if top == "symcell":
            there = reached(name)
            assert there == here or there in ALLOWED[here], f"{module} imports {name}"
        elif top not in sys.stdlib_module_names:
            assert here in LIBRARIES.get(top, set()), f"{module} imports {name}"


def test_the_tables_say_no_more_than_is_so() -> None:
    """A stage that stops importing another must not be allowed to begin again unseen."""
    edges, libraries = set(), set()
    for module, path in modules().items():
        for name in imported(path):
            top = name.partition(".")[0]
            (edges if top == "symcell" else libraries).add((stage(module), reached(name) if top == "symcell" else top))
    assert {(k, v) for k, there in ALLOWED.items() for v in there} - edges == BY_NAME
    assert {(v, k) for k, users in LIBRARIES.items() for v in users} <= libraries


def test_no_circle_of_files() -> None:
    """File by file: what a folder would hide. Imports inside functions and for types alone are left out."""
    known = modules()
    waits = graphlib.TopologicalSorter[str]()
    for module, path in known.items():
        for name in (n.removeprefix("symcell.") for n in at_once(path) if n.startswith("symcell.")):
            parent = name.rpartition(".")[0]
            found = name if name in known else parent if parent in known else ""
            if found and found != module and not module.startswith(f"{found}."):
                waits.add(module, found)
    assert len(list(waits.static_order())) > 100  # graphlib.CycleError names the circle


def at_once(path: Path) -> Iterator[str]:
    """Full names of what importing a module imports, ``package.name`` where a name is taken out of a package."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{a.name}" for a in node.names)


def test_there_is_no_way_back() -> None:
    """The table itself has no cycle, but for what the lazy package gives."""
    edges = {k: set(v) for k, v in ALLOWED.items()}
    edges["cli"] -= {""}
    edges["generate"] -= {""}
    order: list[str] = []
    while edges:
        ready = sorted(k for k, v in edges.items() if not v & set(edges))
        assert ready, f"a cycle among {sorted(edges)}"
        order += ready
        for k in ready:
            del edges[k]
    line = ("symbolic", "graph", "adjoint", "tangent", "plan", "pipeline", "verify", "cli")
    assert [order.index(name) for name in line] == sorted(order.index(name) for name in line)
    assert order.index("program") < order.index("emit") < order.index("pipeline")


NAME = re.compile(rf"\b({'|'.join(map(re.escape, symcell.names()))})(?![\w-])")


def _words(path: Path) -> Iterator[tuple[int, str]]:
    """Code and strings of a Python module, docstrings, comments and the names of libraries' modules left out."""
    text = path.read_text(encoding="utf-8").replace("torch.nn.utils.rnn", "torch.nn.utils")
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
