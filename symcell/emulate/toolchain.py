"""The host C++ compiler: where it is, its version, and the flags that make it compile CUDA source."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from symcell.emulate.errors import CompilerNotFoundError

INCLUDE = Path(__file__).parent / "include"

# -nostdinc++ keeps C++ headers away, as NVRTC has none. No contraction: results do not depend on the host's FMA.
BASE_FLAGS = [
    *("-std=c++17", "-O1", "-fPIC", "-w", "-fno-exceptions", "-fno-rtti"),
    *("-fno-strict-aliasing", "-fno-math-errno", "-ffp-contract=off"),
    "-U_FORTIFY_SOURCE",  # some systems set it: fibers change stacks by longjmp, which it takes for an attack
]

Watch = Literal["nothing", "memory", "races"]
"""What is watched while a kernel runs: accesses out of bounds and undefined behaviour; or races."""

KERNEL_FLAGS: dict[Watch, list[str]] = {
    "nothing": [],
    "memory": ["-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    "races": ["-g", "-fsanitize=thread"],
}
RUNTIME_FLAGS: dict[Watch, list[str]] = {**KERNEL_FLAGS, "races": ["-O2", "-DSYMCELL_RACES"]}
# A kernel may be called ``wait`` or ``index``, as functions of the C library are.
OWN_NAMES = ["-Wl,-Bsymbolic"] if sys.platform == "linux" else []
# The functions that -fsanitize=thread calls are the emulator's own: ThreadSanitizer's library stays out.
LINK_FLAGS: dict[Watch, list[str]] = {
    "nothing": OWN_NAMES,
    "memory": OWN_NAMES,
    "races": [*OWN_NAMES, "-nodefaultlibs", "-lc", "-lgcc"],
}

# NVRTC options that mean nothing to the host.
_IGNORED = re.compile(
    r"--?(std=|use_fast_math|fmad=|ftz=|prec-(div|sqrt)=|maxrregcount=|(gpu-architecture|arch)=|lineinfo"
    r"|generate-line-info|device-debug|G$|extra-device-vectorization|default-device|dc$|rdc=|relocatable-device-code=)"
)
_PASSED = re.compile(r"-[DUI].")


def find_compiler() -> list[str]:
    """The compiler as a command: ``$CXX`` if set, else the first of c++, g++ and clang++ on the path.

    Raises CompilerNotFoundError when there is none.
    """
    chosen = os.environ.get("CXX")
    for candidate in [chosen] if chosen else ["c++", "g++", "clang++"]:
        command = shlex.split(candidate)
        path = shutil.which(command[0])
        if path:
            return [path, *command[1:]]
    wanted = f"$CXX is {chosen!r}, which is not there" if chosen else "none of c++, g++ and clang++ is on the path"
    raise CompilerNotFoundError(
        f"emulating CUDA needs a C++17 compiler, and {wanted}. Install one (Debian: apt install g++; macOS: "
        "xcode-select --install) or set CXX to its path."
    )


@functools.cache
def version(compiler: tuple[str, ...]) -> str:
    """What the compiler says about itself; a part of the key of the cache."""
    done = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False)
    machine = subprocess.run([*compiler, "-dumpmachine"], capture_output=True, text=True, check=False)
    return done.stdout + machine.stdout


def is_clang(compiler: Sequence[str]) -> bool:
    """Whether the compiler is clang, whatever it is called."""
    return "clang" in version(tuple(compiler))


def kernel_flags(compiler: Sequence[str], watch: Watch) -> list[str]:
    """The flags for a kernel. A volatile access is told apart from others, as it is an atomic one."""
    clang = is_clang(compiler)
    apart = ["-mllvm", "-tsan-distinguish-volatile=1"] if clang else ["--param=tsan-distinguish-volatile=1"]
    return KERNEL_FLAGS[watch] + (apart if watch == "races" else [])


def host_flags(options: Sequence[str]) -> list[str]:
    """The host compiler's flags for NVRTC options: definitions and include folders pass, code generation does not.

    Raises ValueError for an option that NVRTC does not have, or that this list lacks.
    """
    flags: list[str] = []
    for option in options:
        long_form = re.fullmatch(r"--(define-macro|undefine-macro|include-path)=(.+)", option)
        if long_form:
            flags.append({"d": "-D", "u": "-U", "i": "-I"}[long_form[1][0]] + long_form[2])
        elif _PASSED.match(option):
            flags.append(option)
        elif not _IGNORED.match(option):
            raise ValueError(f"the emulator does not know the compiler option {option!r}")
    return flags
