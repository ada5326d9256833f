"""What to say about Python that a cell has no use for, and how each function is written."""

from __future__ import annotations

import ast

from symcell.language.names import FORMS, FUNCTIONS
from symcell.language.problems import did_you_mean
from symcell.symbolic.functions import ELEMENTWISE, OVER_UNITS

_NEST = "nest: where(a > b, where(c > d, this, other), other)"

UNKNOWN: dict[type[ast.AST], tuple[str, str]] = {
    ast.IfExp: ("if ... else has no meaning here", "write where(a > b, this, otherwise)"),
    ast.BoolOp: ("and, or have no meaning here", _NEST),
    ast.Not: ("not has no meaning here", "turn the comparison round"),
    ast.Lambda: ("lambda has no meaning here", "write the expression itself"),
    ast.NamedExpr: (":= has no meaning here", "give the part an equation of its own"),
    ast.Tuple: ("a comma has no meaning here", "write W @ [u, v] to join two vectors"),
    ast.Slice: ("a slice has no meaning here", "units are not indexed"),
    ast.Starred: ("* before a value has no meaning here", "write the arguments one by one"),
    ast.ListComp: ("a loop has no meaning here", "an equation holds for all units at once"),
    ast.GeneratorExp: ("a loop has no meaning here", "an equation holds for all units at once"),
    ast.BitXor: ("^ has no meaning here", "a power is written **, a transposed matrix W.T"),
    ast.BitAnd: ("& has no meaning here", _NEST),
    ast.BitOr: ("| has no meaning here", _NEST),
    ast.Invert: ("~ has no meaning here", "write 1 - v"),
    ast.FloorDiv: ("// has no meaning here", "write /"),
    ast.Mod: ("% has no meaning here", "write mod(u, v)"),
    ast.LShift: ("<< has no meaning here", "write * 2**k"),
    ast.RShift: (">> has no meaning here", "write / 2**k"),
}
"""Message and advice for each kind of Python syntax that the language leaves out."""

_SIGNATURES = {
    "clip": "clip(v, low, high)",
    "where": "where(a > b, this, otherwise)",
    "maximum": "maximum(u, v)",
    "minimum": "minimum(u, v)",
    "dot": "dot(u, v)",
    "layernorm": "layernorm(v, gain, bias)",
    "rmsnorm": "rmsnorm(v, gain)",
    "leaky_relu": "leaky_relu(v) or leaky_relu(v, slope)",
    "max": "max(v), over the units; maximum(u, v) compares two",
}

_ELSEWHERE = {
    "min": "write minimum(u, v) for two, or -max(-v) over the units",
    "log1p": "write log(1 + v)",
    "expm1": "write exp(v) - 1",
    "square": "write v**2",
    "ln": "write log(v)",
    "expit": "write sigmoid(v)",
    "logistic": "write sigmoid(v)",
    "sigm": "write sigmoid(v)",
    "htan": "write tanh(v)",
    "tgh": "write tanh(v)",
    "th": "write tanh(v)",
    "Σ": "write sum(v), over the units",
    "layer_norm": "write layernorm(v, gain, bias)",
    "LN": "write layernorm(v, gain, bias)",
    "φ": "write the function's name: tanh(v), relu(v)",
    "ψ": "write the function's name: tanh(v), relu(v)",
    "swish": "write silu(v)",
    "logsigmoid": "write log_sigmoid(v)",
    "hardtanh": "write hard_tanh(v)",
    "hardsigmoid": "write hard_sigmoid(v)",
    "cat": "write W @ [u, v]",
    "concat": "write W @ [u, v]",
    "matmul": "write W @ v",
    "transpose": "write W.T",
}


def arity(function: str) -> tuple[int, int, str]:
    """Fewest and most arguments of a function as the text writes it, and its signature."""
    if function == "outer":
        return 2, 2, "outer(u, v)"
    if function == "diag":
        return 1, 1, "diag(v)"
    if function == "leaky_relu":
        return 1, 2, _SIGNATURES[function]
    kind = ELEMENTWISE.get(function) or OVER_UNITS[function]
    counts = sorted(kind.nargs)
    return int(counts[0]), int(counts[-1]), _SIGNATURES.get(function, f"{function}(v)")


def unknown_function(call: ast.Call) -> tuple[str, str]:
    """What is wrong with a call of something that is no function of the language, and what to write."""
    match call.func:
        case ast.Attribute(attr=name) if name in FUNCTIONS:
            return "functions are written without a module", f"write {name}(...)"
        case ast.Attribute(attr=name):
            return f".{name[:20]}(...) has no meaning here", "a function is called by its bare name"
        case ast.Name(id=name):
            match call.args:
                case [ast.Name(id="t") | ast.BinOp(left=ast.Name(id="t"))]:
                    return f"{name} is called like a function", f"time stands in square brackets: {name}[t]"
            hint = did_you_mean(name, (*FUNCTIONS, *FORMS)) or did_you_mean(name.lower(), FUNCTIONS)
            hint = f"did you mean {name.lower()}?" if name.lower() in FUNCTIONS else hint
            if name == "σ" or name.startswith("σ_"):
                hint = "write the function's name: sigmoid(v), tanh(v)" if "_" in name else "write sigmoid(v)"
            advice = _ELSEWHERE.get(name) or hint or f"for a product write {name} * (...) or {name} @ (...)"
            return f"{name} is no function of the language", advice
    return "only a function of the language can be called", "for a product write *"
