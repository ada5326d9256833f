"""The record of CuPy's names and arguments: emitted modules keep to it, and it is CuPy's."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from inspect import Signature
from pathlib import Path

import pytest
from sampled import sampled

import symcell
from symcell.emulate.record import FILE, record, text

ROOT = Path(__file__).parents[2]


def dotted(node: ast.expr) -> str:
    """``cp.cuda.Device`` of an expression that is one, else nothing."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def misused(code: str) -> Iterator[str]:
    """What a module asks of CuPy that CuPy has not, or with arguments that it does not take."""
    names = {"cp": "", "cublas": "cublas."}
    for node in ast.walk(ast.parse(code)):
        call = node if isinstance(node, ast.Call) else None
        name = dotted(call.func if call else node) if isinstance(node, ast.Call | ast.Attribute) else ""
        start, _, rest = name.partition(".")
        if start not in names or not rest:
            continue
        full = names[start] + rest
        if full not in record() and not any(known.startswith(f"{full}.") for known in record()):
            yield name
        signature = record().get(full)
        if call and signature is not None and not fits(call, signature):
            yield ast.unparse(call)


def fits(call: ast.Call, signature: Signature) -> bool:
    """Whether the arguments can be bound; with ``*args`` or ``**options`` only what is there must fit."""
    open_ = any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords)
    args = [a for a in call.args if not isinstance(a, ast.Starred)]
    keywords = {k.arg: k.value for k in call.keywords if k.arg is not None}
    try:
        (signature.bind_partial if open_ else signature.bind)(*args, **keywords)
    except TypeError:
        return False
    return True


@pytest.mark.parametrize("name", sampled())
def test_emitted_modules_call_what_cupy_has(name: str) -> None:
    from symcell.pipeline import source

    code = source(symcell.load(name), "cupy")
    assert "cp." in code
    assert list(misused(code)) == []


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("cp.errstate(all='ignore')", "cp.errstate"),
        ("cp.sum(x, initial=0)", "cp.sum(x, initial=0)"),
        ("cp.zeros()", "cp.zeros()"),
        ("cp.add(x, y, where=m)", "cp.add(x, y, where=m)"),
        ("cp.matmul(a, b, outt=c)", "cp.matmul(a, b, outt=c)"),
        ("cublas.gemm('N', 'N', a)", "cublas.gemm('N', 'N', a)"),
        ("cp.cuda.Devices", "cp.cuda.Devices"),
    ],
)
def test_what_cupy_lacks_is_noticed(code: str, what: str) -> None:
    assert what in list(misused(code))
    assert list(misused("cp.zeros((2, 3), dtype=cp.float32); cp.cuda.Device(0).synchronize(); x.cp.nothing")) == []


def test_the_record_is_written_as_it_is_read() -> None:
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert [text(name, signature) for name, signature in record().items()] == lines
    assert len(lines) > 500


def test_the_record_is_cupys() -> None:
    """Against an installed CuPy, which imports without a GPU."""
    pytest.importorskip("cupy", reason="CuPy is not installed: pip install 'symcell[cupy]'", exc_type=ImportError)
    spec = importlib.util.spec_from_file_location("cupy_record", ROOT / "tools" / "cupy_record.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert {n: text(n, s) for n, s in record().items()} == {n: text(n, tool.signature(n)) for n in record()}
    assert "cupy" in sys.modules
