"""An emitted C module compiles itself at its first use, keeps the library, and says what is wrong if it cannot."""

from __future__ import annotations

import array
import ctypes
import errno
import os
import shlex
import shutil
import stat
import subprocess
import sys
import threading
import time
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from c_modules import PLAIN, module

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler was found (tried cc, gcc, clang)")

CLEARED = ("CC", "SYMCELL_CFLAGS", "SYMCELL_CACHE", "XDG_CACHE_HOME", "CPATH", "LIBRARY_PATH")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and an empty folder for temporary files."""
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("SYMCELL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, cache: Path) -> Iterator[None]:
    """Nothing half-built is left behind by any test."""
    yield
    assert [*(tmp_path / "tmp").iterdir()] == []
    assert not cache.is_dir() or all(path.suffix == ".so" for path in cache.iterdir())


class Fake:
    """A compiler that notes its command line, does what ``body`` says (shell; ``$*`` its arguments), then compiles."""

    def __init__(self, folder: Path, body: str = "", name: str = "fakecc") -> None:
        self.path, self.log = folder / name, folder / f"{name}.log"
        lines = ["#!/bin/sh", f'echo "$*" >> {shlex.quote(str(self.log))}', body, f'exec {COMPILER} "$@"']
        self.path.write_text("\n".join(lines))
        self.path.chmod(0o755)

    @property
    def compilations(self) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line != "--version"]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A compiler that only notes what it is asked for; it is the one in CC."""
    made = Fake(tmp_path)
    monkeypatch.setenv("CC", str(made.path))
    return made


def use(made: types.ModuleType, real: str = "float") -> None:
    """Compiles and calls the module's functions."""
    library = made._library(real)
    record = array.array("q", [0])
    assert library.size(record.buffer_info()[0], 1) == 0
    assert record[0] == (8 if real == "double" else 4)
    assert library.is_float(record.buffer_info()[0], 1) == (real != "double")


def entry(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


@pytest.mark.parametrize("real", ["float", "double", "bfloat16"])
def test_the_first_use_compiles_and_later_ones_do_not(fake: Fake, cache: Path, real: str) -> None:
    first = module()
    assert fake.compilations == []
    for _ in range(2):
        use(first, real)
        use(module(), real)
    assert len(fake.compilations) == 1
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert first._library(real) is first._library(real)


def test_the_flags(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMCELL_CFLAGS", "-DA='a b' -g0")
    made = module()
    monkeypatch.setattr(made, "_processor", lambda: "x86_64 flags : fpu sse2")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    use(made)
    (line,) = fake.compilations
    flags = "-O2 -std=gnu11 -fPIC -shared -pthread -fno-math-errno -fno-trapping-math -fopenmp-simd -march=native"
    assert line.startswith(f"{flags} -DA=a b -g0 -o ")
    assert line.endswith(" -x c - -lm")
    assert made._tuned("x86_64 flags : fpu avx512f") == [
        ["-march=native", "-mprefer-vector-width=512"], ["-march=native"], [],
    ]  # fmt: skip
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert made._tuned("arm64 Features : asimd") == [["-mcpu=native"], []]


@pytest.mark.parametrize(("refused", "tries"), [("-mprefer*", 2), ("-march=*", 3)])
def test_flags_that_the_compiler_refuses_are_left_out(
    refused: str, tries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    body = f'for word in "$@"; do case "$word" in {refused}) echo "unknown: $word" >&2; exit 1;; esac; done'
    body += '\nfor word in "$@"; do case "$word" in -m*) shift;; *) set -- "$@" "$word"; shift;; esac; done'
    fake = Fake(tmp_path, body)
    monkeypatch.setenv("CC", str(fake.path))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    for _ in range(2):  # once: the second finds the library
        made = module()
        monkeypatch.setattr(made, "_processor", lambda: "x86_64 flags : avx512f")
        use(made)
        assert len(fake.compilations) == tries
    assert capfd.readouterr() == ("", "")


def test_what_a_library_depends_on_is_in_its_name(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []

    def build(text: str = PLAIN, real: str = "float", processor: str | None = None) -> None:
        made = module(text)
        if processor:
            monkeypatch.setattr(made, "_processor", lambda: processor)
        before = {*cache.iterdir()} if cache.exists() else set()
        made._library(real)
        keys.extend(path.name.partition("-")[0] for path in {*cache.iterdir()} - before)

    variants: list[dict[str, Any]] = [{}, {"text": PLAIN + "/* */"}]
    variants += [{"real": real} for real in ("double", "float16", "bfloat16")]
    variants += [{"processor": "flags : sse2"}, {"processor": "flags : sse2 avx2"}]  # compiled with the same flags
    for arguments in variants:
        build(**arguments)
    monkeypatch.setenv("SYMCELL_CFLAGS", "-g0")
    build()
    monkeypatch.setenv("CC", f"{COMPILER} -DA=1")
    build()
    monkeypatch.setenv("CC", str(Fake(tmp_path, name="one").path))
    build()
    monkeypatch.setenv("CC", str(Fake(tmp_path, '[ "$1" = --version ] && { echo two; exit; }', name="one").path))
    build()
    assert len({*keys}) == len(keys) == len(variants) + 4


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = module()._cache
    assert cache() == str(tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYMCELL_CACHE", ".")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.stat", lambda _: os.lstat(tmp_path / "cache"))
        assert cache() == str(tmp_path)
    monkeypatch.setenv("SYMCELL_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache() == str(tmp_path / "xdg" / "symcell")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache() == str(tmp_path / ".cache" / "symcell")
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache() == str(tmp_path / "Library" / "Caches" / "symcell")


def test_a_cache_of_the_working_directory(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loader would look for a plain file name elsewhere."""
    cache.mkdir(mode=0o700)
    monkeypatch.chdir(cache)
    monkeypatch.setenv("SYMCELL_CACHE", ".")
    use(module())
    assert entry(cache).suffix == ".so"


@pytest.mark.parametrize("damage", ["half", "empty", "changed", "not a library", "another's"])
def test_a_damaged_library_is_found_before_it_is_loaded_and_made_again(fake: Fake, cache: Path, damage: str) -> None:
    made = module()
    made._opened = lambda _: None  # the loader gives what is loaded once more, whatever the file is by then
    made._library("float")
    path = entry(cache)
    data = path.read_bytes()
    if damage == "half":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "changed":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        path.unlink()
        text = b"no ELF" if damage == "not a library" else other_library(cache)
        key, whole = path.name.partition("-")[0], module()._digest(text)
        (cache / f"{key}-{whole}.so").write_bytes(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use(module())
    assert len(fake.compilations) == 2
    assert path.read_bytes() == data


def other_library(cache: Path) -> bytes:
    """A library that lacks the functions."""
    path = cache / "other.so"
    subprocess.run([COMPILER, "-shared", "-x", "c", "/dev/null", "-o", str(path)], check=True)
    data = path.read_bytes()
    path.unlink()
    return data


def test_a_cache_that_others_can_write_to_is_refused(cache: Path, fake: Fake) -> None:
    cache.mkdir()
    for mode in (0o720, 0o702):
        cache.chmod(mode)
        with pytest.raises(RuntimeError, match=rf"{cache}, is one that others can write to.* chmod go-w "):
            module()._library("float")
    assert fake.compilations == []
    cache.chmod(0o755)
    use(module())


def test_a_cache_of_another_owner_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.getuid()
    monkeypatch.setattr("os.getuid", lambda: me + 1)
    with pytest.raises(RuntimeError, match=f"{cache}, is one that others can write to"):
        module()._library("float")


def test_a_cache_that_cannot_be_made(cache: Path) -> None:
    """Each process then compiles for itself, and says so."""
    cache.write_text("a file")
    made = module()
    with pytest.warns(RuntimeWarning, match=rf"toy is compiled again in each process.*{cache}.*Set SYMCELL_CACHE"):
        made._library("float")
    use(made)
    assert cache.read_text() == "a file"
    cache.unlink()


def test_a_home_that_is_not_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYMCELL_CACHE", "~nobody-of-this-name/cache")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(RuntimeWarning, match="no such home directory"):
        use(module())
    assert not list(tmp_path.glob("~*"))


@pytest.mark.parametrize("function", ["tempfile.mkstemp", "shutil.copyfileobj", "os.replace"])
def test_a_cache_that_is_full_or_read_only(cache: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(function, full)
        with pytest.warns(RuntimeWarning, match=f"the cache {cache} cannot be used: .*No space left on device"):
            use(module())
    assert [*cache.iterdir()] == []
    use(module())
    with monkeypatch.context() as patch:  # what lies there is read all the same
        patch.setattr(function, full)
        use(module())


def test_a_cache_that_nothing_may_be_loaded_from(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a file system that is mounted with noexec."""

    class Library(ctypes.CDLL):
        def __init__(self, name: str) -> None:
            if name.startswith(str(cache)):
                raise OSError(f"{name}: failed to map segment from shared object")
            super().__init__(name)

    monkeypatch.setattr("ctypes.CDLL", Library)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="failed to map segment.*code may be loaded from"):
            use(module())


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    made = module()  # needs none
    with pytest.raises(RuntimeError, match=r"no C compiler was found \(tried cc, gcc, clang\).* toy_numpy, needs none"):
        made._library("float")
    monkeypatch.setenv("CC", "missing -O2")
    with pytest.raises(RuntimeError, match=r"no C compiler was found \(CC is 'missing -O2'\).* toy_numpy, needs none"):
        made._library("float")


@pytest.mark.parametrize("name", ["cc", "gcc", "clang"])
def test_compilers_on_the_path(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(tmp_path, f"PATH={os.environ['PATH']}", name)
    monkeypatch.setenv("PATH", str(tmp_path))
    use(module())
    assert len(fake.compilations) == 1


def test_no_such_system(monkeypatch: pytest.MonkeyPatch) -> None:
    made = module()
    with monkeypatch.context() as patch:
        patch.setattr("os.name", "nt")
        with pytest.raises(RuntimeError, match=r"toy as C code is for Linux and macOS, not .* toy_numpy runs there"):
            made._compiler()


@pytest.mark.parametrize("name", ["CC", "SYMCELL_CFLAGS"])
def test_words_that_no_shell_would_take(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "cc '-DA")
    with pytest.raises(ValueError, match=f'{name} is "cc \'-DA", expected words as in a shell: No closing quotation'):
        module()._library("float")


def test_a_compiler_that_fails_is_quoted(cache: Path, fake: Fake) -> None:
    made = module("int size(void) { return nonsense; }", ["size"])
    for _ in range(2):  # it is asked again: the reason may be gone
        with pytest.raises(RuntimeError, match=r"(?s)refused the code of toy\. \S*fakecc -O2 .* says:.*nonsense"):
            made._library("float")
    assert [*cache.iterdir()] == []


def test_a_compiler_that_says_nothing_or_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for status in (3, 0):
        monkeypatch.setenv("CC", str(Fake(tmp_path, f"exit {status}").path))
        with pytest.raises(RuntimeError, match=f"status {status} and said nothing"):
            module()._library("float")


def test_a_compiler_that_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\x7fELF")
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    with pytest.raises(RuntimeError, match=f"the C compiler {path} cannot be run: "):
        module()._library("float")


def test_threads_that_come_first_together_compile_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(tmp_path, "sleep 0.1")
    monkeypatch.setenv("CC", str(fake.path))
    made, found = module(), []
    threads = [threading.Thread(target=lambda: found.append(made._library("float"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len({*map(id, found)}) == 1
    assert len(fake.compilations) == 1


PROCESS = """
import sys
from c_modules import module
made = module()
made._Call(made._library("double").size, [0], 1)()
print("fine")
"""


def process(script: str) -> subprocess.Popen[str]:
    """Python at work on a script, with this folder on its path and with warnings as errors."""
    command = [sys.executable, "-W", "error", "-W", "ignore:.*fork:DeprecationWarning", "-c", script]
    here = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": here}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)


def test_processes_that_compile_the_same_at_the_same_time(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits, as it compiles, for the other to do so too."""
    (tmp_path / "met").mkdir()
    wait = "touch $$; until [ $(ls | wc -l) = 2 ]; do sleep 0.02; done"
    fake = Fake(tmp_path, f'[ "$1" = --version ] || {{ cd {tmp_path}/met; {wait}; }}')
    monkeypatch.setenv("CC", str(fake.path))
    both = [process(PROCESS) for _ in range(2)]
    assert [one.communicate(timeout=60) for one in both] == [("fine\n", "")] * 2
    assert len(fake.compilations) == 2
    assert entry(cache).suffix == ".so"


FORK = """
import os, sys, threading, time
from pathlib import Path
from c_modules import module
made = module()
thread = threading.Thread(target=made._library, args=("float",))
thread.start()
while not Path(os.environ["LOG"]).exists():
    time.sleep(0.01)
child = os.fork()
if not child:
    made._library("float")
    os._exit(0)
status = os.waitpid(child, 0)[1]
thread.join()
again = os.fork()
if not again:
    os._exit(made._library("float").is_float(0, 1))
print(status, os.waitstatus_to_exitcode(os.waitpid(again, 0)[1]))
"""


def test_a_child_that_was_forked_while_a_thread_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of that thread is shut for ever in the child, which must not wait for it."""
    fake = Fake(tmp_path, "sleep 0.5")
    monkeypatch.setenv("CC", str(fake.path))
    monkeypatch.setenv("LOG", str(fake.log))
    start = time.monotonic()
    assert process(FORK).communicate(timeout=60) == ("0 1\n", "")
    assert time.monotonic() - start > 0.5
