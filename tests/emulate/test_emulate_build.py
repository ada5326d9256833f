"""Compiled kernels are kept in a cache of the user's, and a missing compiler says what to install."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cuda_sources import DIVERGENT, REDUCE

from symcell.emulate import CompilerNotFoundError, EmulatorError, SanitizerError, build, load, sanitizer
from symcell.emulate.kernels import find_kernels, host_source

SOURCE = host_source(REDUCE, find_kernels(REDUCE))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "symcell"


def test_the_second_build_is_a_hit(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build.shared_object(SOURCE)
    monkeypatch.setattr(build, "_run", lambda *_: pytest.fail("compiled again"))
    assert build.shared_object(SOURCE) == first
    assert first.parent == cache
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert not list(cache.glob("*.tmp"))


def test_what_a_library_depends_on_is_in_its_name(cache: Path) -> None:
    paths = {
        build.shared_object(SOURCE),
        build.shared_object(SOURCE + " "),
        build.shared_object(SOURCE, ("-DA=1",)),
        build.shared_object(SOURCE, ("-DA=2",)),
    }
    assert len(paths) == 4


def test_threads_may_build_the_same_library(cache: Path) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(build.shared_object(SOURCE))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert len(set(paths)) == 1
    assert not list(cache.glob("*.tmp"))


def test_a_failed_build_leaves_nothing(cache: Path) -> None:
    with pytest.raises(EmulatorError):
        build.shared_object("not C++")
    assert {path.suffix for path in cache.iterdir()} == {".o"}


def test_a_folder_that_others_may_write_to_is_refused(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.raises(EmulatorError, match="others can write"):
        build.shared_object(SOURCE)


def test_a_missing_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompilerNotFoundError, match=r"none of c.., g.. and clang.. is on the path"):
        build.shared_object(SOURCE)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CompilerNotFoundError, match="CXX is 'no-such-compiler'"):
        build.shared_object(SOURCE)


def test_200_lines_compile_fast(cache: Path) -> None:
    """Half a second is the aim; the limit is loose, as machines are shared."""
    build.shared_object(SOURCE)
    body = "\n".join(f"    x[{i}] = tanhf(x[{i}]) * expf(x[{i + 1}]);" for i in range(200))
    code = f'extern "C" __global__ void many(float* x) {{\n{body}\n}}'
    start = time.perf_counter()
    build.shared_object(host_source(code, find_kernels(code)))
    assert time.perf_counter() - start < 3


OUT_OF_BOUNDS = """
import sys
import cupy as cp
import numpy as np
CODE = r'''
extern "C" __global__ void beyond(float* x, long long n) { x[n + threadIdx.x] = 1.0f; }
extern "C" __global__ void shared(float* x, long long n) {
    __shared__ float part[4];
    part[threadIdx.x + n] = x[0];
    __syncthreads();
    x[0] = part[0];
}
extern "C" __global__ void fine(float* x, long long n) { __syncthreads(); x[threadIdx.x] = 2.0f; __syncthreads(); }
'''
def main(name):
    x = cp.ones(4096, np.float32)
    cp.RawModule(code=CODE).get_function(name)((2,), (4,), (x, x.size if name == "beyond" else 4))
    print("finished", x[:4].sum())
"""
SCRIPT = """
import sys, pathlib
from symcell.emulate import load
load(pathlib.Path(sys.argv[1]).read_text(), "bad", sanitize=True).main(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("name", "found"),
    [("beyond", "heap-buffer-overflow"), ("shared", "index 4 out of bounds"), ("fine", "finished 8.0")],
)
def test_sanitizers_find_writes_out_of_bounds(tmp_path: Path, name: str, found: str) -> None:
    try:
        sanitizer.environment()
    except SanitizerError as error:
        pytest.skip(str(error))
    module, script = tmp_path / "module.py", tmp_path / "script.py"
    module.write_text(OUT_OF_BOUNDS)
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "symcell.emulate", str(script), str(module), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found in done.stdout + done.stderr
    assert (done.returncode == 0) == (name == "fine")


def test_sanitize_without_its_runtime_explains_itself() -> None:
    module = load(
        "import cupy as cp\nmodule = cp.RawModule(code=CODE)".replace("CODE", repr(DIVERGENT)), "m", sanitize=True
    )
    with pytest.raises(SanitizerError, match=r"python -m symcell.emulate"):
        module.module.get_function("half")
