"""A kernel of the program as a C function over some rows: loops over units that compilers vectorise."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from symcell.cell import Size, units
from symcell.emit.c_family.arguments import Argument, Arguments, Length, Pointer
from symcell.emit.c_family.names import Names
from symcell.emit.c_family.rowwise import PhaseLines, Rowwise
from symcell.emit.c_family.units import ALONE, INDEX, Line, Units, Walk, along_rows
from symcell.graph import Op
from symcell.program.model import Kernel, Phase, Program, Statement


@dataclass(frozen=True)
class PhaseView:
    """Part of a kernel: lines ``before`` the loop over units, in it, and ``after`` it. ``turns``: the loop's heads, the
    inner one last; ``hint``: lines that tell the compiler of the inner one; ``index``: the unit's number, where
    the heads do not count it."""

    before: tuple[Line, ...]
    turns: tuple[str, ...]
    hint: tuple[str, ...]
    index: str
    body: tuple[Line, ...]
    after: tuple[Line, ...]


@dataclass(frozen=True)
class KernelView:
    """A function that computes ``ops`` for some rows. ``arguments``: behind the number of rows."""

    name: str
    arguments: tuple[Argument, ...]
    constants: tuple[Line, ...]
    rows: tuple[Line, ...]
    phases: tuple[PhaseView, ...]
    ops: tuple[Op, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Declarations of all that it is called with."""
        return ("const long long rows", *(_declaration(a) for a in self.arguments))


def _declaration(argument: Argument) -> str:
    if not isinstance(argument, Pointer):
        return f"const long long {argument.name}"
    kind = "real *" if argument.written else "const real *"
    return f"{kind}restrict {argument.name}" if argument.alone else f"{kind}{argument.name}"


def kernel(made: Kernel, program: Program, equation: Callable[[Op], str], taken: Iterable[str]) -> KernelView:
    """The kernel as C. ``equation``: the comment for a step; ``taken``: names that the kernels' functions have."""
    names = Names(taken)
    arguments = Arguments(made, program, names)
    writer = _Writer(Units(program, arguments, names, equation, rounding="number_as_stored"))
    rows = Rowwise(writer.units, writer)
    if made.rowwise:
        phases = [writer.view(phase, rows.phase(phase, _walk(phase))) for phase in made.phases]
    else:
        (phase,) = made.phases
        loop = writer.units.loop((*phase.scalars, *phase.body), walk=_walk(phase))
        phases = [writer.view(phase, PhaseLines((), loop, (), (), ()))]
    lengths = sorted((a for a in arguments if isinstance(a, Length)), key=lambda a: a.size)
    return KernelView(
        made.name,
        (*lengths, *(a for a in arguments if not isinstance(a, Length))),
        tuple(map(Line, writer.units.constants.values())),
        tuple(map(Line, arguments.rows)),
        tuple(phases),
        tuple(op for statement in made.statements() for op in statement.ops),
    )


@dataclass(frozen=True)
class _Writer:
    units: Units

    def joined(self, kind: str, partial: str) -> str:
        return partial

    def stores(self, statements: tuple[Statement, ...]) -> list[Line]:
        return [Line(store) for s in statements for store in self.units.store(s)]

    def view(self, phase: Phase, lines: PhaseLines) -> PhaseView:
        loop = lines.loop
        body = (*loop.loads, *loop.lines, *lines.sums, *map(Line, loop.stores))
        heads, index = self._turns(phase, bool(loop.indices))
        hint = () if phase_walks(phase) else _lines(f"#pragma {_simd(lines.partials)}")
        return PhaseView(lines.before, heads if body else (), hint, index, body, lines.after)

    def _turns(self, phase: Phase, indexed: bool) -> tuple[tuple[str, ...], str]:
        """The loops over a phase's units: by row and column where these are asked for."""
        if not indexed:
            return (f"for (long long unit = 0; unit < {self._length(units(phase.span))}; ++unit)",), ""
        down, across = (self._length(size) for size in phase.span)
        i, j = INDEX[0], INDEX[1]
        outer = f"for (long long {i} = 0; {i} < {down}; ++{i})"
        return (outer, f"for (long long {j} = 0; {j} < {across}; ++{j})"), f"{i}*{across} + {j}"

    def _length(self, size: Size) -> str:
        return self.units.length(size)


def phase_walks(phase: Phase) -> bool:
    """Whether units walk along rows of matrices, as these lie in memory: walks are vectorised then, not units."""
    return any(along_rows(s.op) for s in phase.body)


def _walk(phase: Phase) -> Walk:
    return ALONG if phase_walks(phase) else ALONE


def _simd(partials: tuple[tuple[str, str], ...]) -> str:
    """What says that the turns of a loop are independent but for these reductions."""
    names = {kind: [name for of, name in partials if of == kind] for kind in _JOINS}
    found = (f"reduction({_JOINS[kind]}: {', '.join(found)})" for kind, found in names.items() if found)
    return " ".join(["omp simd", *found])


def _lines(pragma: str) -> tuple[str, ...]:
    """A line for the compiler, as lines that go on."""
    *before, last = textwrap.wrap(pragma, 108, subsequent_indent="    ", break_long_words=False)
    return (*(f"{line} \\" for line in before), last)


_JOINS = {"sum": "+", "max": "largest"}

ALONG = Walk(hint=lambda kind, total: f'_Pragma("{_simd(((kind, total),))}") ')
"""Each walk is vectorised."""
