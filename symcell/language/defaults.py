"""Names for the sizes that are still open: D for the only input, H for everything else that must agree."""

from __future__ import annotations

from collections import Counter

from symcell.cell import Size
from symcell.language.conflicts import Conflicts
from symcell.language.problems import listed
from symcell.language.sizes import Sizes
from symcell.language.unify import NOTHING, Length, Outcome

_SUGGESTED = ("D", "E", "K", "P", "M", "N", "Q", "R", "L")
"""Names of sizes that messages suggest, where they are free."""


def name_sizes(sizes: Sizes) -> None:
    """Gives every open size its default name; where one has none, or could have several, ``problems`` are told."""
    _name_inputs(sizes)
    if sizes.slips:
        _report_slips(sizes)
        return
    sizes.problems.stop()
    classes = _open(sizes)
    if len(classes) == 1 and "H" not in _taken(sizes):
        _give(sizes, next(iter(classes)), "H")
    elif classes:
        _report(sizes, classes)
    for _, _, span in sizes.waiting:
        sizes.problems.add(span, "the sizes that meet here stay open", "declare them, such as h: H")


def _report_slips(sizes: Sizes) -> None:
    """Matrices at an input of open size and at a state, with a name for every size, so that messages can show them."""
    classes = _open(sizes)
    for unknown, name in _proposed(sizes, classes).items():
        _give(sizes, unknown, name)
    for slip in sizes.slips:
        Conflicts(sizes).slip(*slip)


def _name_inputs(sizes: Sizes) -> None:
    """The only open input is D long; one that shares its size with a state is as long as that, and not open."""
    resolve = sizes.lengths.resolve
    states = [s for s in sizes.roles.states if s in sizes.roles.definitions]
    taken = {resolve(length) for state in states for length in sizes.extents[state]}
    lengths = {i: resolve(sizes.extents[i][0]) for i in sizes.roles.inputs}
    candidates = [i for i, length in lengths.items() if length.unknown and length not in taken]
    if len(candidates) == 1:
        length = lengths[candidates[0]]
        if len(length.unknown) == 1 and length.known == NOTHING:
            _give(sizes, length.unknown[0], "D")
        return
    vectors = (resolve(extents[0]) for extents in sizes.extents.values() if len(extents) == 1)
    having = Counter(unknown for length in vectors for unknown in set(length.unknown))
    alone = [i for i in candidates if all(having[unknown] == 1 for unknown in lengths[i].unknown)]
    for name, size in zip(alone, _free(sizes), strict=False):
        message = f"the size of the input {name} is open, and there is more than one such input"
        sizes.problems.add(sizes.roles.inputs[name], message, f"declare it: {name}: {size}")


def _give(sizes: Sizes, unknown: int, name: str) -> None:
    if sizes.lengths.unify(Length((unknown,)), Length((), Size.of(name))) is Outcome.EQUAL:
        sizes.retry()


def _taken(sizes: Sizes) -> set[str]:
    """The names of sizes that are in use."""
    return {name for extents in sizes.extents.values() for length in extents for name in sizes.known(length).names}


def _open(sizes: Sizes) -> dict[int, list[tuple[str, int]]]:
    """The open sizes, each with the names and axes that have it, vectors first."""
    members: dict[int, list[tuple[str, int]]] = {}
    for name in sorted(sizes.extents, key=lambda n: len(sizes.extents[n])):
        for axis, length in enumerate(sizes.extents[name]):
            for unknown in sizes.lengths.resolve(length).unknown:
                members.setdefault(unknown, []).append((name, axis))
    return members


def _free(sizes: Sizes) -> list[str]:
    """Suggestions for names of sizes, as many as there are inputs at least."""
    taken = _taken(sizes)
    numbered = (f"N{k}" for k in range(1, len(sizes.roles.inputs) + 1))
    return [size for size in (*_SUGGESTED, *numbered) if size not in taken]


def _report(sizes: Sizes, classes: dict[int, list[tuple[str, int]]]) -> None:
    """Several open sizes, or one that cannot be called H; the states' size comes first, to keep the name H."""
    chosen = _proposed(sizes, classes)
    groups = [listed(_worded(sizes, *member) for member in classes[unknown]) for unknown in [*chosen][:6]]
    described = "; ".join(groups)
    if len(classes) > 1:
        message = f"{len(classes)} sizes are open, and nothing says that they are equal: {described}"
    else:
        message = f"the size of {described} is open, and H is the size of something else"
    keeps = "H" not in _taken(sizes)
    subjects = [classes[unknown][0][0] for unknown in list(chosen)[keeps:]]
    first = subjects[0]
    definitions = sizes.roles.definitions
    span = definitions[first].span if first in definitions else sizes.first[first]
    hints = [_declaration(sizes, name, chosen) for name in dict.fromkeys(subjects)]
    advice = f"declare {' and '.join(hints)}"
    if not keeps:
        advice += f", or {_declaration(sizes, first, dict.fromkeys(chosen, 'H'))} if it is the same"
    sizes.problems.add(span, message, advice)


def _proposed(sizes: Sizes, classes: dict[int, list[tuple[str, int]]]) -> dict[int, str]:
    """A name for each open size, as far as there are suggestions; H for the states' where it is free."""
    states = sizes.roles.states
    order = sorted(classes, key=lambda unknown: not any(name in states for name, _ in classes[unknown]))
    free = [size for size in _free(sizes) if size not in ("D", "E")]
    return dict(zip(order, free if "H" in _taken(sizes) else ["H", *free], strict=False))


def _worded(sizes: Sizes, name: str, axis: int) -> str:
    return name if len(sizes.extents[name]) == 1 else f"the {('rows', 'columns')[axis]} of {name}"


def _declaration(sizes: Sizes, name: str, chosen: dict[int, str]) -> str:
    """``h: K`` or ``W: (K, D)``, with the chosen names for open sizes."""
    shown = [_shown(sizes.lengths.resolve(length), chosen) for length in sizes.extents[name]]
    text = shown[0] if len(shown) == 1 else f"({', '.join(shown)})"
    return f"{name}: {text}"


def _shown(length: Length, chosen: dict[int, str]) -> str:
    size = length.known
    for unknown in length.unknown:
        size = size + Size.of(chosen.get(unknown, "H"))
    return str(size)
