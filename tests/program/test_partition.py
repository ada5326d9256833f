"""How blocks share the steps of a sweep: every rule on a program of a few stages, and what shipped cells come to."""

from __future__ import annotations

from typing import Any

import pytest
from planned_cells import planned
from small_programs import REGISTERS

import symcell
from symcell.cell import ONE, Shape, Size
from symcell.graph import Contraction, Graph, Matrix, Operand, Pointwise, Reduce
from symcell.pipeline import plan
from symcell.program.model import Buffer, Gemm, Kernel, Member, Phase, Program, Ref, Region, Stage, Statement, Sums
from symcell.program.partition import meetings, runs, share
from symcell.symbolic.nodes import At, Param

H, K = Size.of("H"), Size.of("K")


def buffer(name: str, *shapes: Shape, extent: Any = "ring", depth: int = 0, **fields: Any) -> Buffer:
    """A buffer of members ``NAME0 NAME1 …``; without shapes, of one vector."""
    members = (Member(f"{name}{k}", shape) for k, shape in enumerate(shapes or ((H,),)))
    return Buffer(name, tuple(members), extent, depth, **fields)


def units_of(out: Ref, *reads: Ref, span: Shape = (H,), shape: Shape | None = None, axis: int | None = None) -> Kernel:
    """A kernel of units by themselves: ``out`` from ``reads``, these laid along ``axis`` of it."""
    operands: dict[Operand, Ref] = {At(f"v{k}", axis=axis): ref for k, ref in enumerate(reads)}
    shape = span if shape is None else shape
    statement = Statement((Pointwise("v", sum(operands)),), shape, out, operands)
    return Kernel("made", (Phase(span, body=(statement,)),), rowwise=False)


def rows_of(out: Ref, read: Ref) -> Kernel:
    """A kernel in which the units of a row meet: the sum of ``read``, by ``out``."""
    total = Statement((Reduce("s", "sum", At("v")),), (), None, {At("v"): read})
    spread = Statement((Pointwise("w", At("s")),), (H,), out, {})
    return Kernel("made", (Phase((H,), reductions=(total,)), Phase((H,), body=(spread,))), rowwise=True)


def product(out: Ref, left: Ref) -> Gemm:
    return Gemm((Contraction("p", ((Matrix(Param("W")), At("v")),)),), out, left, Ref("params"))


def program(*buffers: Buffer) -> Program:
    params = Buffer("params", (Member("W", (H, H)),), "fixed", origin="params")
    found = {b.name: b for b in (params, *buffers)}
    return Program("forward", REGISTERS, Graph("by hand", {}, (), (), (), ()), found, (), (), (), {}, ())


def met(made: Program, *stages: Stage, direction: Any = 1) -> list[int]:
    return sorted(meetings(made, Region("steps", stages, direction)))


# how one stage is shared


def test_units_are_shared_unless_those_of_a_row_meet() -> None:
    assert share(units_of(Ref("a"))) == "units"
    assert share(product(Ref("a"), Ref("b"))) == "units"
    assert share(rows_of(Ref("a"), Ref("b"))) == "rows"


@pytest.mark.parametrize("op", [Contraction("v", ((Matrix(At("C")), At("q")),)), Reduce("v", "sum", At("C"), axis=1)])
def test_rows_are_shared_where_units_walk_over_matrices(op: Any) -> None:
    walking = Kernel("made", (Phase((H,), body=(Statement((op,), (H,), Ref("a"), {At("C"): Ref("C")}),)),), False)
    assert share(walking) == "rows"


# where blocks meet


def test_units_stay_with_their_block() -> None:
    """From stage to stage and from step to step: every block has the same part of values that are as wide."""
    made = program(buffer("a"), buffer("b"), buffer("c", depth=1))
    chain = (units_of(Ref("a"), Ref("c")), units_of(Ref("b"), Ref("a")), units_of(Ref("c", shift=1), Ref("b")))
    assert met(made, *chain) == []
    assert met(made, product(Ref("a"), Ref("params")), units_of(Ref("b"), Ref("a"))) == []


def test_a_product_needs_whole_rows() -> None:
    made = program(buffer("x"), buffer("a"), buffer("b"), buffer("c"))
    assert met(made, units_of(Ref("a"), Ref("x")), product(Ref("b"), Ref("a"))) == [0, 1], "and a may be written again"
    ahead = program(buffer("x", extent="whole"), buffer("a", extent="whole"), buffer("b"))
    assert met(ahead, units_of(Ref("a"), Ref("x")), product(Ref("b"), Ref("a"))) == [1], "each step has an a of its own"
    assert met(ahead, product(Ref("b"), Ref("x")), units_of(Ref("a"), Ref("b"))) == [], "x was there before the steps"


def test_one_meeting_is_enough_for_several_readers() -> None:
    made = program(buffer("a", extent="whole"), buffer("b"), buffer("c"))
    stages = (units_of(Ref("a")), product(Ref("b"), Ref("a")), product(Ref("c"), Ref("a")))
    assert met(made, *stages) == [1]
    assert met(made, stages[0], units_of(Ref("b")), *stages[1:]) == [2], "as late as can be"


def test_what_others_still_read_is_not_written() -> None:
    """h in one place: a block may write its part of the new one when all have multiplied with the old one; with room
    for two, they multiply with one while the other is written."""
    place = program(buffer("h"), buffer("u"))
    assert met(place, product(Ref("u"), Ref("h")), units_of(Ref("h"), Ref("u"))) == [0, 1]
    for extent in ("ring", "tape", "whole"):
        two = program(buffer("h", depth=1, extent=extent), buffer("u"))
        assert met(two, product(Ref("u"), Ref("h")), units_of(Ref("h", shift=1), Ref("u"))) == [0]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_as_many_steps_are_looked_at_as_values_go_back(depth: int) -> None:
    """What a product reads was written ``depth`` steps before: too few steps, and nobody would wait for it."""
    made = program(buffer("h", depth=depth, extent="whole"), buffer("u"))
    assert met(made, product(Ref("u"), Ref("h")), units_of(Ref("h", shift=depth), Ref("u"))) == [0]
    back = units_of(Ref("u")), product(Ref("h"), Ref("u")), units_of(Ref("h", shift=depth), Ref("u"))
    assert met(made, product(Ref("u"), Ref("h", shift=depth)), units_of(Ref("h"), Ref("u")), direction=-1) == [0]
    assert met(made, *back) == [0, 1], "u lies in one place"


def test_time_runs_the_other_way_in_a_backward_sweep() -> None:
    """Slot t + 1 is read, slot t written: from the last step to the first that hands values on, so the reader waits;
    from the first to the last the writer does, for what is still read."""
    made = program(buffer("h", depth=1, extent="whole"), buffer("u"))
    stages = product(Ref("u"), Ref("h", shift=1)), units_of(Ref("h"), Ref("u"))
    assert met(made, *stages, direction=-1) == [0]
    assert met(made, *stages, direction=1) == [1]


@pytest.mark.parametrize(("extent", "expected"), [("ring", [0]), ("tape", [0]), ("whole", [1])])
def test_a_ring_uses_its_slots_again(extent: Any, expected: list[int]) -> None:
    """Of three slots, that of step t + 2 is that of step t - 1: just written. In a whole sequence it is still to be
    written, and so it is on a tape that came from another program."""
    stages = product(Ref("u"), Ref("h", shift=2)), units_of(Ref("h"))
    assert met(program(buffer("h", depth=2, extent=extent), buffer("u", extent="whole")), *stages) == expected
    taped = program(buffer("h", depth=2, extent=extent, origin="tape"), buffer("u", extent="whole"))
    assert met(taped, *stages) == [1]


def test_values_beside_each_other_are_told_apart() -> None:
    made = program(buffer("g", (H,), (H,), (H,), (H,), extent="whole"), buffer("u"))
    write = units_of(Ref("g", 1), Ref("u"))
    for read, expected in ((Ref("g", 0), []), (Ref("g", 2, 2), []), (Ref("g", 0, 2), [1]), (Ref("g", 1), [1])):
        assert met(made, write, product(Ref("u"), read)) == expected, read


def test_buffers_that_share_memory_never_stay_with_a_block() -> None:
    """They are of other widths, so a unit of one lies where another block has units of the other."""
    made = program(buffer("a", (H,), slot="m"), buffer("b", (K,), slot="m"), buffer("c", (K,), slot="n"))
    assert met(made, units_of(Ref("a")), units_of(Ref("b"), span=(K,))) == [0, 1]
    assert met(made, units_of(Ref("a")), units_of(Ref("c"), span=(K,))) == []


def test_values_for_all_units_come_from_one_block() -> None:
    """One unit, or a matrix's row: what is broadcast is needed by blocks that did not compute it."""
    made = program(buffer("s", (ONE,), extent="whole"), buffer("a", extent="whole"))
    assert met(made, units_of(Ref("s"), span=(ONE,)), units_of(Ref("a"), Ref("s"))) == [1]
    assert met(made, units_of(Ref("s"), span=(ONE,)), units_of(Ref("a"), Ref("s"), span=(ONE,))) == []


def test_scalars_that_every_thread_computes_are_read_by_all() -> None:
    made = program(buffer("s", (ONE,), extent="whole"), buffer("a", extent="whole"))
    scalar = Statement((Pointwise("r", At("s")),), (), None, {At("s"): Ref("s")})
    body = Statement((Pointwise("v", At("r")),), (H,), Ref("a"), {})
    scaled = Kernel("made", (Phase((H,), scalars=(scalar,), body=(body,)),), rowwise=False)
    assert met(made, units_of(Ref("s"), span=(ONE,)), scaled) == [1]


def test_a_matrix_is_cut_along_its_first_axis() -> None:
    v, q, c = (buffer(n, s, extent="whole") for n, s in (("v", (H,)), ("q", (K,)), ("C", (H, K))))
    made = program(v, q, c)
    grown = units_of(Ref("C"), Ref("v"), span=(H, K), axis=0)
    assert met(made, units_of(Ref("v")), grown) == [], "a block has the rows of its units"
    grown = units_of(Ref("C"), Ref("q"), span=(H, K), axis=1)
    assert met(made, units_of(Ref("q"), span=(K,)), grown) == [1], "but needs all of what lies along a row"
    assert met(made, units_of(Ref("C"), span=(H, K)), units_of(Ref("C"), Ref("C"), span=(H, K))) == []


def test_rows_stay_with_their_block_and_units_come_from_all() -> None:
    made = program(*(buffer(name, extent="whole") for name in "abc"))
    assert met(made, rows_of(Ref("b"), Ref("a")), rows_of(Ref("c"), Ref("b"))) == []
    assert met(made, units_of(Ref("a")), rows_of(Ref("b"), Ref("a"))) == [1]
    assert met(made, rows_of(Ref("b"), Ref("a")), units_of(Ref("c"), Ref("b"))) == [1]


def test_a_scalar_is_cut_like_one_unit() -> None:
    made = program(buffer("s", (), extent="whole"), buffer("a", (ONE,), extent="whole"))
    assert met(made, units_of(Ref("s"), span=(ONE,), shape=()), units_of(Ref("a"), Ref("s"), span=(ONE,))) == []


def test_what_every_unit_writes_is_no_blocks_own() -> None:
    """A value of one unit that a kernel over all units stores: whoever reads it waits."""
    made = program(buffer("s", (ONE,), extent="whole"), buffer("a", extent="whole"))
    spread = units_of(Ref("s"), shape=(ONE,))
    assert met(made, spread, product(Ref("a"), Ref("s"))) == [1]
    assert met(made, spread, units_of(Ref("a"), Ref("s"), span=(ONE,))) == [1]


def test_a_step_has_kernels_and_products_alone() -> None:
    made = program(buffer("a"))
    with pytest.raises(NotImplementedError, match="a step has no Sums"):
        met(made, Sums((), Ref("params"), Ref("a")))


# stages as blocks run them


def test_stages_run_together_until_blocks_meet_or_share_otherwise() -> None:
    made = program(*(buffer(name, extent="whole") for name in "abcde"))
    stages = (
        units_of(Ref("a")), units_of(Ref("b"), Ref("a")), product(Ref("c"), Ref("b")), units_of(Ref("d"), Ref("c")),
        rows_of(Ref("e"), Ref("x")),
    )  # fmt: skip
    found = runs(program(*made.buffers.values(), buffer("x", extent="whole")), Region("steps", stages))
    assert [(run.share, [place for place, _ in run.stages], run.meets) for run in found] == [
        ("units", [0, 1], False),
        ("units", [2, 3], True),
        ("rows", [4], False),
    ]
    assert [stage for run in found for _, stage in run.stages] == list(stages)
    assert runs(made, Region("steps", ())) == ()


# cells: (meetings of a step forward, backward)


def counts(found: Any) -> tuple[int, ...]:
    return tuple(
        sum(len(meetings(made, region)) for region in made.regions if region.kind == "steps")
        for made in found.programs.values()
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [("lstm", (1, 1)), ("gru", (1, 1)), ("gru_original", (2, 2)), ("highway", (3, 3)), ("layernorm_lstm", (2, 2)),
     ("projected_lstm", (2, 2)), ("narx", (1, 1)), ("lmu", (3, 3)), ("qrnn", (0, 0)), ("mlstm", (0, 0))],
)  # fmt: skip
def test_shipped_cells_meet_once_for_each_product_that_needs_another(name: str, expected: tuple[int, int]) -> None:
    assert counts(planned(name, "cupy")) == expected


@pytest.mark.parametrize("lag", [1, 2, 4])
def test_a_product_with_what_lies_far_back(lag: int) -> None:
    cell = symcell.parse(f"h[t] = tanh(W @ x[t] + U @ h[t-{lag}])", name="far")
    assert counts(plan(cell, "cupy")) == (1, 1)
