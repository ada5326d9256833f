"""Names for the sizes that are still open: D for the only input, H for everything else that must agree."""

from __future__ import annotations

from symcell.cell import Size
from symcell.language.problems import listed
from symcell.language.sizes import Sizes
from symcell.language.unify import Length, Outcome

_SUGGESTED = ("D", "E", "K", "P", "M", "N", "Q", "R", "L")
"""Names of sizes that messages suggest, where they are free."""


def name_sizes(sizes: Sizes) -> None:
    """Gives every open size its default name. Raises CellError where a size has none, or could have several."""
    inputs = list(sizes.roles.inputs)
    if len(inputs) == 1:
        _name_input(sizes, inputs[0])
    else:
        _require_inputs(sizes, inputs)
    sizes.problems.stop()
    classes = _open(sizes)
    if len(classes) == 1 and "H" not in _taken(sizes):
        _give(sizes, next(iter(classes)), "H")
    elif classes:
        _report(sizes, classes)
    for _, _, span in sizes.waiting:
        sizes.problems.add(span, "the sizes that meet here stay open", "declare them, such as h: H")
    sizes.problems.stop()


def _require_inputs(sizes: Sizes, inputs: list[str]) -> None:
    """With several inputs, one whose size nothing else shares has to be declared."""
    alone = [name for name in inputs if _stands_alone(sizes, name)]
    for name, size in zip(alone, _free(sizes), strict=False):
        message = f"the size of the input {name} is open, and there is more than one input"
        sizes.problems.add(sizes.roles.inputs[name], message, f"declare it: {name}: {size}")


def _name_input(sizes: Sizes, name: str) -> None:
    length = sizes.lengths.resolve(sizes.vectors[name])
    if not length.unknown:
        return
    if "D" in _taken(sizes):
        span = sizes.roles.inputs[name]
        message = f"the size of the input {name} is open, and D is the size of something else"
        sizes.problems.add(span, message, f"declare it: {name}: {_free(sizes)[0]}, or {name}: D if it is the same")
    elif len(length.unknown) == 1 and length.known == Size():
        _give(sizes, length.unknown[0], "D")


def _give(sizes: Sizes, unknown: int, name: str) -> None:
    if sizes.lengths.unify(Length((unknown,)), Length((), Size.of(name))) is Outcome.EQUAL:
        sizes.retry()


def _taken(sizes: Sizes) -> set[str]:
    """The names of sizes that are in use."""
    lengths = [*sizes.vectors.values(), *(n for shape in sizes.matrices.values() for n in shape)]
    return {name for length in lengths for name in sizes.known(length).names}


def _open(sizes: Sizes) -> dict[int, list[str]]:
    """The open sizes, each with the names that have it: ``h``, ``columns of W``."""
    members: dict[int, list[str]] = {}
    named = [(name, length) for name, length in sizes.vectors.items()]
    for name, (rows, columns) in sizes.matrices.items():
        named += [(f"the rows of {name}", rows), (f"the columns of {name}", columns)]
    for text, length in named:
        for unknown in sizes.lengths.resolve(length).unknown:
            members.setdefault(unknown, []).append(text)
    return members


def _stands_alone(sizes: Sizes, name: str) -> bool:
    """Whether an input's size is open and shared with no other vector."""
    unknown = sizes.lengths.resolve(sizes.vectors[name]).unknown
    others = (length for other, length in sizes.vectors.items() if other != name)
    return bool(unknown) and not any(k in sizes.lengths.resolve(length).unknown for length in others for k in unknown)


def _free(sizes: Sizes) -> list[str]:
    """Suggestions for names of sizes, as many as there are inputs at least."""
    taken = _taken(sizes)
    numbered = (f"N{k}" for k in range(1, len(sizes.roles.inputs) + 1))
    return [size for size in (*_SUGGESTED, *numbered) if size not in taken]


def _report(sizes: Sizes, classes: dict[int, list[str]]) -> None:
    """Several open sizes, or one that cannot be called H; the states' size comes first, to keep the name H."""
    taken = _taken(sizes)
    groups = sorted(classes.values(), key=lambda group: not any(name in sizes.roles.states for name in group))
    described = "; ".join(listed(group) for group in groups[:6])
    keeps = "H" not in taken
    subjects = groups[1:] if keeps else groups
    if len(groups) > 1:
        message = f"{len(groups)} sizes are open, and nothing says that they are equal: {described}"
    else:
        message = f"the size of {described} is open, and H is the size of something else"
    names = [size for size in _free(sizes) if size not in ("D", "E")]
    hints = [_declaration(sizes, group, size) for group, size in zip(subjects, names, strict=False)]
    first = _first_name(subjects[0])
    definitions = sizes.roles.definitions
    span = definitions[first].span if first in definitions else sizes.first[first]
    advice = f"declare {' and '.join(hints)}" + ("" if keeps else f", or {first}: H if it is the same")
    sizes.problems.add(span, message, advice)


def _first_name(group: list[str]) -> str:
    return group[0].rsplit(" ", 1)[-1]


def _declaration(sizes: Sizes, group: list[str], size: str) -> str:
    text = group[0]
    name = _first_name(group)
    if name == text:
        return f"{name}: {size}"
    rows, columns = (sizes.lengths.resolve(length) for length in sizes.matrices[name])
    shown = [str(length) if not length.unknown else "H" for length in (rows, columns)]
    shown[0 if "rows" in text else 1] = size
    return f"{name}: ({', '.join(shown)})"
