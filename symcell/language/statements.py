"""Statements: each chunk of the text as an equation, a declaration, a constant, an initial state or the output."""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from dataclasses import dataclass

from symcell.language.names import check_name
from symcell.language.problems import Problems
from symcell.language.scan import Chunk, span_of
from symcell.language.signs import odd_signs
from symcell.language.source import Span


class Place:
    """Where the nodes of one parsed chunk stand in the text."""

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.lines = chunk.code.split("\n")

    def span(self, node: ast.expr | ast.stmt) -> Span:
        end = (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset + 1)
        return span_of(self.chunk, self.lines, (node.lineno, node.col_offset), end)

    def text(self, node: ast.expr) -> str:
        """The text of a node, on one line."""
        return " ".join((ast.get_source_segment(self.chunk.code, node) or "").split())

    def at(self, line: int, column: int) -> Span:
        """One character, by line and column of the chunk (from 1, in characters), kept within the chunk."""
        line = min(max(line, 1), len(self.lines))
        column = min(max(column, 1), len(self.lines[line - 1]) + 1)
        start = self.chunk.line + line - 1, column + (self.chunk.column - 1 if line == 1 else 0)
        return Span(*start, start[0], start[1] + 1)

    def character(self, offset: int) -> Span:
        """One character, by its place in the chunk's code."""
        before = self.chunk.code[:offset]
        return self.at(before.count("\n") + 1, offset - before.rfind("\n"))

    def whole(self) -> Span:
        first = len(self.lines[0])
        return Span(self.chunk.line, self.chunk.column, self.chunk.line, self.chunk.column + first)


@dataclass(frozen=True, slots=True)
class Equation:
    """``name[t] = value``."""

    name: str
    span: Span
    value: ast.expr
    place: Place
    label: str


@dataclass(frozen=True, slots=True)
class Initial:
    """``name[0] = parameter``."""

    name: str
    span: Span
    value: ast.expr
    place: Place


@dataclass(frozen=True, slots=True)
class Annotation:
    """``name: what`` or ``name: what = value``."""

    name: str
    span: Span
    what: ast.expr
    value: ast.expr | None
    place: Place


Statement = Equation | Initial | Annotation


def read_statements(chunks: list[Chunk], problems: Problems) -> list[Statement]:
    """The statements of a text; what is none goes to ``problems``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = [_read(chunk, problems) for chunk in chunks]
    return [statement for statement in read if statement is not None]


def _read(chunk: Chunk, problems: Problems) -> Statement | None:
    place = Place(chunk)
    if odd := list(odd_signs(chunk.code)):
        for at, message, advice in odd:
            problems.add(place.character(at), message, advice)
        return None
    try:
        body = ast.parse(chunk.code).body
    except SyntaxError as error:
        _explain(error, place, problems)
    except (RecursionError, MemoryError, ValueError):
        problems.add(place.whole(), "this expression is too long or too deep", "name a part in an equation of its own")
    else:
        if body:
            return _statement(body[0], place, problems)
    return None


_EQUATION = "an equation is name[t] = expression; a declaration is name: shape"


_MISSING_OPERATOR = re.compile(r"(?<=[\w\])])[ \t]+(?=[\w(])")


def _explain(error: SyntaxError, place: Place, problems: Problems) -> None:
    """Python's syntax error in the reader's terms."""
    code = place.chunk.code
    for match in re.finditer(r"[^\W\d]\w*", code):
        if keyword.iskeyword(match.group()):
            span = place.character(match.start())
            word = match.group()
            span = Span(span.line, span.column, span.line, span.column + len(word))
            problems.add(span, f"{word} is a word of Python, not a name", f"{_EQUATION}; a name could be {word}_")
            return
    if gap := _MISSING_OPERATOR.search(code):
        advice = "write * for a product of units, @ for matrix times vector"
        problems.add(place.character(gap.end()), "an operator is missing here", advice)
        return
    if (bar := code.find("|")) >= 0:
        problems.add(place.character(bar), "| has no meaning here", "write abs(v) for |v|, norm(v) for its length")
        return
    span = place.at(error.lineno or 1, error.offset or 1)
    if code.endswith(tuple("+-*/@=,<>:")):
        problems.add(span, "the line ends where more should follow", "put an expression of several lines in brackets")
        return
    problems.add(span, f"this cannot be read ({error.msg})", _EQUATION)


def _statement(node: ast.stmt, place: Place, problems: Problems) -> Statement | None:
    match node:
        case ast.Assign(targets=[target], value=value):
            return _assignment(target, value, place, problems)
        case ast.Assign(targets=targets):
            problems.add(place.span(targets[1]), "two equal signs in one equation", "write one equation for each name")
        case ast.AnnAssign(target=ast.Name(id=name) as target, annotation=what, value=value, simple=1):
            return Annotation(name, place.span(target), what, value, place)
        case ast.AnnAssign(target=target):
            problems.add(place.span(target), "only a bare name can be declared", "write name: shape")
        case ast.AugAssign(target=target):
            problems.add(place.span(target), "an equation defines its name once and for all", "write name[t] = ...")
        case ast.Expr(value=ast.Compare(ops=[ast.Eq()], left=left)):
            problems.add(place.span(left), "== compares; it defines nothing", "write = between name[t] and its value")
        case ast.Expr(value=value):
            problems.add(place.span(value), "this is neither an equation nor a declaration", _EQUATION)
        case _:
            word = place.chunk.code.split(None, 1)[0].rstrip(":")
            span = place.at(1, 1)
            message = f"{word[:20]} has no place in a cell: a cell is never executed"
            problems.add(Span(span.line, span.column, span.line, span.column + len(word)), message, _EQUATION)
    return None


def _assignment(target: ast.expr, value: ast.expr, place: Place, problems: Problems) -> Statement | None:
    span = place.span(target)
    match target:
        case ast.Subscript(value=ast.Name(id=name) as base, slice=ast.Name(id="t")):
            return Equation(name, place.span(base), value, place, place.chunk.label)
        case ast.Subscript(value=ast.Name(id=name) as base, slice=ast.Constant(value=0)):
            return Initial(name, place.span(base), value, place)
        case ast.Subscript(value=ast.Name(id=name)):
            advice = f"write {name}[t] = ..., with what came before read at t-1"
            problems.add(span, "an equation defines its name at t", advice)
        case ast.Name(id=name) if check_name(name, span, problems):
            hint = f"{name}: const = ... if it is a number" if isinstance(value, ast.Constant) else f"{name}[t] = ..."
            problems.add(span, f"{name} is defined without its time", f"write {hint}")
        case ast.Name():
            pass
        case ast.Tuple() | ast.List():
            problems.add(span, "an equation defines one name", "write one equation for each name")
        case _:
            problems.add(span, "this cannot stand left of =", _EQUATION)
    return None
