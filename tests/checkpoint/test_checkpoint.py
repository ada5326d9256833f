"""Checkpoints keep every bit, and refuse whatever is not theirs; a hostile file is an error that names it."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import symcell
from symcell import checkpoint

pytest.importorskip("safetensors")

TEXT = "h[t] = tanh(W @ x[t] + U @ h[t-1] + b)"


@pytest.fixture(scope="module")
def module() -> Any:
    return symcell.compile("rnn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.safetensors"


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_parameters_come_back_bit_by_bit(module: Any, path: Path, dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    params = module.init_params(D=3, H=4, dtype=dtype)
    checkpoint.save(path, module, params)
    back = checkpoint.load(path, module)
    assert isinstance(back, module.Params)
    assert back.flat.tobytes() == params.flat.tobytes()
    assert (back.flat.dtype, back.sizes) == (dtype, {"D": 3, "H": 4})
    checkpoint.save(path, module, dict(params))  # any mapping
    assert checkpoint.load(path, module).flat.tobytes() == params.flat.tobytes()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_constant_arrays_are_kept(path: Path) -> None:
    module = symcell.compile("lmu")
    A, B = np.eye(3, dtype="float32"), np.ones(3, "float32")
    checkpoint.save(path, module, module.init_params(D=2, H=4, N=3, A=A, B=B))
    assert np.array_equal(checkpoint.load(path, module)["A"], A)


def test_scalars_are_kept(path: Path) -> None:
    module = symcell.compile(symcell.parse("a: scalar = 0.5\nx: H\nh[t] = a*h[t-1] + x[t]", name="leak"))
    checkpoint.save(path, module, module.Params.from_dict({"a": np.array(0.25, "float32")}, H=3))
    assert checkpoint.load(path, module)["a"].shape == ()


def test_a_file_has_the_permissions_of_others(module: Any, path: Path) -> None:
    checkpoint.save(path, module, module.init_params(D=3, H=4))
    plain = path.with_name("plain")
    plain.write_bytes(b"")
    assert path.stat().st_mode == plain.stat().st_mode


def test_comments_and_starts_do_not_count(module: Any, path: Path) -> None:
    checkpoint.save(path, module, module.init_params(D=3, H=4))
    other = symcell.compile(symcell.parse(f"{TEXT}  # commented\nb: H = 1", name="other"))
    assert checkpoint.load(path, other)["W"].shape == (4, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("tanh", "relu"), r"h\[t\] = tanh\(W @ x\[t\] .*' and 'h\[t\] = relu\("),
        (TEXT.replace("b)", "a)"), r"b\)' and 'h\[t\] = tanh\(.* a\)'"),
        (TEXT + "\nx: H\nh: H", r"'x: \(D\)' and 'x: \(H\)'"),
        (TEXT + "\nh[0] = s", r"'nothing' and 's: \(H\)'"),
    ],
)
def test_other_equations_are_refused(module: Any, path: Path, text: str, message: str) -> None:
    checkpoint.save(path, module, module.init_params(D=4, H=4))
    other = symcell.compile(symcell.parse(text, name="other"))
    with pytest.raises(
        ValueError, match=rf"net\.safetensors: the equations .* \(cell rnn\) .* other differ: .*{message}"
    ):
        checkpoint.load(path, other)


def rewritten(path: Path, header: Any, body: bytes = b"", length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("symcell", "2", "expected version 1 of the format, got '2': it was written by another version"),
        ("symcell", None, "expected a checkpoint of symcell"),
        ("cell", None, "its metadata has no cell"),
        ("cell", "no name", "its equations cannot be read"),
        ("equations", "import os", "its equations cannot be read"),
        ("equations", TEXT.replace("tanh", "sin"), "its equations are not those that its fingerprint was made of"),
        ("fingerprint", "0", "its equations are not those that its fingerprint was made of"),
        ("sizes", '{"D": 3}', "sizes: expected D, H, got D"),
        ("sizes", '{"D": 3, "H": 1e9}', "sizes: H: expected an integer from 1 to"),
        ("sizes", '{"D": 3, "H": 0}', "sizes: H: expected an integer from 1 to"),
        ("sizes", '{"D": 3, "H": 99999999999999999999}', "sizes: H: expected an integer from 1 to"),
        ("sizes", '{"D": 3, "H": true}', "sizes: H: expected an integer from 1 to"),
        ("sizes", '{"D": 3, "H": 4000000000}', r"W: expected the shape \(4000000000, 3\), got \(4, 3\)"),
        ("sizes", "[" * 100000, "sizes: no JSON"),
        ("sizes", "3", "sizes: expected a JSON object, got int"),
    ],
)
def test_metadata_that_lies(module: Any, path: Path, key: str, value: str | None, message: str) -> None:
    checkpoint.save(path, module, module.init_params(D=3, H=4))
    header, body = parts(path)
    del header["__metadata__"][key]
    if value is not None:
        header["__metadata__"][key] = value
    rewritten(path, header, body)
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint.load(path, module)
    assert str(path) in str(caught.value)


def _tensor(header: dict[str, Any], **changes: Any) -> None:
    header["b"] = {**header["b"], **changes}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(c=h.pop("b")), "b: missing; it has"),
        (lambda h: _tensor(h, dtype="I32"), "b: expected F16 or BF16 or F32 or F64, got I32"),
        (lambda h: _tensor(h, shape=[2, 2]), r"b: expected the shape \(4,\), got \(2, 2\)"),
        (lambda h: _tensor(h, shape=[2**62]), "no safetensors file, or it is damaged"),
        (lambda h: _tensor(h, data_offsets=[0, 16]), "no safetensors file, or it is damaged"),
        (lambda h: _tensor(h, data_offsets=[0, 2**63]), "no safetensors file, or it is damaged"),
        (lambda h: h["__metadata__"].update(cell=3), "no safetensors file, or it is damaged"),
    ],
)
def test_tensors_that_lie(module: Any, path: Path, change: Any, message: str) -> None:
    checkpoint.save(path, module, module.init_params(D=3, H=4))
    header, body = parts(path)
    change(header)
    rewritten(path, header, body)
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint.load(path, module)
    assert str(path) in str(caught.value)


def test_headers_that_are_none(module: Any, path: Path) -> None:
    for text, length in ((b"{bad", None), (b"{}", 2**62), (b"", 0), (b"{}", 1)):
        rewritten(path, text, length=length)
        with pytest.raises(ValueError, match="no safetensors file, or it is damaged"):
            checkpoint.load(path, module)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="no safetensors file"):
        checkpoint.load(path, module)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        checkpoint.load(path, module)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_a_value_error_or_numbers(
    module: Any, tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    checkpoint.save(path, module, module.init_params(D=2, H=2))
    whole = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))]))
    found = {}
    with contextlib.suppress(ValueError):
        found = checkpoint.load(path, module)
    if found:
        assert {n: v.shape for n, v in found.items()} == {"W": (2, 2), "U": (2, 2), "b": (2,)}


def test_a_file_appears_whole_or_not_at_all(module: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.numpy

    params = module.init_params(D=3, H=4)
    checkpoint.save(path, module, params)
    before = path.read_bytes()

    def fails(tensors: Any, name: str, metadata: Any) -> None:
        Path(name).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(safetensors.numpy, "save_file", fails)
    with pytest.raises(OSError, match="no space"):
        checkpoint.save(path, module, params)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
