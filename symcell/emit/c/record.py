"""What one call from Python hands to C: a record of 64-bit members, numbers and addresses alike."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from symcell.cell import Size
from symcell.emit.c_family.names import Names
from symcell.emit.python.scope import Scope


@dataclass(frozen=True)
class Member:
    """A member as C declares it, and as Python code its value: a number, or the array whose address it is."""

    declaration: str
    value: str


class Record:
    """The members that a function's lines have asked for, each once, in the order of asking.

    Every method gives the member as C code: ``a->name``.
    """

    def __init__(self, scope: Scope, names: Names) -> None:
        self._scope, self._names = scope, names
        self._members: dict[str, Member] = {}

    @property
    def members(self) -> tuple[Member, ...]:
        return tuple(self._members.values())

    def number(self, key: Hashable, hint: str, value: str) -> str:
        """An integer."""
        return self._add(key, hint, "long long ", value)

    def array(self, key: Hashable, hint: str, value: str, *, written: bool = True) -> str:
        """The address of an array of numbers."""
        return self._add(key, hint, "real *" if written else "const real *", value)

    def integers(self, key: Hashable, hint: str, value: str) -> str:
        """The address of an array of integers; zero for None."""
        return self._add(key, hint, "const long long *", value)

    def length(self, size: Size) -> str:
        """A size as C code."""
        texts = []
        for names, count in size.terms:
            factors = [str(count)] if count != 1 or not names else []
            sizes = (self.number(("size", n), n, self._scope.size(Size.of(n))) for n in names)
            texts.append("*".join([*factors, *sizes]))
        return " + ".join(texts) or "0"

    def factor(self, size: Size) -> str:
        """A size as C code that may be multiplied."""
        text = self.length(size)
        return f"({text})" if len(size.terms) > 1 else text

    def _add(self, key: Hashable, hint: str, kind: str, value: str) -> str:
        name = self._names.get(key, hint)
        self._members.setdefault(name, Member(f"{kind}{name};", value))
        return f"a->{name}"
