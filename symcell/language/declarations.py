"""Declarations: shapes, starts, constants, initial states and the output, as the text states them."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from sympy import Expr

from symcell.cell import INITIALISERS, ONE, Shape, Size, Start
from symcell.language import arithmetic
from symcell.language.expressions import ExpressionReader
from symcell.language.names import FUNCTIONS, RESERVED_SIZES, check_name
from symcell.language.problems import Problems, did_you_mean
from symcell.language.reader import Constants
from symcell.language.source import Span
from symcell.language.statements import Annotation, Equation, Initial, Place, Statement
from symcell.language.tree import Broken, Number

MAX_SIZE = 2**31 - 1
MAX_TERMS = 64
SCALED = {"uniform": "0.1", "normal": "0.02"}
"""Initialisers that take a scale, each with an example of one."""
NO_SHAPE = "write a size (H, 4), a matrix (H, D), scalar, const = number, or const(H, D)"
OF_MATRICES = ("identity", "glorot", "orthogonal")
STARTS = "one of zeros, ones, identity, uniform, uniform(0.1), normal(0.02), glorot, orthogonal"


@dataclass(frozen=True, slots=True)
class Declared:
    """``name: shape = start``; a scalar has the shape ``()``. ``constant``: an array that the caller sets."""

    name: str
    span: Span
    shape: Shape
    start: float | Start | None = None
    constant: bool = False


@dataclass
class Declarations:
    """Everything that a text declares, by name."""

    shapes: dict[str, Declared] = field(default_factory=dict)
    constants: Constants = field(default_factory=Constants)
    initial: dict[str, tuple[Span, str, Span]] = field(default_factory=dict)
    output: tuple[Span, str, Span] | None = None

    def spans(self) -> dict[str, Span]:
        """Where each declared name is declared."""
        return {**{name: d.span for name, d in self.shapes.items()}, **self.constants.spans}


def read_declarations(statements: list[Statement], problems: Problems) -> Declarations:
    """All declarations of a text; mistakes go to ``problems``."""
    found = Declarations()
    signals = {s.name for s in statements if isinstance(s, Equation)}
    for statement in statements:
        match statement:
            case Annotation(name="output", what=ast.Name(id=what)) if what in signals or not _uses_output(statements):
                _read_output(statement, what, found, problems)
            case Annotation():
                _read_annotation(statement, found, problems)
            case Initial():
                _read_initial(statement, found, problems)
    return found


def _uses_output(statements: list[Statement]) -> bool:
    """Whether ``output`` is the name of a value in this cell."""
    return any(
        isinstance(s, Equation)
        and (s.name == "output" or any(isinstance(n, ast.Name) and n.id == "output" for n in ast.walk(s.value)))
        for s in statements
    )


def _read_output(statement: Annotation, what: str, found: Declarations, problems: Problems) -> None:
    if found.output:
        line = found.output[0].line
        problems.add(statement.span, f"the output is already declared in line {line}", "a cell has one output")
    elif statement.value is not None:
        problems.add(statement.place.span(statement.value), "an output has no start", f"write output: {what}")
    else:
        found.output = (statement.span, what, statement.place.span(statement.what))


def _read_annotation(statement: Annotation, found: Declarations, problems: Problems) -> None:
    name, span = statement.name, statement.span
    if not check_name(name, span, problems):
        return
    if previous := found.spans().get(name):
        problems.add(span, f"{name} is already declared in line {previous.line}", "a name is declared once")
        return
    if isinstance(statement.what, ast.Name) and statement.what.id == "const":
        found.constants.spans[name] = span
        found.constants.values[name] = _constant(statement, found.constants, problems)
        return
    match statement.what:
        case ast.Call(func=ast.Name(id="const")) as call:
            _read_array(statement, call, found, problems)
            return
    reader = ShapeReader(statement.place, problems)
    shape = reader.shape(statement.what)
    start = None if statement.value is None else reader.start(statement.value, shape, found.constants)
    if shape is not None:
        found.shapes[name] = Declared(name, span, shape, start)


def _read_array(statement: Annotation, call: ast.Call, found: Declarations, problems: Problems) -> None:
    """``name: const(N, N)``: an array that the caller sets."""
    name, place = statement.name, statement.place
    if statement.value is not None:
        message = f"{name} is an array that the caller sets, so it has no value here"
        advice = f"write {name}: {place.text(call)}, or {name}: const = 0.5 for a number"
        problems.add(place.span(statement.value), message, advice)
    if call.keywords or not 1 <= len(call.args) <= 2:
        advice = f"write {name}: const(N) for a vector, {name}: const(N, N) for a matrix"
        problems.add(place.span(call), "a constant array has one size or two", advice)
        return
    if name in RESERVED_SIZES:
        advice = f"init_params has another argument called {name}"
        problems.add(statement.span, f"a constant array cannot be called {name}", advice)
    sizes = [ShapeReader(place, problems).size(size) for size in call.args]
    found.constants.arrays.add(name)
    found.shapes[name] = Declared(name, statement.span, tuple(s for s in sizes if s is not None), constant=True)


def _constant(statement: Annotation, constants: Constants, problems: Problems) -> Expr:
    """The value of ``name: const = number``; 1 where it has none."""
    name = statement.name
    if statement.value is None:
        problems.add(statement.span, f"the constant {name} has no value", f"write {name}: const = 0.5")
        return arithmetic.number(1)
    value = ExpressionReader(statement.place, constants, problems).expression(statement.value)
    if isinstance(value, Number):
        return value.value
    problems.add(value.span, f"the constant {name} is no number", "only numbers and earlier constants may stand here")
    return arithmetic.number(1)


def _read_initial(statement: Initial, found: Declarations, problems: Problems) -> None:
    name, span = statement.name, statement.span
    value = statement.place.span(statement.value)
    if not isinstance(statement.value, ast.Name):
        advice = f"write {name}[0] = {name}_0; without this line the state starts at zero or where the caller says"
        problems.add(value, "an initial state is a new parameter", advice)
    elif name in found.initial:
        line = found.initial[name][0].line
        problems.add(span, f"{name}[0] is already defined in line {line}", "delete one of the two")
    elif check_name(name, span, problems) and check_name(statement.value.id, value, problems):
        found.initial[name] = (span, statement.value.id, value)


def _spine(node: ast.expr, kind: type[ast.operator]) -> list[ast.expr]:
    """``a + b + c`` as its terms."""
    parts = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, kind):
        parts.append(node.right)
        node = node.left
    return [node, *reversed(parts)]


class ShapeReader:
    """Reads what stands right of a colon: a shape, and where a parameter starts."""

    def __init__(self, place: Place, problems: Problems) -> None:
        self.place, self.problems = place, problems

    def wrong(self, node: ast.expr, message: str, advice: str) -> None:
        self.problems.add(self.place.span(node), message, advice)

    def shape(self, node: ast.expr) -> Shape | None:
        match node:
            case ast.Name(id="scalar"):
                return ()
            case ast.Tuple(elts=sizes):
                if not 1 <= len(sizes) <= 2:
                    self.wrong(node, "a shape has one size or two", "write H or (H, D)")
                    return None
                read = [self.size(size) for size in sizes]
                known = tuple(size for size in read if size is not None)
                return known if len(known) == len(sizes) else None
        size = self.size(node)
        return None if size is None else (size,)

    def size(self, node: ast.expr) -> Size | None:
        """A name, a positive whole number, or a sum of products of such."""
        terms = _spine(node, ast.Add)
        if len(terms) > MAX_TERMS:
            self.wrong(node, f"a size is a sum of at most {MAX_TERMS}", "give it a name: H")
            return None
        total = Size()
        for term in terms:
            product = ONE
            for factor in _spine(term, ast.Mult):
                size = self.single(factor)
                if size is None:
                    return None
                product = product * size
            total = total + product
        if any(k > MAX_SIZE for _, k in total.terms):
            self.wrong(node, f"a size is at most {MAX_SIZE}", "give it a name: H")
            return None
        return total

    def single(self, node: ast.expr) -> Size | None:
        match node:
            case ast.Constant(value=int() as value) if value is not True and 1 <= value <= MAX_SIZE:
                return Size.of(value)
            case ast.Name(id=name) if name in RESERVED_SIZES:
                self.wrong(node, f"a size cannot be called {name}", f"init_params has another argument called {name}")
            case ast.Name(id=name) if name in FUNCTIONS or name in ("t", "pi", "const", "scalar", *INITIALISERS):
                self.wrong(node, f"{name} is no size", "a size is a name such as H, or a positive whole number")
            case ast.Name(id=name) if len(name) <= 64:
                return Size.of(name)
            case _:
                self.wrong(node, "this is no shape", NO_SHAPE)
        return None

    def start(self, node: ast.expr, shape: Shape | None, constants: Constants) -> float | Start | None:
        """Where a parameter starts: a number or an initialiser, perhaps with its scale."""
        match node:
            case ast.Call(func=ast.Name(id=kind), args=[argument], keywords=[]) if kind in SCALED:
                return self.scaled(kind, argument, constants)
            case ast.Call(func=ast.Name(id=kind)) if kind in INITIALISERS:
                advice = f"write {kind}({SCALED[kind]})" if kind in SCALED else f"write {kind} without brackets"
                self.wrong(node, f"{kind} takes {'one number' if kind in SCALED else 'no argument'}", advice)
                return None
            case ast.Name(id=kind) if kind not in constants and kind != "pi":
                return self.named(node, kind, shape)
        value = ExpressionReader(self.place, constants, self.problems).expression(node)
        if isinstance(value, Number):
            return arithmetic.double(value.value)
        if not isinstance(value, Broken):
            self.problems.add(value.span, "a start is a number or a name", f"write {STARTS}")
        return None

    def named(self, node: ast.expr, kind: str, shape: Shape | None) -> Start | None:
        """The name of an initialiser alone."""
        if kind not in INITIALISERS:
            hint = did_you_mean(kind, INITIALISERS)
            advice = f"a start is a number or {STARTS}"
            self.wrong(node, f"{kind} is no start", f"{hint} {advice}" if hint else advice)
            return None
        if kind in OF_MATRICES and shape is not None and len(shape) != 2:
            self.wrong(node, f"{kind} needs a matrix", "write zeros, ones, uniform, normal(0.02) or a number")
        elif kind == "identity" and shape is not None and len({*shape}) > 1:
            text = "×".join(map(str, shape))
            self.wrong(node, f"identity needs a square matrix, and this is {text}", "write orthogonal or glorot")
        return Start(kind)

    def scaled(self, kind: str, argument: ast.expr, constants: Constants) -> Start | None:
        """``uniform(a)`` or ``normal(s)``."""
        value = ExpressionReader(self.place, constants, self.problems).expression(argument)
        if not isinstance(value, Number):
            self.problems.add(value.span, f"{kind} takes one number", f"write {kind}({SCALED[kind]})")
            return None
        scale = arithmetic.double(value.value)
        if scale <= 0:
            self.problems.add(value.span, f"{kind} spreads by a positive number", "write the number alone")
        return Start(kind, scale)
