"""What each name is, from how it is used: input, signal, state, parameter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from symcell.language.declarations import Declarations, Declared
from symcell.language.problems import Problems, did_you_mean, one_edit_apart
from symcell.language.ranks import find_matrices
from symcell.language.scalars import scalar_names
from symcell.language.source import Span
from symcell.language.tree import MatrixName, Name, Read, Tree, walk


@dataclass(frozen=True, slots=True)
class Definition:
    """An equation that has been read."""

    name: str
    span: Span
    tree: Tree
    label: str


@dataclass
class Roles:
    """The roles of all names, each in order of first appearance, with the places where they first appear."""

    definitions: dict[str, Definition]
    declarations: Declarations
    output: str = ""
    inputs: dict[str, Span] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    fixed: dict[str, Span] = field(default_factory=dict)
    """Parameters and constant arrays."""
    scalars: frozenset[str] = frozenset()
    """Names of one value that nothing declares so."""
    matrices: frozenset[str] = frozenset()

    @property
    def trees(self) -> dict[str, Tree]:
        """The right sides by signal."""
        return {name: definition.tree for name, definition in self.definitions.items()}

    @property
    def shapes(self) -> Mapping[str, Declared]:
        return self.declarations.shapes


def find_roles(definitions: list[Definition], declarations: Declarations, problems: Problems) -> Roles:
    """The role of every name; what contradicts itself goes to ``problems``."""
    roles = Roles(_once(definitions, problems), declarations)
    uses = list(_uses(roles.definitions.values()))
    if not roles.definitions:
        advice = "write one, such as h[t] = tanh(W @ x[t] + U @ h[t-1])"
        problems.add(Span(1, 1, 1, 2), "there is no equation here", advice)
        problems.stop()
    _read_uses(roles, uses)
    if not roles.inputs:
        first = next(iter(roles.definitions.values()))
        problems.add(first.span, "this cell has no input", "read one that no equation defines, such as x[t]")
    _check_times(roles, uses, problems)
    _check_initial(roles, problems)
    _check_declared(roles, uses, problems)
    _check_typing_errors(roles, uses, problems)
    roles.output = _output(roles, problems)
    roles.scalars = scalar_names(roles.trees, roles.shapes)
    matrices = find_matrices(roles.trees, roles.shapes, roles.scalars)
    starts = {p for state, (_, p, _) in declarations.initial.items() if state in matrices and p not in roles.shapes}
    roles.matrices = frozenset(matrices | starts)
    return roles


def _once(definitions: list[Definition], problems: Problems) -> dict[str, Definition]:
    found: dict[str, Definition] = {}
    for definition in definitions:
        first = found.setdefault(definition.name, definition)
        if first is not definition:
            message = f"{definition.name} is already defined in line {first.span.line}"
            problems.add(definition.span, message, "a name is defined once: rename one of the two")
    return found


Use = Read | Name | MatrixName


def _uses(definitions: Iterable[Definition]) -> Iterator[Use]:
    for definition in definitions:
        for tree in walk(definition.tree):
            if isinstance(tree, Read | Name | MatrixName):
                yield tree


def _read_uses(roles: Roles, uses: list[Use]) -> None:
    for use in uses:
        if not isinstance(use, Read):
            roles.fixed.setdefault(use.name, use.span)
            continue
        if use.name not in roles.definitions:
            roles.inputs.setdefault(use.name, use.span)
        if use.lag:
            roles.states[use.name] = max(use.lag, roles.states.get(use.name, 0))


def _check_times(roles: Roles, uses: list[Use], problems: Problems) -> None:
    timed = {use.name: use.span for use in reversed(uses) if isinstance(use, Read)}
    timed |= {name: definition.span for name, definition in roles.definitions.items()}
    for name, span in roles.fixed.items():
        if name in timed:
            message = f"{name} stands here without a time, but with one in line {timed[name].line}"
            problems.add(span, message, f"write {name}[t] or {name}[t-1], or rename the parameter")
    constants = {**roles.declarations.constants.spans, **_arrays(roles)}
    for name, span in constants.items():
        if name in roles.definitions:
            line = roles.definitions[name].span.line
            problems.add(span, f"{name} is a constant here, but defined by an equation in line {line}", "rename one")


def _check_initial(roles: Roles, problems: Problems) -> None:
    taken: dict[str, int] = {name: definition.span.line for name, definition in roles.definitions.items()}
    taken |= {name: span.line for names in (roles.inputs, roles.fixed) for name, span in names.items()}
    taken |= {name: span.line for name, span in roles.declarations.constants.spans.items()}
    for name, (span, parameter, place) in roles.declarations.initial.items():
        if name not in roles.states:
            advice = f"read {name}[t-1] in an equation, or delete this line"
            problems.add(span, f"{name} is no state: no equation reads it at an earlier step", advice)
        if parameter in taken:
            message = f"{parameter} already has a meaning in line {taken[parameter]}"
            problems.add(place, message, f"an initial state is a new parameter: {name}[0] = {name}_0")
        if (declared := roles.shapes.get(parameter)) and declared.constant:
            message = f"{parameter} is a constant array, and an initial state is learned"
            problems.add(place, message, f"write {name}[0] = {name}_0")
        elif declared and not declared.shape:
            message = f"{parameter} is a state at its first step, so no scalar"
            problems.add(declared.span, message, f"declare {parameter}: H")
        taken.setdefault(parameter, span.line)
        roles.fixed.setdefault(parameter, place)


def _arrays(roles: Roles) -> dict[str, Span]:
    """Where constant arrays are declared."""
    return {name: declared.span for name, declared in roles.shapes.items() if declared.constant}


def _check_declared(roles: Roles, uses: list[Use], problems: Problems) -> None:
    known = {*roles.definitions, *roles.inputs, *roles.fixed}
    constants = roles.declarations.constants
    for name, span in constants.spans.items():
        if name not in constants.used:
            problems.add(span, f"nothing uses the constant {name}", did_you_mean(name, known) or "delete the line")
    left = {use.name: use.span for use in reversed(uses) if isinstance(use, MatrixName)}
    for name, declared in roles.shapes.items():
        if name not in known:
            hint = did_you_mean(name, known | constants.used)
            problems.add(declared.span, f"nothing uses {name}, which is declared here", hint or "delete the line")
        elif name in left and len(declared.shape) != 2:
            what = "a vector" if declared.shape else "a scalar"
            message = f"{name} is declared {what} in line {declared.span.line}, but stands left of @ as a matrix here"
            form = f"{name}: const(H, D)" if declared.constant else f"{name}: (H, D)"
            problems.add(left[name], message, f"declare it as {form}, or write * instead of @")
        elif name not in roles.fixed:
            _check_value(declared, problems)


def _check_value(declared: Declared, problems: Problems) -> None:
    """The declaration of a signal or an input."""
    name = declared.name
    if declared.constant:
        return
    if not declared.shape:
        problems.add(declared.span, f"{name} changes with time; scalar is for parameters", f"write {name}: 1")
    elif declared.start is not None:
        advice = f"a learned initial state is {name}[0] = {name}_0; only parameters have a start"
        problems.add(declared.span, f"{name} changes with time and has no start", advice)


def _check_typing_errors(roles: Roles, uses: list[Use], problems: Problems) -> None:
    """An undeclared input that appears once and is one letter away from a signal is most likely that signal."""
    if len(roles.inputs) * len(roles.definitions) > 10_000:
        return
    counts = Counter(use.name for use in uses)
    for name, span in roles.inputs.items():
        if len(name) < 4 or counts[name] > 1 or name in roles.shapes or len(roles.inputs) == 1:
            continue
        for signal in roles.definitions:
            if one_edit_apart(name, signal) and not _differ_by_digit(name, signal):
                advice = f"did you mean {signal}? if it is an input, declare it: {name}: D"
                problems.add(span, f"no equation defines {name}, and it appears only here", advice)
                break


def _differ_by_digit(a: str, b: str) -> bool:
    return a.rstrip("0123456789") == b.rstrip("0123456789")


def _output(roles: Roles, problems: Problems) -> str:
    declared = roles.declarations.output
    if declared is not None:
        _, name, span = declared
        if name not in roles.definitions:
            hint = did_you_mean(name, roles.definitions) or "the output is defined by an equation"
            problems.add(span, f"no equation defines {name}, so it cannot be the output", hint)
        return name
    for name in ("y", "h"):
        if name in roles.definitions:
            return name
    last = next(reversed(roles.definitions.values()), None)
    if last is not None:
        message = "nothing says which of the signals is the output: none is called y or h"
        problems.add(last.span, message, f"add the line output: {last.name}")
    return ""
