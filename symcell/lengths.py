"""Named sizes out of the lengths of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from symcell.cell import Size


def shown(seen: Iterable[tuple[Size, int]], given: Mapping[str, int] | None = None) -> dict[str, int]:
    """The sizes that lengths show, besides those ``given``: of each sum of products, the one name that is not known
    yet. Contradictions are not looked for."""
    pairs, sizes = list(seen), dict(given or {})
    for _ in pairs:
        for size, length in pairs:
            open_names = [name for name in size.names if name not in sizes]
            if len(open_names) == 1:
                at = [size.value({**sizes, open_names[0]: k}) for k in (0, 1)]
                step = at[1] - at[0]
                if step and (length - at[0]) % step == 0:
                    sizes[open_names[0]] = (length - at[0]) // step
    return sizes
