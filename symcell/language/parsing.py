"""The stage text → Cell, one step after another; each reports all that it finds before the next begins."""

from __future__ import annotations

import sympy

from symcell.cell import Cell, CellError, Parameter
from symcell.language.arithmetic import double
from symcell.language.build import Builder
from symcell.language.declarations import read_declarations
from symcell.language.defaults import name_sizes
from symcell.language.expressions import ExpressionReader
from symcell.language.inference import infer_sizes
from symcell.language.names import check_name, is_identifier
from symcell.language.order import find_order
from symcell.language.problems import Problems
from symcell.language.roles import Definition, Roles, find_roles
from symcell.language.scan import Scan, scan
from symcell.language.sizes import Sizes
from symcell.language.source import Source, read_source
from symcell.language.statements import Equation, read_statements
from symcell.language.tree import MatrixName, Name, Read, Tree, walk
from symcell.symbolic.nodes import At


def parse(text: str, *, name: str = "cell", filename: str | None = None) -> Cell:
    """The cell that a text describes; ``filename`` is what error messages call it.

    Raises CellError, with everything that is wrong in the text, and for a ``name`` that is no identifier.
    """
    if not is_identifier(name):
        raise CellError(f"{name[:80]!r} cannot be a cell's name: use letters, digits and _, not a word of Python")
    source = read_source(text, filename or f"{name}.cell")
    problems = Problems(source)
    scanned = scan(source, problems)
    statements = read_statements(scanned.chunks, problems)
    declarations = read_declarations(statements, problems)
    definitions = []
    for equation in statements:
        if isinstance(equation, Equation) and check_name(equation.name, equation.span, problems):
            tree = ExpressionReader(equation.place, declarations.constants, problems).expression(equation.value)
            definitions.append(Definition(equation.name, equation.span, tree, equation.label))
    problems.stop()
    roles = find_roles(definitions, declarations, problems)
    order = find_order(roles.definitions, problems)
    problems.stop()
    sizes = infer_sizes(roles, problems)
    problems.stop()
    name_sizes(sizes)
    problems.stop()
    _tell_arrays_from_sizes(roles, sizes, problems)
    problems.stop()
    return _assemble(name, source, scanned, roles, order, sizes)


def _assemble(name: str, source: Source, scanned: Scan, roles: Roles, order: tuple[str, ...], sizes: Sizes) -> Cell:
    title, description = _documentation(scanned.docstring)
    constants = roles.declarations.constants
    arrays = [name for name in roles.fixed if name in constants.arrays]
    return Cell(
        name=name,
        text=source.text,
        equations=_equations(roles, sizes),
        order=order,
        inputs={i: sizes.shape_of(i) for i in roles.inputs},
        signals={s: sizes.shape_of(s) for s in roles.definitions},
        states=roles.states,
        parameters={p: _parameter(p, roles, sizes) for p in roles.fixed if p not in arrays},
        output=roles.output,
        sizes=_sizes(roles, sizes),
        title=title,
        description=description,
        constants={c: double(value) for c, value in constants.values.items()},
        arrays={a: sizes.shape_of(a) for a in arrays},
        initial={state: parameter for state, (_, parameter, _) in roles.declarations.initial.items()},
        labels={d.name: d.label for d in roles.definitions.values() if d.label},
        lines={d.name: d.span.line for d in roles.definitions.values()},
        body=source.text[scanned.body :].strip("\n"),
    )


def _tell_arrays_from_sizes(roles: Roles, sizes: Sizes, problems: Problems) -> None:
    """``init_params`` takes both by name."""
    named = _sizes(roles, sizes)
    for name, declared in roles.declarations.shapes.items():
        if declared.constant and name in named:
            problems.add(declared.span, f"{name} is a constant array and a size", "rename one of them")


def _documentation(docstring: str) -> tuple[str, str]:
    """Title and description: no blanks at the ends of lines, and one empty line at most between others."""
    title, _, rest = docstring.strip().expandtabs().partition("\n")
    lines = [line.rstrip() for line in rest.split("\n")]
    kept = [line for before, line in zip(["", *lines], lines, strict=False) if line or before]
    margin = min((len(line) - len(line.lstrip()) for line in kept if line), default=0)
    return " ".join(title.split()), "\n".join(line[margin:] for line in kept).strip()


def _equations(roles: Roles, sizes: Sizes) -> tuple[sympy.Eq, ...]:
    found = []
    builder = Builder(sizes.shape_of, roles.matrices)
    for name, definition in roles.definitions.items():
        try:
            right = builder.build(definition.tree)
            found.append(sympy.Eq(At(name), right, evaluate=False))
        except ValueError as error:
            sizes.problems.add(definition.tree.span, str(error), "leave it out")
    sizes.problems.stop()
    return tuple(found)


def _parameter(name: str, roles: Roles, sizes: Sizes) -> Parameter:
    declared = roles.shapes.get(name)
    start = declared.start if declared else None
    return Parameter(sizes.shape_of(name)) if start is None else Parameter(sizes.shape_of(name), start)


def _sizes(roles: Roles, sizes: Sizes) -> tuple[str, ...]:
    """The names of all sizes: the inputs' first, then as they appear in the equations."""
    names = list(roles.inputs)
    for name, definition in roles.definitions.items():
        names += [*_values(definition.tree), name]
    names += roles.fixed
    return tuple(dict.fromkeys(size for name in dict.fromkeys(names) for n in sizes.shape_of(name) for size in n.names))


def _values(tree: Tree) -> list[str]:
    return [part.name for part in walk(tree) if isinstance(part, Read | Name | MatrixName)]
