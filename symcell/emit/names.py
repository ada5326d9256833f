"""Names in emitted code: a user's names, out of the way of those the target and the templates own."""

from __future__ import annotations

import builtins
import io
import keyword
import re
import tokenize
from collections.abc import Iterable

from symcell.cell import Size

C_RESERVED = frozenset(
    [
        "alignas",
        "alignof",
        "and",
        "and_eq",
        "asm",
        "auto",
        "bitand",
        "bitor",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "char8_t",
        "char16_t",
        "char32_t",
        "class",
        "compl",
        "concept",
        "const",
        "consteval",
        "constexpr",
        "constinit",
        "const_cast",
        "continue",
        "co_await",
        "co_return",
        "co_yield",
        "decltype",
        "default",
        "delete",
        "do",
        "double",
        "dynamic_cast",
        "else",
        "enum",
        "explicit",
        "export",
        "extern",
        "false",
        "final",
        "float",
        "for",
        "friend",
        "goto",
        "half",
        "if",
        "import",
        "inline",
        "int",
        "int8_t",
        "int16_t",
        "int32_t",
        "int64_t",
        "long",
        "module",
        "mutable",
        "namespace",
        "new",
        "noexcept",
        "not",
        "not_eq",
        "nullptr",
        "operator",
        "or",
        "or_eq",
        "override",
        "private",
        "protected",
        "public",
        "register",
        "reinterpret_cast",
        "requires",
        "return",
        "short",
        "signed",
        "sizeof",
        "size_t",
        "ssize_t",
        "static",
        "static_assert",
        "static_cast",
        "std",
        "struct",
        "switch",
        "template",
        "this",
        "thread_local",
        "throw",
        "true",
        "try",
        "typedef",
        "typeid",
        "typename",
        "uint8_t",
        "uint16_t",
        "uint32_t",
        "uint64_t",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "wchar_t",
        "while",
        "xor",
        "xor_eq",
        "threadIdx",
        "blockIdx",
        "blockDim",
        "gridDim",
        "warpSize",
        "dim3",
        "atomicAdd",
        "main",
        "linux",
        "unix",
        "assert",
        "errno",
        "isnan",
        "isinf",
        "signbit",
        "abs",
        "fabs",
        "fabsf",
        "exp",
        "expf",
        "expm1",
        "expm1f",
        "log",
        "logf",
        "log1p",
        "log1pf",
        "sqrt",
        "sqrtf",
        "rsqrt",
        "sin",
        "sinf",
        "cos",
        "cosf",
        "tanh",
        "tanhf",
        "erf",
        "erff",
        "erfc",
        "erfcf",
        "pow",
        "powf",
        "fmax",
        "fmin",
        "fmaxf",
        "fminf",
        "min",
        "max",
        "normcdf",
        "normcdff",
        "gamma",
        "y0",
        "y1",
        "yn",
        "j0",
        "j1",
        "jn",
        "float2",
        "float4",
        "double2",
        "int2",
        "int4",
        "uint",
        "char1",
        "short1",
    ]
)
"""Names that C++, CUDA or their headers own: keywords, built-in variables, functions, common macros."""

PYTHON_RESERVED = frozenset(dir(builtins)) | frozenset(keyword.kwlist) | {"__builtins__"}


def names_in_python(source: str) -> frozenset[str]:
    """Every name a piece of Python uses: what user names must keep clear of when code is put inside it."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return frozenset(t.string for t in tokens if t.type == tokenize.NAME)


def ascii_name(name: str) -> str:
    """``name`` in ASCII letters: C compilers differ on others."""
    return "".join(c if c.isascii() else f"u{ord(c):04x}" for c in name)


class Identifiers:
    """One identifier for each key that is asked for, never one that is reserved or in use."""

    def __init__(self, reserved: Iterable[str], *, c: bool = False) -> None:
        self._used = set(reserved)
        self._of: dict[object, str] = {}
        self._c = c

    def get(self, key: object, hint: str) -> str:
        """The identifier of ``key``: ``hint``, with ``_`` or a number behind it where that is taken."""
        if key not in self._of:
            self._of[key] = self.fresh(hint)
        return self._of[key]

    def fresh(self, hint: str) -> str:
        name = ascii_name(hint) if self._c else hint
        if self._c and (name.startswith("_") or "__" in name or re.fullmatch(r"[A-Z][A-Z0-9_]{2,}", name)):
            name = "v" + name.replace("__", "_u")
        candidate, k = name, 1
        while candidate in self._used:
            candidate = f"{name}_" if k == 1 else f"{name}_{k}"
            k += 1
        self._used.add(candidate)
        return candidate


def size_code(size: Size, names: Identifiers) -> str:
    """A length as an expression over the size variables: ``H``, ``3*H``, ``D + 4``."""
    counts = {n: size.names.count(n) for n in size.names}
    parts = [(f"{k}*" if k > 1 else "") + names.get(("size", n), n) for n, k in counts.items()]
    return " + ".join(parts + ([str(size.fixed)] if size.fixed or not parts else []))
