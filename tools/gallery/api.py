"""The reference of the Python interface, from docstrings: what `symcell` itself has, then its parts."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import symcell

PARTS = {
    "plan": ("Plans and programs", ["symcell.program.model.Plan", "symcell.program.checkpoints.MemoryUse"]),
    "verify": ("Verification", ["symcell.verify.report.Report", "symcell.verify.report.CellReport",
                                "symcell.verify.report.Column", "symcell.verify.report.Row",
                                "symcell.verify.tolerances.Tolerance"]),
}  # fmt: skip
MODULES = {
    "transforms": ("Transforms", "symcell.transforms"),
    "torch": ("PyTorch", "symcell.torch"),
    "checkpoint": ("Checkpoints", "symcell.checkpoint"),
    "onnx": ("ONNX", "symcell.onnx"),
    "module": ("An emitted module", "symcell.generated.lstm_numpy"),
}
"""Pages by the module that they document."""


def write(folder: Path) -> None:
    """The pages, in a new folder."""
    folder.mkdir()
    (folder / "symcell.rst").write_text(_package(), "utf-8")
    for page, (title, names) in PARTS.items():
        classes = "".join(f".. autoclass:: {name}\n   :members:\n\n" for name in names)
        (folder / f"{page}.rst").write_text(f"{_title(title)}{classes}", "utf-8")
    for page, (title, module) in MODULES.items():
        (folder / f"{page}.rst").write_text(f"{_title(title)}{_module(module)}", "utf-8")
    pages = "\n".join(f"   {page}" for page in ("symcell", *PARTS, *MODULES))
    (folder / "index.rst").write_text(f"{_title('Python')}.. toctree::\n   :maxdepth: 2\n\n{pages}\n", "utf-8")


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n\n"


def _module(name: str) -> str:
    """What a module offers; one that is emitted says that by names without a dash."""
    if name == "symcell.torch" and find_spec("torch") is None:
        return "PyTorch was not installed where this site was made. :doc:`/pytorch` shows what there is.\n"
    generated = "init_params, forward, backward, step, Params, Grads, Tape"
    members = f" {generated}" if name.startswith("symcell.generated") else "\n   :imported-members:"
    return f".. automodule:: {name}\n   :members:{members}\n\n"


def _package() -> str:
    """Functions and classes of ``symcell``, under the names by which one imports them."""
    said = [_title("symcell"), ".. py:module:: symcell\n\n", "Names are imported when they are first used.\n\n"]
    for name in symcell.__all__:
        value = getattr(import_module(symcell._HOME[name]), name, None) if name in symcell._HOME else None
        if inspect.isclass(value):
            said.append(f".. autoclass:: {value.__module__}.{value.__qualname__}\n   :members:\n\n")
        elif callable(value):
            doc = inspect.getdoc(value) or ""
            said.append(f".. py:function:: symcell.{name}{inspect.signature(value)}\n\n")
            said.append("".join(f"   {line}".rstrip() + "\n" for line in doc.splitlines()) + "\n")
    return "".join(said)
