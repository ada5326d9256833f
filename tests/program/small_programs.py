"""Programs made by hand, small enough to be read: a tanh recurrent network, both ways, and a kernel that normalises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sympy import Integer

from symcell.cell import Shape, Size
from symcell.graph import (
    Contraction,
    Entry,
    Exit,
    Graph,
    Matrix,
    Outer,
    Pointwise,
    Reduce,
    Total,
    Value,
)
from symcell.program.model import (
    Buffer,
    Call,
    Enter,
    Gemm,
    Gradient,
    Kernel,
    Leave,
    Member,
    Out,
    Phase,
    Plan,
    Profile,
    Program,
    Ref,
    Region,
    Statement,
    Sums,
    Temp,
)
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import At, Count, Param

D, H = Size.of("D"), Size.of("H")
CALLS = Profile("calls", registers=False)
REGISTERS = Profile("registers", registers=True)


def values(varying: dict[str, Shape], fixed: dict[str, Shape]) -> dict[str, Value]:
    return {**{n: Value(n, s) for n, s in varying.items()}, **{n: Value(n, s, True) for n, s in fixed.items()}}


def buffers(*found: Buffer) -> dict[str, Buffer]:
    return {b.name: b for b in found}


def one(
    op: Any, out: Ref, reads: dict[Any, Ref], *calls: Call, work: tuple[Ref, ...] = (), shape: Shape = (H,)
) -> Kernel:
    """A kernel of one statement."""
    return Kernel(op.out, (Phase(shape, body=(Statement((op,), shape, out, reads, calls, work),)),), False)


PARAMETERS = (Member("b", (H,)), Member("W", (H, D)), Member("U", (H, H)))
FIXED = {"b": (H,), "W": (H, D), "U": (H, H)}


def rnn_forward() -> Program:
    wx = Contraction("Wx", ((Matrix(Param("W")), At("x")),))
    ahead = Pointwise("a_in", At("Wx") + Param("b"))
    uh = Contraction("Uh", ((Matrix(Param("U")), At("h", 1)),))
    h = Pointwise("h", fn.Tanh(At("Uh") + At("a_in")))
    names: dict[str, Shape] = {"x": (D,), **dict.fromkeys(("Wx", "a_in", "Uh", "h"), (H,))}
    graph = Graph("rnn", values(names, FIXED), {"x": 0}, ("b", "W", "U"), (wx, ahead, uh, h), ("h",),
                  entries=(Entry("h", "h", 1),), exits=(Exit("h", ("h",), 1),))  # fmt: skip
    a, now = Ref("a_in"), Ref("h", shift=1)
    return Program(
        "forward", CALLS, graph,
        buffers(
            Buffer("params", PARAMETERS, "fixed", origin="params", storage="stored"),
            Buffer("x", (Member("x", (D,)),), "whole", origin="input", storage="stored"),
            Buffer("a_in", (Member("a_in", (H,)),), "whole", storage="stored"),
            Buffer("h", (Member("h", (H,)),), "whole", depth=1, storage="stored"),
        ),
        (
            Region("sequence", (
                Gemm((wx,), a, Ref("x"), Ref("params", 1)),
                one(ahead, a, {At("Wx"): a, Param("b"): Ref("params")}, Call("add", (At("Wx"), Param("b")), Out())),
            )),
            Region("steps", (
                Gemm((uh,), now, Ref("h"), Ref("params", 2)),
                one(h, now, {At("Uh"): now, At("a_in"): a},
                    Call("add", (At("Uh"), At("a_in")), Out()), Call(fn.Tanh, (Out(),), Out())),
            )),
        ),
        (Enter("h", "h", 1),), (Leave("h", (("h", 1),), 1, (H,)),), {"h": Ref("h", shift=1)}, ("h", "x"),
    )  # fmt: skip


def rnn_backward() -> Program:
    dh = Pointwise("dh", At("dy") + At("dh_back", -1))
    da = Pointwise("da", At("dh") * (1 - At("h") ** 2))
    back = Contraction("dh_back", ((Matrix(Param("U"), True), At("da")),))
    dx = Contraction("dx", ((Matrix(Param("W"), True), At("da")),))
    outers = (Outer("dW_each", At("da"), At("x")), Outer("dU_each", At("da"), At("h", 1)))
    dw, du, db = Total("dW", At("dW_each")), Total("dU", At("dU_each")), Total("db", At("da"))
    names: dict[str, Shape] = {"x": (D,), "dx": (D,), **dict.fromkeys(("dy", "h", "dh", "da", "dh_back"), (H,))}
    fixed = {"W": (H, D), "U": (H, H), "dW": (H, D), "dU": (H, H), "db": (H,)}
    found = {**values(names, fixed), "dW_each": Value("dW_each", (H, D)), "dU_each": Value("dU_each", (H, H))}
    graph = Graph("adjoint of rnn", found, {"dy": 0, "x": 0, "h": 1}, ("W", "U"),
                  (dh, da, back, dx, *outers, dw, du, db), ("dx", "dW", "dU", "db"), direction=-1,
                  entries=(Entry("dh_back", "dh", 1),), exits=(Exit("dh", ("dh_back",), 1),))  # fmt: skip
    a, work, ring = Ref("da"), Ref("work"), Ref("dh_back")
    return Program(
        "backward", CALLS, graph,
        buffers(
            Buffer("params", PARAMETERS, "fixed", origin="params", storage="stored"),
            Buffer("grads", PARAMETERS, "fixed", origin="grads"),
            Buffer("dy", (Member("dy", (H,)),), "whole", origin="seed", storage="stored"),
            Buffer("h", (Member("h", (H,)),), "whole", depth=1, origin="tape", storage="stored"),
            Buffer("x", (Member("x", (D,)),), "whole", origin="tape", storage="stored"),
            Buffer("da", (Member("da", (H,)),), "whole", storage="stored", slot="m"),
            Buffer("dh_back", (Member("dh_back", (H,)),), "ring", depth=1, slot="ring"),
            Buffer("work", (Member("work", (H,)),), "local", slot="room"),
            Buffer("dx", (Member("dx", (D,)),), "whole", storage="stored", slot="n"),
        ),
        (
            Region("steps", (
                one(dh, a, {At("dh_back", -1): Ref("dh_back", shift=1), At("dy"): Ref("dy")},
                    Call("add", (At("dy"), At("dh_back", -1)), Out())),
                one(da, a, {At("dh"): a, At("h"): Ref("h", shift=1)},
                    Call("square", (At("h"),), Temp(0)), Call("subtract", (Integer(1), Temp(0)), Temp(0)),
                    Call("multiply", (At("dh"), Temp(0)), Out()), work=(work,)),
                Gemm((back,), ring, a, Ref("params", 2), transposed=True),
            ), direction=-1),
            Region("sequence", (
                Gemm((dx,), Ref("dx"), a, Ref("params", 1), transposed=True),
                Gradient((dw,), Ref("grads", 1), a, Ref("x")),
                Gradient((du,), Ref("grads", 2), a, Ref("h")),
                Sums((db,), Ref("grads", 0), a),
            )),
        ),
        (Enter("h", "dh_back", 1),), (Leave("h", (("dh_back", 1),), 1, (H,)),), {"x": Ref("dx")}, ("h", "x"),
    )  # fmt: skip


class OutputOnly:
    """All that running a program asks of a cell."""

    def __init__(self, output: str) -> None:
        self.output = output


def planned(output: str, **programs: Program) -> Plan:
    cell: Any = OutputOnly(output)
    return Plan(cell, programs, ("b", "W", "U"), ("h",), ())


def rnn() -> Plan:
    return planned("h", forward=rnn_forward(), backward=rnn_backward())


def normalising() -> Program:
    """y = (x - mean(x))/sqrt(mean((x - mean(x))^2) + 1), and that times its neighbours' sum: one kernel."""
    total = Reduce("total", "sum", At("x"))
    mean = Pointwise("mean", At("total") / Count(H))
    centred = Pointwise("centred", At("x") - At("mean"))
    square = Pointwise("square", At("centred") ** 2)
    spread = Reduce("spread", "sum", At("square"))
    root = Pointwise("root", fn.Sqrt(At("spread") / Count(H) + 1))
    y = Pointwise("y", At("centred") / At("root"))
    names: dict[str, Shape] = {"x": (H,), "total": (), "mean": (), "spread": (), "root": (),
                               "centred": (H,), "square": (H,), "y": (H,)}  # fmt: skip
    graph = Graph("norm", values(names, {}), {"x": 0}, (), (total, mean, centred, square, spread, root, y), ("y",))
    x, row = {At("x"): Ref("x")}, (H,)
    kernel = Kernel("norm", (
        Phase(row, reductions=(Statement((total,), (), None, x),)),
        Phase(row, scalars=(Statement((mean,), (), None, {}),),
              body=(Statement((centred,), row, Ref("centred"), x), Statement((square,), row, None, {})),
              reductions=(Statement((spread,), (), None, {}),)),
        Phase(row, scalars=(Statement((root,), (), None, {}),),
              body=(Statement((y,), row, Ref("y"), {At("centred"): Ref("centred")}),)),
    ), rowwise=True)  # fmt: skip
    return Program(
        "forward", REGISTERS, graph,
        buffers(
            Buffer("x", (Member("x", row),), "whole", origin="input", storage="stored"),
            Buffer("centred", (Member("centred", row),), "whole", storage="stored"),
            Buffer("y", (Member("y", row),), "whole", storage="stored"),
        ),
        (Region("sequence", (kernel,)),), (), (), {"y": Ref("y")}, (),
    )  # fmt: skip


def changed(program: Program, buffer: str, **fields: Any) -> Program:
    """The program with one of its buffers changed."""
    found = {**program.buffers, buffer: replace(program.buffers[buffer], **fields)}
    return replace(program, buffers=found)


def restaged(program: Program, region: int, position: int, stage: Any) -> Program:
    """The program with one of its stages replaced, or left out (None)."""
    regions = list(program.regions)
    stages = list(regions[region].stages)
    stages[position : position + 1] = [] if stage is None else [stage]
    regions[region] = replace(regions[region], stages=tuple(stages))
    return replace(program, regions=tuple(regions))


def numbers(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape)
