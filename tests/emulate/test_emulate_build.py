"""Compiled kernels are kept in a cache of the user's, and a missing compiler says what to install."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from cuda_sources import REDUCE

from symcell.emulate import CompilerNotFoundError, EmulatorError, build
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


def test_kernels_run_where_the_compiler_is_told_to_fortify() -> None:
    """Ubuntu's g++ defines _FORTIFY_SOURCE, whose longjmp ends a process that changes stacks."""
    code = textwrap.dedent(
        """
        from symcell.emulate.standin import packages
        from symcell.emulate.raw import Settings
        cupy = packages(Settings())["cupy"]
        source = 'extern "C" __global__ void turn(float* x) { float y = x[31 - threadIdx.x]; __syncthreads(); '
        source += 'x[threadIdx.x] = y; }'
        x = cupy.arange(32).astype("float32")
        cupy.RawModule(code=source).get_function("turn")((1,), (32,), (x,))
        assert cupy.asnumpy(x)[0] == 31
        """
    )
    fortified = {**os.environ, "CXX": f"{shutil.which('g++') or 'c++'} -D_FORTIFY_SOURCE=2"}
    done = subprocess.run([sys.executable, "-c", code], env=fortified, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
