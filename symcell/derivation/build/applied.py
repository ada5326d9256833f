"""The functions of one unit that a cell applies: what each is, and its derivative, from their table."""

from __future__ import annotations

from collections.abc import Iterator

import sympy
from sympy import Expr

from symcell.derivation.arrange import Ranks, arranged
from symcell.derivation.build.numbering import Key, Numbering
from symcell.derivation.build.source import Source
from symcell.derivation.model import Formula, Words, say
from symcell.derivation.nodes import Above, Partial, Prime
from symcell.symbolic import functions as fn
from symcell.symbolic.nodes import Minus, Param, Sum

_SILENT = (fn.Predicate, fn.Where, fn.Detached)
"""What needs no derivative: a choice passes on the derivative of what it chose."""


def applied(source: Source) -> dict[type[fn.Elementwise], bool]:
    """The functions in the cell's equations and in its displayed steps, in the table's order; False for those that
    only their derivatives need."""
    bodies = [e.rhs for e in source.cell.equations] + list(source.forward.named.values())
    found = {type(node) for body in bodies for node in body.atoms(fn.Elementwise)}
    needed, waiting = dict.fromkeys(found, True), list(found)
    while waiting:
        call = _called(source, waiting.pop())
        for node in {n for d in _slopes(call) for n in d.atoms(fn.Elementwise)}:
            if type(node) not in needed and node.defined() is not None:
                needed[type(node)] = False
                waiting.append(type(node))
    return {f: needed[f] for f in fn.FUNCTIONS if f in needed and not issubclass(f, _SILENT)}


def _called(source: Source, function: type[fn.Elementwise]) -> fn.Elementwise:
    letters = source.letters
    names = (letters.argument, letters.second, letters.third)[: _count(function)]
    call: fn.Elementwise = function(*map(Param, names))
    return call


def _count(function: type[fn.Elementwise]) -> int:
    return max(sympy.sympify(function.nargs))


def _slopes(call: fn.Elementwise) -> tuple[Expr, ...]:
    return tuple(call.derivative(k) for k in range(len(call.args)))


def definitions(source: Source, numbering: Numbering) -> Iterator[Formula]:
    """What each function of the cell's equations is."""
    for function, itself in applied(source).items():
        if itself:
            yield from _definition(source, numbering, function)


def derivatives(source: Source, numbering: Numbering) -> Iterator[Formula]:
    """The derivative of each by each argument, behind what it needs besides."""
    for function, itself in sorted(applied(source).items(), key=lambda pair: pair[1]):
        if itself:
            yield from _derivatives(source, numbering, function)
        else:
            yield from _definition(source, numbering, function)


def _definition(source: Source, numbering: Numbering, function: type[fn.Elementwise]) -> Iterator[Formula]:
    call = _called(source, function)
    body = call.defined()
    if body is not None:
        key = ("definition", function.text)
        yield numbering.formula(key, call, _arranged(body, _ranks(call)), _defined(body))


def _derivatives(source: Source, numbering: Numbering, function: type[fn.Elementwise]) -> Iterator[Formula]:
    call = _called(source, function)
    ranks, body = _ranks(call), call.defined()
    for k, slope in enumerate(_slopes(call)):
        between = () if body is None else _between(sympy.diff(body, call.args[k]), slope)
        left = Prime(call) if len(call.args) == 1 else Partial(call, call.args[k])
        note = _note(slope, right := _arranged(slope, ranks))
        key = ("slope", function.text) if not k else ("slope", function.text, str(k))
        yield numbering.formula(
            key, left, right, [("definition", function.text), *_defined(slope)],
            via=tuple(_arranged(e, ranks) for e in between), note=note)  # fmt: skip


def _ranks(call: fn.Elementwise) -> Ranks:
    return Ranks(map(str, call.args), lambda e: True)


def _arranged(expr: Expr, ranks: Ranks) -> Expr:
    """An expression of one number: as in a table of functions, 1 + e^-a and e^a - e^-a."""
    return arranged(expr, ranks).replace(lambda e: isinstance(e, Sum), _ordered)


def _ordered(total: Expr) -> Expr:
    """A positive number first, then what grows with the argument."""
    first = [a for a in total.args if a.is_number and not isinstance(a, Minus)]
    return Sum(*first, *sorted((a for a in total.args if a not in first), key=lambda a: a.has(Minus)))


def _defined(expr: Expr) -> list[Key]:
    return [("definition", type(node).text) for node in sorted(expr.atoms(fn.Elementwise), key=str)]


def _between(derived: Expr, slope: Expr) -> tuple[Expr, ...]:
    """The derivative as SymPy has it from the definition, where that is not the result already."""
    derived = derived.replace(lambda e: isinstance(e, sympy.Mul), _signs_taken_out)
    return () if derived == slope or derived.has(fn.Predicate, fn.Sign) else (derived,)


def _signs_taken_out(product: Expr) -> Expr:
    """``(u - v) (v - u)`` as ``-(u - v)²``."""
    sums = [f for f in product.args if isinstance(f, sympy.Add)]
    for factor in sums:
        if -factor in sums and _leads(-factor):
            return sympy.Mul(-1, -factor, *(f for f in product.args if f is not factor))
    return product


def _leads(total: Expr) -> bool:
    """Whether what grows with the argument is added: e^a - e^-a."""
    growing = (t for t in total.args if not any(a.could_extract_minus_sign() for a in t.as_coeff_Mul()[1].args))
    return all(t.as_coeff_Mul()[0] > 0 for t in growing)


def _note(slope: Expr, right: Expr) -> Words | None:
    if right.has(Above):
        return say("functions.tie")
    return say("functions.kink") if _kinked(slope) else None


def _kinked(slope: Expr) -> bool:
    return slope == 0 or slope.has(fn.Predicate, fn.Sign, fn.Minimum, fn.Maximum)
