"""The kernel that runs all steps of a region, as its template reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from symcell.cell import Size
from symcell.emit.c_family.units import Load
from symcell.emit.cupy.carried import Carried
from symcell.emit.cupy.kernels import KernelView
from symcell.emit.cupy.rows import Brought, Left
from symcell.emit.python.names import size_code
from symcell.emit.python.text import literal


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
    step to come, whose pointers are ``next``; ``handed``: operands that products have. ``moved``: where rows may have
    room in shared memory: what the function is called with for ``row``, as if that were the first. ``found``,
    ``left``: operands of units that the step before may have left, and what they leave for the next one; ``spares``:
    those of what they leave that go to memory only where ``keeps`` (CUDA) holds."""

    view: KernelView
    arguments: tuple[str, ...]
    length: str
    across: str
    spans: tuple[str, ...]
    early: tuple[Load, ...] = ()
    ahead: tuple[Load, ...] = ()
    next: tuple[str, ...] = ()
    handed: tuple[Handed, ...] = ()
    moved: tuple[str, ...] = ()
    found: tuple[Carried, ...] = ()
    left: tuple[Carried, ...] = ()
    spares: tuple[str, ...] = ()
    keeps: str = ""
    is_product: ClassVar[bool] = False

    @property
    def lanes(self) -> bool:
        """Whether a warp has a unit, else a thread."""
        return not self.view.rowwise and self.view.phases[0].lanes

    @property
    def leaves(self) -> tuple[str, ...]:
        """What units return for the step to come."""
        return tuple(one.value.removeprefix("out.") for one in self.left if one.value.startswith("out."))

    def unless(self, load: Load) -> str:
        """What stands before the reading of an operand that shared memory may have."""
        rooms = [one.room for one in self.found if one.value == load.name]
        return f"if (ROOM_{rooms[0]} < 0 || !before) " if rooms else ""


@dataclass(frozen=True)
class RunView:
    """Stages that are shared alike. ``meets``: blocks meet before them. ``pointers``: to the first rows in hand, with
    their names. ``brought``, ``left``: rows that come into shared memory before them, and leave it behind them."""

    share: Literal["units", "rows"]
    stages: tuple[ProductView | CallView, ...]
    meets: bool
    pointers: Mapping[str, str]
    brought: tuple[Brought, ...] = ()
    left: tuple[Left, ...] = ()

    @property
    def calls(self) -> tuple[CallView, ...]:
        """Its kernels."""
        return tuple(stage for stage in self.stages if isinstance(stage, CallView))


@dataclass(frozen=True)
class Leg:
    """What blocks do from one meeting to the next: ``runs`` of a step, behind those of the step ``before``."""

    before: tuple[RunView, ...]
    runs: tuple[RunView, ...]


@dataclass(frozen=True)
class StepsView:
    """A kernel that runs all steps of a region. ``parameters``: declarations of what it is called with behind the
    sequence; ``arguments``: the same as Python code; ``others``: the pointers among them as (name, what that of another
    sweep is called, how this is declared); ``sizes``: the sizes among them, and of the cell. ``rooms``: as Python, what
    may have room in shared memory. ``rounded``: the numbers of products that kernels find in shared memory, rounded as
    memory would have them. ``ends``: blocks meet at the end of a step."""

    name: str
    backward: bool
    parameters: tuple[str, ...]
    arguments: tuple[str, ...]
    others: tuple[tuple[str, str, str], ...]
    sizes: Mapping[str, str]
    runs: tuple[RunView, ...]
    rooms: tuple[str, ...]
    rounded: tuple[int, ...]

    @property
    def products(self) -> tuple[ProductView, ...]:
        """All products of a step, in order."""
        return tuple(stage for run in self.runs for stage in run.stages if isinstance(stage, ProductView))

    @property
    def declarations(self) -> tuple[str, ...]:
        """Of all that it is called with behind the sequence, for one sweep or two."""
        return (*self.parameters, *(declared for _, _, declared in self.others))

    @property
    def remembers(self) -> bool:
        """Whether a step has something of the one before in shared memory."""
        handed = any(operand.before for call in self.calls for operand in call.handed)
        return handed or any(run.brought for run in self.runs) or any(call.found for call in self.calls)

    @property
    def calls(self) -> tuple[CallView, ...]:
        """All kernels of a step, in order."""
        return tuple(call for run in self.runs for call in run.calls)

    @property
    def ends(self) -> bool:
        """Whether blocks meet at the end of a step."""
        return bool(self.runs) and self.runs[0].meets

    @property
    def legs(self) -> tuple[Leg, ...]:
        """A step from meeting to meeting. Where the first run of a step needs none, the last ones of the step before
        go with it."""
        found: list[list[RunView]] = []
        for run in self.runs:
            if run.meets or not found:
                found.append([])
            found[-1].append(run)
        before = [] if self.ends or len(found) < 2 else found.pop()
        return tuple(Leg(() if k else tuple(before), tuple(runs)) for k, runs in enumerate(found))

    @property
    def members(self) -> tuple[tuple[str, str], ...]:
        """Type and name of each parameter, as members of a structure."""
        declared = (parameter.removeprefix("const ").rpartition(" ") for parameter in self.parameters)
        return tuple((kind, name) for kind, _, name in declared)

    @property
    def words(self) -> int:
        """Those of the structure that a graph's launches read: five come before the members."""
        return 5 + len(self.parameters)

    @property
    def replay(self) -> str:
        """What a graph of the steps has to know of them, as Python."""
        legs = self.legs
        return f"Replay(launches={len(legs)}, more={int(bool(legs[0].before))}, words={self.words})"

    @property
    def work(self) -> str:
        """What a step has to do, as Python."""
        calls = [(run.share, call) for run in self.runs for call in run.calls]
        parts = {
            "meetings": str(sum(run.meets for run in self.runs)),
            "products": python_tuple(product.sizes for product in self.products),
            "units": python_tuple(span for share, call in calls if share == "units" for span in call.spans),
            "rows": python_tuple(span for share, call in calls if share == "rows" for span in call.spans),
            "launches": str(len(self.products) + len(calls)),
            "rooms": python_tuple(self.rooms),
            "sizes": python_tuple(python_size(Size.of(size)) for size in self.sizes.values()),
        }
        return f"Step({', '.join(f'{name}={code}' for name, code in parts.items())})"


def python_size(size: Size) -> str:
    """A size as Python, from the module's ``sizes``."""
    return size_code(size, lambda name: f"sizes[{literal(name)}]")


def python_tuple(items: Iterable[str]) -> str:
    """A tuple as Python."""
    found = list(items)
    return f"({', '.join(found)}{',' if len(found) == 1 else ''})"
