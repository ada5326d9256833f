"""Names in emitted Python: a user's names, out of the way of those that the language and the templates own."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Callable, Iterable

from symcell.cell import Size
from symcell.symbolic.functions import FUNCTIONS

TEMPLATES = frozenset(
    [
        "CONSTANTS", "CUDA", "EQUATIONS", "INPUTS", "KERNELS", "LAGS", "OUTPUT", "PARAMS", "SIZES", "STAMP", "START",
        "STATES", "Any", "Grads", "Iterable", "Iterator", "Mapping", "NamedTuple", "Packing", "Params", "Tape", "_Call",
        "_Stepper", "_array", "_at", "_check_inputs", "_check_lengths", "_check_state", "_compiled", "_filled",
        "_float_type", "_inputs", "_kernels", "_launch_rows", "_launch_units", "_length", "_mapping", "_params",
        "_past", "_shape", "_sizes", "_start", "_stepper", "_buffer", "values", "_threads", "annotations", "cp",
        "functools", "math", "np", "re", "types", "init_params", "forward", "backward", "step", "arrays", "batch",
        "dlast", "dstate", "dtype", "dx", "dy", "empty", "given", "grads", "inputs", "keep_tape", "last", "lengths",
        "n", "need_x", "pack", "params", "rows", "samples", "shape", "start", "state", "steps", "t", "tape", "x", "x_t",
        "Checkpoints", "_backward_piece", "_backward_pieces", "_backward_sweep", "_every", "_forward_pieces",
        "_forward_sweep", "_held", "_need", "_state_rows", "_within", "budget", "checked", "checkpoint", "ends",
        "every", "name", "sweep", "value", "FUNCTIONS", "SOURCE_C", "_CELL", "_FLAGS", "_LIBRARIES", "_LOCKS", "_built",
        "_cache", "_called", "_compile", "_compiler", "_digest", "_found", "_kept", "_library", "_name", "_opened",
        "_place", "_processor", "_processors", "_tuned", "_words", "Callable", "run", "states", "expected",
        "kept", "part", "FIRST_PRODUCT", "LAUNCHES", "MATRIX_UNITS", "SHARING", "STEPS", "STRATEGIES", "STRATEGY",
        "MEETING", "Shares", "Slots", "Step", "TF32", "THREADS", "_phases", "_plain", "_run_steps",
        "_shared_by", "_shares", "_with_rooms", "_check_sequences", "_kind", "lead", "packed", "_steps_code",
        "ITEMSIZES", "MOST_HELD", "REGISTERS", "Slice", "UNITS", "UNMEASURED", "_in_registers", "_lanes", "_layout",
        "_slice", "_unit", "_expected", "_multiplied", "ROUNDED_PRODUCT", "ROUNDED_PRODUCTS",
        "HELD_REGISTERS", "MOST_SUMS", "MOST_TOGETHER", "SPARE_REGISTERS", "THREAD",
        "GRAPHS", "REPLAYS", "TURNS", "Recorded", "Replay", "_by_graph", "_graph_kernels", "_record", "_recorded",
        "DOUBT", "LAUNCH", "NEAR", "_by_nodes", "_image", "_in_graph", "collections",
        "_steps_kernel", "_tiles", "_work", "os", "TangentTape", "_DOTS", "_directions", "_inputs_dot", "_jvp_sweep",
        "_second_sweep", "directions", "given_dot", "jvp", "after", "params_dot", "second", "state_dot", "x_dot",
        "_TYPES", "_copy",
        "_as", "_bfloat16", "_cast", "_narrowed", "_products", "_real", "_round", "_rounded", "own", "real", "parts",
        "GEMM_TYPES", "NUMBERS", "ONE", "SCALES", "ZERO", "_laid", "_matmul", "_product",
        "zero", "LEAST_CAPABILITY", "_backward_whole", "_check_capability", "_check_device", "_check_tape", "_device",
        "_forward_whole", "_lengths", "_missing", "_too_large", "asked", "need", "pieces", "traceback", "uneven",
        "Generator", "Launch", "Result", "Sweep", "TypeVar", "_alone", "_backward", "_forward", "_launch_steps",
        "OUT_OF_MEMORY", "problem", "TOO_LARGE", "TROUBLES", "DEBUG", "LAUNCH_SECONDS", "PATIENCE", "_HELD",
        "_check_meetings", "_refused", "warnings", "_pair", "_run_both", "_shares_of_both", "_together",
        "backward_both", "forward_both",
    ]
)  # fmt: skip
"""Names that the templates of Python targets use: what a user's names keep clear of."""

_DEFINED = re.compile(r"^(?:def )?(\w+)(?: =|\()", re.MULTILINE)
HELPERS = frozenset(name for f in FUNCTIONS for text in f.row.python for name in _DEFINED.findall(text))
"""Names that the table of functions defines in Python."""

PYTHON = frozenset(dir(builtins)) | frozenset(keyword.kwlist) | frozenset(keyword.softkwlist) | {"__builtins__"}

RESERVED = TEMPLATES | HELPERS | PYTHON


LONGEST = 48
"""How long an identifier is at most, where a number behind it does not make it longer."""


class Identifiers:
    """One identifier for each key that is asked for, never one that is reserved or in use."""

    def __init__(self, reserved: Iterable[str] = RESERVED) -> None:
        self._used = set(reserved)
        self._of: dict[object, str] = {}

    def get(self, key: object, hint: str) -> str:
        """The identifier of ``key``: ``hint``, with ``_`` or a number behind it where that is taken."""
        if key not in self._of:
            self._of[key] = self.fresh(hint)
        return self._of[key]

    def has(self, key: object) -> bool:
        """Whether ``key`` has been asked for."""
        return key in self._of

    def fresh(self, hint: str) -> str:
        """An identifier of its own: ``hint``, or ``hint_``, ``hint_2``, …"""
        name = self.clean(hint)
        candidate, k = name, 1
        while candidate in self._used:
            candidate = f"{name}_" if k == 1 else f"{name}_{k}"
            k += 1
        self._used.add(candidate)
        return candidate

    def clean(self, hint: str) -> str:
        """``hint`` as an identifier of the language, not too long; names of buffers may end in brackets."""
        return hint.split("[")[0][:LONGEST]


def size_code(size: Size, variable: Callable[[str], str]) -> str:
    """A length as an expression over the size variables: ``H``, ``3*H``, ``D + 4``; ``variable`` names them."""
    parts = []
    for names, count in size.terms:
        factors = [variable(name) for name in names]
        parts.append("*".join([str(count)] * (count != 1 or not factors) + factors))
    return " + ".join(parts) or "0"
