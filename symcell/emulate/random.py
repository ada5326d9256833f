"""``cupy.random`` on the host: NumPy's generators behind CuPy's signatures (the numbers are not CuPy's)."""

from __future__ import annotations

from typing import Any

import numpy as np

from symcell.emulate.array import unwrap, wrap
from symcell.emulate.operators import refuse


class Generator:
    """What ``default_rng`` gives."""

    def __init__(self, seed: Any = None) -> None:
        self._rng = np.random.default_rng(seed)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Uniform in [0, 1)."""
        return wrap(self._rng.random(size, dtype, unwrap(out)))

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Normal with mean 0 and variance 1."""
        return wrap(self._rng.standard_normal(size, dtype, unwrap(out)))

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None, dtype: Any = np.float64) -> Any:
        """Uniform in [low, high)."""
        refuse((low, high))
        return wrap(np.asarray(self._rng.uniform(unwrap(low), unwrap(high), size), dtype))

    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64, endpoint: bool = False
    ) -> Any:
        """Integers in [low, high), or [0, low)."""
        refuse((low, high))
        return wrap(self._rng.integers(unwrap(low), unwrap(high), size, dtype, endpoint))


class Legacy:
    """The module's own functions, which share a state that ``seed`` sets."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng()

    def seed(self, seed: Any = None) -> None:
        """Starts anew."""
        self._rng = np.random.default_rng(seed)

    def random(self, size: Any = None, dtype: Any = float) -> Any:
        """Uniform in [0, 1)."""
        return wrap(np.asarray(self._rng.random(size), dtype))

    random_sample = random

    def standard_normal(self, size: Any = None, dtype: Any = float) -> Any:
        """Normal with mean 0 and variance 1."""
        return wrap(np.asarray(self._rng.standard_normal(size), dtype))

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = float) -> Any:
        """Normal."""
        refuse((loc, scale))
        return wrap(np.asarray(self._rng.normal(unwrap(loc), unwrap(scale), size), dtype))

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None, dtype: Any = float) -> Any:
        """Uniform in [low, high)."""
        refuse((low, high))
        return wrap(np.asarray(self._rng.uniform(unwrap(low), unwrap(high), size), dtype))

    def randint(self, low: Any, high: Any = None, size: Any = None, dtype: Any = "l") -> Any:
        """Integers in [low, high), or [0, low)."""
        return wrap(np.asarray(self._rng.integers(low, high, size), dtype))

    def rand(self, *size: int, dtype: Any = float) -> Any:
        """Uniform in [0, 1), of the given lengths."""
        return self.random(size or None, dtype)

    def randn(self, *size: int, dtype: Any = float) -> Any:
        """Normal with mean 0 and variance 1, of the given lengths."""
        return self.standard_normal(size or None, dtype)

    def permutation(self, a: Any) -> Any:
        """The numbers below ``a``, or an array's entries, in random order."""
        return wrap(self._rng.permutation(unwrap(a)))

    def choice(self, a: Any, size: Any = None, replace: bool = True, p: Any = None) -> Any:
        """Entries taken at random."""
        return wrap(self._rng.choice(unwrap(a), size, replace, unwrap(p)))


def names() -> dict[str, Any]:
    """The module's names, with a state of their own."""
    legacy = Legacy()
    own = {name: getattr(legacy, name) for name in dir(legacy) if not name.startswith("_")}
    return {**own, "Generator": Generator, "default_rng": Generator}
