"""The Python that an emitted C module brings along, around any C text: what the tests of these templates run."""

from __future__ import annotations

import types
from collections.abc import Sequence

from symcell.templating import environment

IMPORTS = """
import array
import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
"""

PLAIN = """
int size(long long *record, long long threads) { (void)threads; record[0] = sizeof(real); return 0; }
int is_float(long long *record, long long threads) {
    (void)record;
    (void)threads;
#ifdef REAL_IS_FLOAT
    return 1;
#else
    return 0;
#endif
}
"""


def rendered(name: str) -> str:
    """The text of a template of the C target for a cell called toy."""
    return environment("c").get_template(f"c/{name}.j2").render(own={"cell": '"toy"'})


def module(source: str = PLAIN, functions: Sequence[str] = ("size", "is_float")) -> types.ModuleType:
    """The C text as a module, as an emitted one has it: it is compiled when ``_library`` is called."""
    made = types.ModuleType("toy_c")
    text = "\n\n".join(["from __future__ import annotations", IMPORTS, *map(rendered, ("compiler.py", "launch.py"))])
    exec(compile(text, "toy_c.py", "exec"), made.__dict__)
    made.SOURCE_C, made.FUNCTIONS = source, tuple(functions)  # type: ignore[attr-defined]
    return made
