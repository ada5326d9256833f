"""Orders in which as many groups as can be stand side by side: the consecutive-ones problem, greedily."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def chains(
    groups: Iterable[frozenset[str]], key: Callable[[str], tuple[int, int]], score: Callable[[list[str]], int] = len
) -> list[list[str]]:
    """Sequences in which as many groups as can be stand side by side (the consecutive-ones problem, greedily).

    Groups come most important first; one that does not fit the sequences made so far is left out. Within what the
    groups leave open, members are sorted by ``key``, those of one key by name. A sequence can be read from either end:
    from the one that scores higher.
    """
    made: list[list[set[str]]] = []
    for group in groups:
        touched = [chain for chain in made if any(group & block for block in chain)]
        if not touched:
            made.append([set(group)])
        elif len(touched) == 1:
            fitted = _fit(touched[0], set(group))
            if fitted is not None:
                made[made.index(touched[0])] = fitted
    both = ((_laid(chain, key), _laid(chain[::-1], key)) for chain in made)
    return [max(ends, key=score) for ends in both]


def _laid(chain: list[set[str]], key: Callable[[str], tuple[int, int]]) -> list[str]:
    return [name for block in chain for name in sorted(block, key=lambda name: (key(name), name))]


def _fit(chain: list[set[str]], group: set[str]) -> list[set[str]] | None:
    """``chain`` with ``group`` made consecutive, or None where that would tear an earlier group apart."""
    touched = [k for k, block in enumerate(chain) if block & group]
    first, last = touched[0], touched[-1]
    new = group - set().union(*chain)
    if len(touched) != last - first + 1 or any(chain[k] - group for k in touched[1:-1]):
        return None
    left_over, right_over = chain[first] - group, chain[last] - group
    if first == last:
        inside = [chain[first] & group]
        if not new:
            middle = [left_over, *inside]
        elif last == len(chain) - 1:
            middle = [left_over, *inside, new]
        elif first == 0:
            middle = [new, *inside, left_over]
        else:
            return None
        return [b for b in (*chain[:first], *middle, *chain[last + 1 :]) if b]
    middle = [left_over, chain[first] & group, *chain[first + 1 : last], chain[last] & group, right_over]
    if new:
        if not right_over and last == len(chain) - 1:
            middle.append(new)
        elif not left_over and first == 0:
            middle.insert(0, new)
        else:
            return None
    return [b for b in (*chain[:first], *middle, *chain[last + 1 :]) if b]
