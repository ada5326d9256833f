"""Identifiers in C: a program's names, out of the way of those that the language and its headers own."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable

_WORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class compl
    concept const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype default delete
    do double dynamic_cast else enum explicit export extern false final float for friend goto half if import inline int
    int8_t int16_t int32_t int64_t long module mutable namespace new noexcept not not_eq nullptr operator or or_eq
    override private protected public register reinterpret_cast requires restrict return short signed sizeof size_t
    ssize_t static static_assert static_cast std struct switch template this thread_local throw true try typedef typeid
    typename uint8_t uint16_t uint32_t uint64_t union unsigned using virtual void volatile wchar_t while xor xor_eq

    threadIdx blockIdx blockDim gridDim warpSize dim3 atomicAdd main linux unix assert errno isnan isinf signbit
    abs fabs fabsf exp expf expm1 expm1f log logf log1p log1pf sqrt sqrtf rsqrt sin sinf cos cosf tan tanf tanh tanhf
    erf erff erfc erfcf pow powf fmod fmodf floor floorf ceil ceilf round roundf trunc truncf fmax fmin fmaxf fminf min
    max normcdf normcdff gamma y0 y1 yn j0 j1 jn float2 float4 double2 int2 int4 uint char1 short1

    real rows row unit lane i j k LOWEST
"""

LONGEST = 60
"""How long names may be, so that lines can be broken to fit a page."""

RESERVED = frozenset(_WORDS.split())
"""Keywords, built-in variables, functions and macros of C, C++ and CUDA; and what kernels call their own things."""


class Names:
    """One identifier for each key that is asked for, never one that is taken."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(RESERVED) | set(taken)
        self._of: dict[Hashable, str] = {}

    def get(self, key: Hashable, hint: str) -> str:
        """The identifier of ``key``: ``hint``, with ``_`` or a number behind it where that is taken."""
        if key not in self._of:
            name, k = spelled(hint)[:LONGEST], 1
            self._of[key] = name
            while self._of[key] in self._taken:
                self._of[key] = f"{name}_" if k == 1 else f"{name}_{k}"
                k += 1
            self._taken.add(self._of[key])
        return self._of[key]


def spelled(name: str) -> str:
    """``name`` in ASCII letters, since compilers differ on others, and unlike anything that headers define."""
    name = "".join(c if c.isascii() else f"u{ord(c):04x}" for c in name)
    owned = name.startswith("_") or "__" in name or re.fullmatch(r"[A-Z][A-Z0-9_]{2,}", name)
    return "v" + name.replace("__", "_u") if owned else name


def timed(name: str, lag: int) -> str:
    """A name for the value of ``name`` at step t - lag: ``c_t``, ``c_t1`` (the step before), ``c_next``."""
    name = name[: LONGEST - 20]
    if lag < 0:
        return f"{name}_next" if lag == -1 else f"{name}_next{-lag}"
    return f"{name}_t{lag or ''}"
