"""A body's calls as lines of Python: one call of the array package each, into room that is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symcell.emit.python.scope import Scope
from symcell.program.calls import needs_mask
from symcell.program.model import Arg, Call, Mask, Out, Temp
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Param


def lines(
    scope: Scope,
    calls: Sequence[Call],
    arrays: Mapping[Arg, str],
) -> list[str]:
    """The lines of some calls; ``arrays``: the variables of operands and places."""

    def code(arg: Arg) -> str:
        return arrays[arg] if isinstance(arg, At | Param | Temp | Out | Mask) else scope.scalar(arg)

    made: list[str] = []
    for call in calls:
        arguments, out = [code(a) for a in call.args], code(call.out)
        if isinstance(call.function, str):
            made.append(_arithmetic(scope.xp, call.function, arguments, out))
            continue
        scope.module.functions.add(call.function)
        mask = arrays[Mask()] if needs_mask(call.function) else ""
        made += fn.calls(call.function, arguments, out, mask, scope.xp)
    return made


def _arithmetic(xp: str, function: str, arguments: Sequence[str], out: str) -> str:
    match function:
        case "copy":
            return f"{xp}.copyto({out}, {arguments[0]})"
        case "select":
            return f"{xp}.copyto({out}, {arguments[1]}, where={arguments[0]})"
        case "reciprocal":
            # faster than NumPy's own reciprocal
            return f"{xp}.divide(1, {arguments[0]}, out={out})"
    return f"{xp}.{function}({', '.join(arguments)}, out={out})"
