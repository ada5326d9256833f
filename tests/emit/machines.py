"""Compilers and processors besides this one: what there is, and C functions that run under an emulator of a processor.

A function of a library for another processor is called as one of ctypes would be: with numbers and arrays. A program
that runs in the emulator has the functions; it is sent the memory that a call refers to, and sends it back.
"""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import struct
import subprocess
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from c_modules import module

SHARED = module()._FLAGS
"""What an emitted module asks of a compiler."""
PROGRAM = tuple(flag for flag in SHARED if flag not in ("-fPIC", "-shared"))
"""The same for a program."""


class Machine(NamedTuple):
    """A compiler with its flags. ``needs``: flags of this processor; ``emulator``: what runs its programs, or none."""

    compiler: tuple[str, ...]
    flags: tuple[str, ...]
    needs: frozenset[str] = frozenset()
    emulator: str = ""

    def missing(self) -> str:
        """Why it cannot be used here; empty where it can."""
        for program in filter(None, (self.compiler[0], self.emulator)):
            if not shutil.which(program):
                return f"there is no {program} here"
        has = set(Path("/proc/cpuinfo").read_text().split()) if self.needs else set()
        return "" if self.needs <= has else f"not a processor for {' '.join(self.flags)}"

    def or_skip(self) -> Machine:
        """Itself; the test is skipped where it is missing."""
        if reason := self.missing():
            pytest.skip(reason)
        return self

    def version(self) -> str:
        return subprocess.run([*self.compiler, "--version"], capture_output=True, text=True, check=True).stdout

    def compile(self, source: str, target: Path, *flags: str) -> str:
        """Compiles a source, and gives what the compiler says. Warnings are errors."""
        command = [*self.compiler, *self.flags, *flags, "-Wall", "-Wextra", "-Werror", "-o", str(target)]
        command += ["-x", "c", "-", "-lm"]
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
        return done.stderr


MACHINES = {
    "native": Machine(("cc",), ("-march=native",)),
    "haswell": Machine(("cc",), ("-march=haswell",), frozenset({"avx2", "fma", "bmi2"})),
    "x86-64": Machine(("cc",), ("-march=x86-64",), frozenset({"sse2"})),
    "clang": Machine(("clang",), ("-march=native",)),
    "arm64": Machine(("aarch64-linux-gnu-gcc",), ("-march=armv8.2-a",), emulator="qemu-aarch64-static"),
}

# A call comes as the function's number, the sizes of arguments, blocks of memory and references, then these. A block
# has a size and the last bits of its address here; a reference says which block holds an address at which byte (-1: an
# argument is one), and which byte of which block that is.
DRIVER = r"""
#include <stdio.h>
static void get(void *to, long long size) { if (size && !fread(to, (size_t)size, 1, stdin)) exit(0); }
static void put(const void *from, long long size) { if (size) fwrite(from, (size_t)size, 1, stdout); }

int main(void) {
    for (;;) {
        long long head[4], sizes[64][2], reference[4], v[16] = {0};
        char *block[64], *memory[64];
        get(head, sizeof head);
        get(v, head[1] * 8);
        get(sizes, head[2] * 16);
        for (long long k = 0; k < head[2]; ++k) {
            memory[k] = aligned_alloc(64, (size_t)(sizes[k][0] / 64 + 2) * 64);
            get(block[k] = memory[k] + sizes[k][1], sizes[k][0]);
        }
        for (long long k = 0; k < head[3]; ++k) {
            get(reference, sizeof reference);
            const long long address = (long long)(block[reference[2]] + reference[3]);
            if (reference[0] < 0) v[reference[1]] = address;
            else memcpy(block[reference[0]] + reference[1], &address, 8);
        }
        long long (*const function)() = (long long (*)())called[head[0]];
        const long long result = function(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11],
                                          v[12], v[13], v[14], v[15]);
        put(&result, 8);
        for (long long k = 0; k < head[2]; ++k) put(block[k], sizes[k][0]), free(memory[k]);
        fflush(stdout);
    }
}
"""


class Emulated:
    """C functions in a program that an emulator runs."""

    def __init__(self, machine: Machine, text: str, functions: Sequence[str], folder: Path, *flags: str) -> None:
        table = f"static void *const called[] = {{{', '.join(functions)}}};\n"
        text = f"{text}\n#include <stdlib.h>\n#include <string.h>\n{table}{DRIVER}"
        machine.compile(text, folder / "program", "-static", *flags)
        self.functions = tuple(functions)
        command = [machine.emulator, str(folder / "program")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """Ends the program, which must not have failed."""
        self.process.communicate()
        assert self.process.returncode == 0

    def call(self, name: str, *arguments: Any, holds: Sequence[np.ndarray] = ()) -> int:
        """Calls a function with numbers, arrays and None. ``holds``: arrays whose addresses stand in the first."""
        blocks = _Blocks()
        values = [0 if a is None or isinstance(a, np.ndarray) else int(a) for a in arguments]
        references = [(-1, k, *blocks.place(a)) for k, a in enumerate(arguments) if isinstance(a, np.ndarray)]
        places = {array.ctypes.data: blocks.place(array) for array in holds}
        held = arguments[0].tolist() if holds else []
        references += [(0, 8 * k, *places[address]) for k, address in enumerate(held) if address in places]
        head = [self.functions.index(name), len(values), len(blocks.owners), len(references)]
        sizes = [n for owner in blocks.owners for n in (owner.nbytes, owner.ctypes.data % 64)]
        memory = [ctypes.string_at(owner.ctypes.data, owner.nbytes) for owner in blocks.owners]
        self._send(_numbers(*head, *values, *sizes), *memory, _numbers(*(n for r in references for n in r)))
        result = int.from_bytes(self._answer(8), "little", signed=True)
        for owner in blocks.owners:
            ctypes.memmove(owner.ctypes.data, self._answer(owner.nbytes), owner.nbytes)
        if holds:  # it holds addresses of the other processor's memory now
            arguments[0][...] = held
        return result

    def _send(self, *parts: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.writelines(parts)
        self.process.stdin.flush()

    def _answer(self, size: int) -> bytes:
        assert self.process.stdout is not None
        answer = self.process.stdout.read(size)
        assert len(answer) == size, f"the program ended with status {self.process.wait()}"
        return answer


def _numbers(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


class _Blocks:
    """The memory of some arrays, each piece once."""

    def __init__(self) -> None:
        self.owners: list[np.ndarray] = []

    def place(self, array: np.ndarray) -> tuple[int, int]:
        """Which piece an array lies in, and from which byte of it on."""
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if not any(owner is other for other in self.owners):
            self.owners.append(owner)
        (number,) = (k for k, other in enumerate(self.owners) if owner is other)
        return number, array.ctypes.data - owner.ctypes.data


def source(module: types.ModuleType, real: str) -> str:
    """What an emitted module gives a compiler for one type of number."""
    return module._TYPES[real] + module.SOURCE_C


@contextlib.contextmanager
def elsewhere(module: types.ModuleType, machine: Machine, folder: Path, real: str) -> Iterator[None]:
    """The C functions of an emitted module, for one type of number, run in an emulator."""
    functions = (*module.FUNCTIONS, *(("widen", "narrow") if real.endswith("16") else ()))
    emulated = Emulated(machine, source(module, real), functions, folder, *PROGRAM)

    def call(function: str, members: Sequence[Any], work: int) -> Callable[[], None]:
        arrays = [member for member in members if isinstance(member, np.ndarray)]
        record = [module._at(m) if m is None or isinstance(m, np.ndarray) else m for m in members]

        def run() -> None:
            status = emulated.call(function, np.array(record, np.int64), module._threads(work), holds=arrays)
            assert status % 2**32 == 0

        return run

    names = types.SimpleNamespace(**{name: name for name in functions})
    with contextlib.closing(emulated), pytest.MonkeyPatch.context() as patch:
        for name, value in {"_Call": call, "_library": {real: names}.__getitem__}.items():
            patch.setattr(module, name, value)
        yield
