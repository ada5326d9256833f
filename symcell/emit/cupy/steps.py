"""The steps of a region as one CUDA kernel: blocks share the units of a step, and meet where one needs another's."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from symcell.cell import Size, units
from symcell.emit.comments import equation
from symcell.emit.cupy.carried import CarriedUnits
from symcell.emit.cupy.carries import carries
from symcell.emit.cupy.kernels import KernelView
from symcell.emit.cupy.places import Places
from symcell.emit.cupy.relay import Relay
from symcell.emit.cupy.rooms import rooms
from symcell.emit.cupy.rows import Rows
from symcell.emit.cupy.steps_view import (
    CallView,
    Columns,
    Handed,
    ProductView,
    RunView,
    StepsView,
    python_size,
    python_tuple,
)
from symcell.emit.python.views import RegionViews
from symcell.program.model import Gemm, Kernel, Phase, Program, Region, Stage
from symcell.program.partition import Run, runs
from symcell.program.storage import settled


@dataclass
class Steps:
    """Prints the kernel of one region. ``first``: the number of its first product."""

    name: str
    region: Region
    views: RegionViews
    kernels: Mapping[str, KernelView]
    first: int
    _places: Places = field(init=False)
    _numbers: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self._places = Places(self.views, self.kernels.values())
        products = [place for place, stage in enumerate(self.region.stages) if isinstance(stage, Gemm)]
        self._numbers = dict(zip(products, itertools.count(self.first), strict=False))

    def view(self) -> StepsView:
        """The kernel, once all that it needs is known."""
        shared = runs(self._program, self.region)
        relay = Relay(self._program, self.region, shared)
        carried = CarriedUnits(self._program, self._places, carries(self.region, shared, self.kernels, relay))
        rows = Rows(self._program, self._places, rooms(self._program, self.region, shared), len(carried.sizes()))
        found = tuple(self._run(number, run, relay, rows, carried) for number, run in enumerate(shared))
        room = [f'("units", {python_size(first)}, {python_size(each)}, False)' for first, each in carried.sizes()]
        room += [f'("rows", {python_size(width)}, {copies}, {stored})' for width, copies, stored in rows.sizes()]
        declared = self._places.parameters.values()
        parameters, arguments = tuple(one for one, _ in declared), tuple(value for _, value in declared)
        backward = self.region.direction == -1
        others, sizes = self._places.others(), self._places.sizes
        rounded = tuple(
            self._numbers[place] for place, stage in enumerate(self.region.stages)
            if isinstance(stage, Gemm) and settled(self._program, stage.out) and relay.asked(place)
        )  # fmt: skip
        return StepsView(self.name, backward, parameters, arguments, others, sizes, found, tuple(room), rounded)

    @property
    def _program(self) -> Program:
        return self.views.scope.program

    def _run(self, number: int, run: Run, relay: Relay, rows: Rows, carried: CarriedUnits) -> RunView:
        pointers: dict[str, str] = {}
        if run.share == "rows":
            calls = tuple(self._rows(stage, rows, pointers) for _, stage in run.stages)
            brought, left = rows.brought(number, pointers), rows.left(number, pointers)
            return RunView(run.share, calls, run.meets, pointers, brought, left)
        stages = tuple(self._stage(place, stage, relay, carried, pointers) for place, stage in run.stages)
        return RunView(run.share, stages, run.meets, pointers)

    def _rows(self, stage: Stage, rows: Rows, pointers: dict[str, str]) -> CallView:
        assert isinstance(stage, Kernel)
        call = self._call(stage, pointers)
        return replace(call, moved=rows.arguments(call.view.arguments, pointers) or ())

    def _stage(
        self, place: int, stage: Stage, relay: Relay, carried: CarriedUnits, pointers: dict[str, str]
    ) -> ProductView | CallView:
        if isinstance(stage, Gemm):
            return self._product(stage, place, stored=relay.stored(place))
        assert isinstance(stage, Kernel)
        call = self._call(stage, pointers)
        if call.lanes:
            return call
        spares, keeps = carried.spared(place)
        call = replace(call, found=carried.found(place), left=carried.left(place), spares=spares, keeps=keeps)
        return self._operands(call, place, relay, pointers)

    # kernels

    def _call(self, stage: Kernel, pointers: dict[str, str]) -> CallView:
        view, places = self.kernels[stage.name], self._places
        arguments = tuple(places.argument(a, "t", pointers) for a in view.arguments)
        spans = [(units(phase.span[:1]), units(phase.span[1:])) for phase in stage.phases]
        lead, across = max(zip(stage.phases, spans, strict=True), key=lambda both: len(both[0].span))[1]
        return CallView(
            view, arguments, places.length(lead), places.length(across),
            tuple(f"({python_size(first)}, {python_size(each)})" for first, each in map(_worked, stage.phases)),
        )  # fmt: skip

    def _operands(self, call: CallView, place: int, relay: Relay, pointers: dict[str, str]) -> CallView:
        """Where the operands of a kernel's units come from."""
        early, ahead, handed = [], [], []
        for load in call.view.loads:
            source = relay.source(place, load.ref)
            if source is not None:
                handed.append(Handed(load.name, self._total(*source[:2], call), source[2]))
            if source is None or source[2]:
                early.append(load)
            if relay.untouched(load.ref) and load.name not in {one.value for one in call.found}:
                ahead.append(load)
        if any(relay.late(place, load.ref) for load in early):
            return replace(call, handed=tuple(handed))
        following = (self._places.argument(a, "next", pointers) for a in call.view.arguments if ahead)
        return replace(call, early=tuple(early), ahead=tuple(ahead), next=tuple(following), handed=tuple(handed))

    def _total(self, place: int, member: int, call: CallView) -> str:
        """A product's value for a unit."""
        stage = self.region.stages[place]
        assert isinstance(stage, Gemm)
        number, before = self._numbers[place], 0
        for columns in self._columns(stage):
            if member < before + columns.count:
                inside = f" + {member - before} * part_of({columns.width})" if member > before else ""
                row = f"{columns.row}{inside} + unit - begin"
                return f"PRODUCT_{number}::total(shared + PARTIAL_{number}, row, {row.removeprefix('0 + ')})"
            before += columns.count
        raise AssertionError(f"a product of {before} members has no member {member}")

    # products

    def _product(self, stage: Gemm, place: int, *, stored: bool) -> ProductView:
        places = self._places
        members = self._program.window(stage.matrix)
        across = members[0].shape[1]
        down = sum((m.shape[0] for m in members), Size())
        start = places.row(stage.matrix)
        if stage.columns is not None and stage.columns.start != Size():
            start += f" + {places.length(stage.columns.start)}"
        wide = places.length(across)
        matrix = (start, wide, "1") if stage.transposed else (start, "1", wide)
        inner = down if stage.transposed else self._width(stage)
        code = python_tuple(f"({many}, {python_size(size)})" for many, size in self._groups(stage))
        sign = " += " if stage.accumulate else " = "
        texts = tuple(equation(self._program, op).replace(" = ", sign, 1) for op in stage.ops)
        return ProductView(
            self._numbers[place], matrix, self._columns(stage), places.rows(stage.out), places.rows(stage.left),
            stage.accumulate, stored, f"({python_size(inner)}, {code})", texts,
        )  # fmt: skip

    def _width(self, stage: Gemm) -> Size:
        """How many columns of the matrices a product reads."""
        return self._program.window(stage.matrix)[0].shape[1] if stage.columns is None else stage.columns.width

    def _groups(self, stage: Gemm) -> list[tuple[int, Size]]:
        """The members of a product's result, neighbours of one width together: how many, how wide."""
        if stage.transposed:
            return [(1, self._width(stage))]
        widths = [m.shape[0] for m in self._program.window(stage.matrix)]
        return [(len(list(found)), size) for size, found in itertools.groupby(widths)]

    def _columns(self, stage: Gemm) -> tuple[Columns, ...]:
        found: list[Columns] = []
        start, rows = Size(), list[str]()
        for many, size in self._groups(stage):
            width = self._places.length(size)
            found.append(Columns(self._places.length(start), many, width, " + ".join(rows) or "0"))
            rows.append(f"{many} * part_of({width})")
            start += Size.of(many) * size
        return tuple(found)


def _worked(phase: Phase) -> tuple[Size, Size]:
    """The units that threads of a phase go over, as the first axis and those for each of it: a matrix once for each
    loop over the columns of its rows."""
    loops = {turn for s, turn in zip(phase.body, phase.turns, strict=False) if s.shape == phase.span}
    return units(phase.span[:1]), units(phase.span[1:]) * Size.of(max(1, len(loops)))
