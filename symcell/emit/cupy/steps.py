"""The steps of a region as one CUDA kernel: blocks share the units of a step, and meet where one needs another's."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from symcell.cell import Size, units
from symcell.emit.c_family.units import Load
from symcell.emit.comments import equation
from symcell.emit.cupy.kernels import KernelView
from symcell.emit.cupy.places import Places
from symcell.emit.cupy.relay import Relay
from symcell.emit.python.names import size_code
from symcell.emit.python.text import literal
from symcell.emit.python.views import RegionViews
from symcell.program.model import Gemm, Kernel, Program, Region, Stage
from symcell.program.partition import Run, runs


@dataclass(frozen=True)
class Columns:
    """Neighbouring members of a product's result that are of one ``width``: ``count`` of them, from column ``start``
    on. ``row``: the first of a block's rows of the matrix that make this group."""

    start: str
    count: int
    width: str
    row: str


@dataclass(frozen=True)
class ProductView:
    """A product of a step: ``number`` counts those of the module. ``matrix``: where it lies, and how far apart its
    numbers are: along what is summed over, and along the result; ``groups``: of its result. ``out``, ``left``: the
    first row in hand, and how far apart rows are. ``accumulate``: it is added to what stands in ``out``. ``stored``:
    it goes there at all; else only kernels of the same block ask for it. ``sizes``: as Python code: what is summed
    over, and the widths of the results with their counts."""

    number: int
    matrix: tuple[str, str, str]
    groups: tuple[Columns, ...]
    out: tuple[str, str]
    left: tuple[str, str]
    accumulate: bool
    stored: bool
    sizes: str
    comments: tuple[str, ...]
    is_product: ClassVar[bool] = True


@dataclass(frozen=True)
class Handed:
    """An operand of a unit that a product has in shared memory: the structure's ``member``, and its value as CUDA.
    ``before``: the product is one of the step before, and has only samples that were there."""

    member: str
    value: str
    before: bool


@dataclass(frozen=True)
class CallView:
    """A kernel on a block's part of it: what its function is called with behind row and unit, and the units of a row:
    ``length`` of the first axis, ``across`` for each of these; ``spans``: the same by phase, as Python. ``early``:
    operands read before the run's products, if they are there by then (else none); ``ahead``: those fetched for the
    step to come, whose pointers are ``next``; ``handed``: operands that products have."""

    view: KernelView
    arguments: tuple[str, ...]
    length: str
    across: str
    spans: tuple[str, ...]
    early: tuple[Load, ...] = ()
    ahead: tuple[Load, ...] = ()
    next: tuple[str, ...] = ()
    handed: tuple[Handed, ...] = ()
    is_product: ClassVar[bool] = False

    @property
    def lanes(self) -> bool:
        """Whether a warp has a unit, else a thread."""
        return not self.view.rowwise and self.view.phases[0].lanes


@dataclass(frozen=True)
class RunView:
    """Stages that are shared alike. ``meets``: blocks meet before them. ``pointers``: to the first rows in hand, with
    their names."""

    share: Literal["units", "rows"]
    stages: tuple[ProductView | CallView, ...]
    meets: bool
    pointers: Mapping[str, str]

    @property
    def calls(self) -> tuple[CallView, ...]:
        """Its kernels."""
        return tuple(stage for stage in self.stages if isinstance(stage, CallView))


@dataclass(frozen=True)
class StepsView:
    """A kernel that runs all steps of a region. ``parameters``: declarations of what it is called with behind the
    sequence; ``arguments``: the same as Python code. ``ends``: blocks meet at the end of a step."""

    name: str
    backward: bool
    parameters: tuple[str, ...]
    arguments: tuple[str, ...]
    runs: tuple[RunView, ...]

    @property
    def products(self) -> tuple[ProductView, ...]:
        """All products of a step, in order."""
        return tuple(stage for run in self.runs for stage in run.stages if isinstance(stage, ProductView))

    @property
    def remembers(self) -> bool:
        """Whether a step has something of the one before in shared memory."""
        return any(handed.before for run in self.runs for call in run.calls for handed in call.handed)

    @property
    def ends(self) -> bool:
        """Whether blocks meet at the end of a step."""
        return bool(self.runs) and self.runs[0].meets

    @property
    def work(self) -> str:
        """What a step has to do, as Python."""
        calls = [(run.share, call) for run in self.runs for call in run.calls]
        parts = {
            "meetings": str(sum(run.meets for run in self.runs)),
            "products": _tuple(product.sizes for product in self.products),
            "units": _tuple(span for share, call in calls if share == "units" for span in call.spans),
            "rows": _tuple(span for share, call in calls if share == "rows" for span in call.spans),
            "launches": str(len(self.products) + len(calls)),
        }
        return f"Step({', '.join(f'{name}={code}' for name, code in parts.items())})"


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
        found = tuple(self._run(run, relay) for run in shared)
        declared = self._places.parameters.values()
        backward = self.region.direction == -1
        return StepsView(
            self.name, backward, tuple(one for one, _ in declared), tuple(value for _, value in declared), found
        )

    @property
    def _program(self) -> Program:
        return self.views.scope.program

    def _run(self, run: Run, relay: Relay) -> RunView:
        pointers: dict[str, str] = {}
        stages = tuple(self._stage(place, stage, run, relay, pointers) for place, stage in run.stages)
        return RunView(run.share, stages, run.meets, pointers)

    def _stage(
        self, place: int, stage: Stage, run: Run, relay: Relay, pointers: dict[str, str]
    ) -> ProductView | CallView:
        if isinstance(stage, Gemm):
            return self._product(stage, place, stored=relay.stored(place))
        assert isinstance(stage, Kernel)
        call = self._call(stage, pointers)
        return self._operands(call, place, relay, pointers) if run.share == "units" and not call.lanes else call

    # kernels

    def _call(self, stage: Kernel, pointers: dict[str, str]) -> CallView:
        view, places = self.kernels[stage.name], self._places
        arguments = tuple(places.argument(a, "t", pointers) for a in view.arguments)
        spans = [(units(phase.span[:1]), units(phase.span[1:])) for phase in stage.phases]
        lead, across = max(zip(stage.phases, spans, strict=True), key=lambda both: len(both[0].span))[1]
        return CallView(
            view, arguments, places.length(lead), places.length(across),
            tuple(f"({_python(first)}, {_python(each)})" for first, each in spans),
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
            if relay.untouched(load.ref):
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
        code = _tuple(f"({many}, {_python(size)})" for many, size in self._groups(stage))
        sign = " += " if stage.accumulate else " = "
        texts = tuple(equation(self._program, op).replace(" = ", sign, 1) for op in stage.ops)
        return ProductView(
            self._numbers[place], matrix, self._columns(stage), places.rows(stage.out), places.rows(stage.left),
            stage.accumulate, stored, f"({_python(inner)}, {code})", texts,
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


def _python(size: Size) -> str:
    """A size as Python, from the module's ``sizes``."""
    return size_code(size, lambda name: f"sizes[{literal(name)}]")


def _tuple(items: Iterable[str]) -> str:
    """A tuple as Python."""
    found = list(items)
    return f"({', '.join(found)}{',' if len(found) == 1 else ''})"
