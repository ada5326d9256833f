"""Statements of a kernel as lines of C over one unit: operands are read, equations computed, results stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from symcell.cell import ONE, Shape, Size, units as numbers
from symcell.emit.c_family.arguments import Arguments
from symcell.emit.c_family.expressions import Atom, CPrinter, number
from symcell.emit.c_family.names import Names, timed
from symcell.graph import Contraction, Matrix, Op, Operand, Pointwise, Reduce, lag_of
from symcell.program.model import Program, Ref, Statement
from symcell.program.storage import settled
from symcell.symbolic.nodes import At, Constant, Count, Param


@dataclass(frozen=True)
class Line:
    """A line of C, and the equation that it computes (or nothing)."""

    code: str
    comment: str = ""


@dataclass(frozen=True)
class Load(Line):
    """A line that reads an operand: its ``name``, the ``place`` it is read from, what that refers to, and the operand's
    ``index`` there: one of INDEX, or 0."""

    name: str = ""
    place: str = ""
    ref: Ref = field(default_factory=lambda: Ref(""))
    index: str = "0"


@dataclass(frozen=True)
class Walk:
    """How a unit walks over an axis of a matrix: from ``start``, by ``step``. ``hint``: what stands in front of the
    loop that grows a total, by the kind of reduction; ``joined``: the function that puts totals of several together,
    by kind, or empty."""

    start: str = "0"
    step: str = "++k"
    hint: Callable[[str, str], str] = lambda kind, total: ""
    joined: Callable[[str], str] = lambda kind: ""


ALONE = Walk()
"""Each unit walks by itself."""


INDEX = {None: "unit", 0: "i", 1: "j"}
"""The index of an operand: the unit's number, or the unit's row or column in a matrix."""


@dataclass
class Units:
    """Writes the statements of one kernel. What one statement leaves in a register, later ones find there.

    ``equation`` gives the comment for a step of the graph. ``constants``: declarations of named numbers.
    ``everywhere``: the values that every thread has in a register. ``given``: what stands before the name of an operand
    that is read first: a unit's operands are members of a structure, or variables of their own. ``rounding``: the
    function that rounds what is stored as the parameters are, or empty where assigning it does.
    """

    program: Program
    arguments: Arguments
    names: Names
    equation: Callable[[Op], str]
    given: str = ""
    rounding: str = ""
    members: Names = field(default_factory=Names)
    constants: dict[str, str] = field(default_factory=dict)
    registers: dict[str, str] = field(default_factory=dict)
    everywhere: set[str] = field(default_factory=set)

    def loop(self, statements: Sequence[Statement], outer: Loop | None = None, *, walk: Walk = ALONE) -> Loop:
        """The lines for statements that share a loop over units."""
        loop = Loop(self, outer, walk)
        for statement in statements:
            loop.compute(statement)
        return loop

    def name(self, op: Op) -> str:
        """What a step's result is called."""
        return self.names.get(("value", op.out, 0, None), timed(op.out, 0))

    def store(self, statement: Statement, index: str = "unit") -> list[str]:
        """The line that stores a statement's result, where it has a place; ``index``: of a unit."""
        if statement.out is None:
            return []
        index = "0" if numbers(statement.shape) == ONE else index
        value = self.registers[statement.op.out]
        if self.rounding and settled(self.program, statement.out):
            value = f"{self.rounding}({value})"
        return [f"{self.arguments.element(statement.out, 0, index)} = {value};"]

    def known(self, operand: Operand) -> bool:
        """Whether every thread has an operand in a register."""
        return isinstance(operand, At) and not operand.lag and operand.signal in self.everywhere

    def shape(self, ref: Ref) -> Shape:
        return self.program.window(ref)[0].shape

    def constant(self, constant: Constant) -> str:
        name = self.names.get(("constant", constant.name), constant.name)
        self.constants[name] = f"const real {name} = {number(constant.value)};"
        return name

    def count(self, count: Count) -> str:
        return f"(real){self.length(count.size)}"

    def length(self, size: Size) -> str:
        """A size as a factor."""
        text = self.arguments.length(size)
        return f"({text})" if "+" in text or "*" in text else text


@dataclass
class Loop:
    """Lines of one loop: ``loads`` come first, ``stores`` last, so that a result may lie where an operand lay.

    ``outer``: the code around the loop, which reads the operands whose index there is one of ``outside``. ``walk``: how
    its units walk over axes of matrices. ``index``: of operands, by the axis that they are laid along. ``indices``:
    which of ``i`` and ``j`` the lines use.
    """

    units: Units
    outer: Loop | None = None
    walk: Walk = ALONE
    loads: list[Load] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)
    indices: set[str] = field(default_factory=set)
    loaded: dict[tuple[str, int, str], str] = field(default_factory=dict)
    index: Mapping[int | None, str] = field(default_factory=lambda: INDEX)
    outside: frozenset[str] = frozenset({"0"})

    def compute(self, statement: Statement) -> None:
        """Compute a statement into a register, and store it where it has a place."""
        op, units = statement.op, self.units
        name = units.name(op)
        match op:
            case Pointwise():
                code = CPrinter(lambda atom: self.operand(statement, atom), op.operands()).text(op.body)
                self.lines.append(Line(f"const real {name} = {code};", units.equation(op)))
            case Reduce() if op.axis is not None:
                self._reduce(statement, op, name)
            case Contraction():
                self._contract(statement, op, name)
            case _:
                raise NotImplementedError(f"a kernel's body has no {type(op).__name__}")
        units.registers[op.out] = name
        self.stores += units.store(statement, self.index[None])

    def operand(self, statement: Statement, atom: Atom, index: str = "") -> str:
        """What an operand is called; it is read from memory where no earlier statement has left it in a register.
        ``index``: another than that of its axis."""
        units = self.units
        if isinstance(atom, Count):
            return units.count(atom)
        if isinstance(atom, Constant):
            return units.constant(atom)
        ref = statement.reads.get(atom)
        if ref is None or units.known(atom):
            return units.registers[atom.signal]
        index = "0" if numbers(units.shape(ref)) == ONE else index or self.index[atom.axis]
        self.indices |= {index} & {"i", "j"}
        place = units.arguments.element(ref, lag_of(atom), index)
        if isinstance(atom, Param) and not (units.given and index == INDEX[None]):
            return place
        return self._load(atom, index, place, ref)

    def _load(self, atom: At | Param, index: str, place: str, ref: Ref) -> str:
        if index in self.outside and self.outer is not None:
            return self.outer._load(atom, index, place, ref)
        key = (atom.signal, lag_of(atom), index)
        if key not in self.loaded:
            laid = "" if index not in ("i", "j") else f"_{index}"
            hint = (timed(atom.signal, atom.lag) if isinstance(atom, At) else atom.signal) + laid
            names = self.units.members if self.units.given else self.units.names
            name = names.get(("value", atom.signal, lag_of(atom), laid or None), hint)
            self.loaded[key] = self.units.given + name
            self.loads.append(Load(f"const real {name} = {place};", "", name, place, ref, index))
        return self.loaded[key]

    # values of which each unit walks over an axis of a matrix

    def _reduce(self, statement: Statement, op: Reduce, name: str) -> None:
        rows, columns = (self.units.length(s) for s in self.units.shape(statement.reads[op.arg]))
        index, end = (f"k*{columns} + unit", rows) if op.axis == 0 else (f"unit*{columns} + k", columns)
        value = self._place(statement, op.arg, index)
        self._total(op.kind, name, self.units.equation(op), [self._walk(op.kind, name, end, value)])

    def _contract(self, statement: Statement, op: Contraction, name: str) -> None:
        walks = []
        for matrix, vector in op.terms:
            number, end = self._number(statement, matrix)
            product = f"{number} * {self._place(statement, vector, 'k')}"
            walks.append(self._walk("sum", name, end, product))
        self._total("sum", name, self.units.equation(op), walks)

    def _total(self, kind: str, name: str, equation: str, walks: list[str]) -> None:
        """What walks add up to; where several share a unit, they put theirs together."""
        self.lines.append(Line(f"real {name} = {START[kind]};", equation))
        self.lines += map(Line, walks)
        if joined := self.walk.joined(kind):
            self.lines.append(Line(f"{name} = {joined}({name});"))

    def _walk(self, kind: str, total: str, end: str, value: str) -> str:
        walk = self.walk
        loop = f"for (int k = {walk.start}; k < {end}; {walk.step}) {grown(kind, total, value)}"
        return walk.hint(kind, total) + loop

    def _number(self, statement: Statement, matrix: Matrix) -> tuple[str, str]:
        """The number of a matrix at this unit and step ``k`` of the walk; how long that is."""
        rows, columns = self.units.shape(statement.reads[matrix.of])
        start = "" if matrix.block is None else f"{self.units.arguments.length(matrix.block.start)} + "
        start = "" if start == "0 + " else start
        down, across = ("k", "unit") if matrix.transposed else ("unit", "k")
        width = columns if matrix.block is None else matrix.block.width
        end = self.units.length(rows if matrix.transposed else width)
        return self._place(statement, matrix.of, f"{down}*{self.units.length(columns)} + {start}{across}"), end

    def _place(self, statement: Statement, operand: Operand, index: str) -> str:
        if self.units.known(operand):
            return self.units.registers[operand.signal]
        return self.units.arguments.element(statement.reads[operand], lag_of(operand), index)


def along_rows(op: Op) -> bool | None:
    """Whether each unit of a step walks along rows of a matrix, as they lie in memory; None where it does not walk."""
    match op:
        case Contraction():
            return not any(matrix.transposed for matrix, _ in op.terms)
        case Reduce() if op.axis is not None:
            return op.axis == 1
    return None


START = {"sum": "0", "max": "LOWEST"}
"""Where reductions begin."""


def grown(kind: str, total: str, value: str) -> str:
    """The assignment of one more value to a reduction so far."""
    return f"{total} = maximum({total}, {value});" if kind == "max" else f"{total} += {value};"
