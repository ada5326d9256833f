"""Steps over fixed values, once a call: plain expressions where the program gives no calls."""

from __future__ import annotations

from symcell.emit.python import ufuncs
from symcell.emit.python.scope import Scope
from symcell.graph import Block as Columns, Combine, Contraction, Matrix, Operand, Outer, Pointwise, Reduce
from symcell.program.model import Arg, Fixed, Mask, Out, Ref, Temp


def cut(scope: Scope, columns: Columns | None) -> str:
    """An index of some columns of a matrix; empty for all."""
    if columns is None:
        return ""
    start, stop = scope.size(columns.start), scope.size(columns.start + columns.width)
    return f"[:, {'' if start == '0' else start + ' '}: {stop}]"


def lines(scope: Scope, stage: Fixed) -> list[str]:
    """The lines of a step over fixed values, which are computed in the type that all is computed in."""
    out = scope.fixed(stage.out, [stage.op.out])
    if not _narrow(scope, stage.out):
        return _lines(scope, stage, out)
    wide = scope.names.fresh(f"{out}_wide")
    return [
        f"{wide} = _as({out}, {scope.real})", *_lines(scope, stage, wide), f"if {wide} is not {out}:",
        f"    {out}[...] = {wide}",
    ]  # fmt: skip


def _lines(scope: Scope, stage: Fixed, out: str) -> list[str]:
    op = stage.op
    match op:
        case Pointwise():
            arrays: dict[Arg, str] = {o: _laid(scope, o, ref) for o, ref in stage.reads.items()}
            arrays[Out()] = out
            arrays |= {Temp(k): scope.fixed(ref) for k, ref in enumerate(stage.work)}
            if stage.mask is not None:
                arrays[Mask()] = scope.fixed(stage.mask)
            return ufuncs.lines(scope, stage.calls, arrays)
        case Reduce():
            axes = "" if op.axis is None else f", axis={op.axis}"
            return [f"{out}[...] = {scope.xp}.{op.kind}({_array(scope, stage.reads[op.arg])}{axes})"]
        case Contraction():
            parts = [f"{_read(scope, stage, m)} @ {_array(scope, stage.reads[v])}" for m, v in op.terms]
            return [f"{out}[...] = {' + '.join(parts)}"]
        case Outer():
            left, right = _array(scope, stage.reads[op.left]), _array(scope, stage.reads[op.right])
            return [f"{out}[...] = {left}[:, None] * {right}"]
        case Combine():
            return _combine(stage, op, out, scope)
    raise NotImplementedError(str(op))


def _narrow(scope: Scope, ref: Ref) -> bool:
    """Whether fixed values may be of 16 bits."""
    return not scope.program.profile.wide and scope.program.buffers[ref.buffer].storage == "stored"


def _array(scope: Scope, ref: Ref) -> str:
    """Fixed values in the type that is computed in."""
    array = scope.fixed(ref)
    return f"_as({array}, {scope.real})" if _narrow(scope, ref) else array


def _laid(scope: Scope, operand: Operand, ref: Ref) -> str:
    array = _array(scope, ref)
    return array if operand.axis is None else array + ("[:, None]", "[None, :]")[operand.axis]


def _read(scope: Scope, stage: Fixed, m: Matrix) -> str:
    return _array(scope, stage.reads[m.of]) + cut(scope, m.block) + (".T" if m.transposed else "")


def _combine(stage: Fixed, op: Combine, out: str, scope: Scope) -> list[str]:
    lines = [f"{out}[...] = 0"]
    for term in op.terms:
        factor = "" if abs(term.factor) == 1 else f"{scope.scalar(abs(term.factor))} * "
        sign = "-=" if term.factor.is_negative else "+="
        lines.append(f"{out}{cut(scope, term.into) or '[...]'} {sign} {factor}{_read(scope, stage, term.matrix)}")
    return lines
