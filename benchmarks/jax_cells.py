"""Some cells as JAX scans, written as one writes them with care: gates stacked in one product, those of the inputs
taken out of the loop, everything compiled by ``jax.jit``.

They take the cells' own parameters by name, and are contenders of :mod:`symcell.bench`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from symcell.bench.contenders import Contender, Run
from symcell.bench.work import Numbers, Work
from symcell.cell import Cell

Array = Any
Params = Mapping[str, Array]
States = tuple[Array, ...]
NAME = "jax scan"


def missing() -> str | None:
    """Why JAX cannot be asked, or None where it can."""
    return None if find_spec("jax") else "JAX is not installed"


def contender(cell: Cell) -> Sequence[Contender]:
    """The scan of a cell, if it is written here and can run."""
    known = cell.name in CELLS and not missing()
    return [Contender(NAME, functools.partial(scan, name=cell.name))] if known else []


def scan(work: Work, measure: str, numbers: Numbers, *, name: str) -> Run:
    """One run of the scan, compiled ahead. ``name``: of one of :data:`CELLS`."""
    import jax
    import jax.numpy as jnp

    params, (x,), dy = dict(numbers.params), numbers.x.values(), numbers.dy
    inputs, step = CELLS[name]
    given = tuple(value[0] for value in numbers.state.values())
    zeros = tuple(jnp.zeros_like(value) for value in given)

    def forward(params: Params, x: Array, start: States) -> Array:
        once = step(params)
        return jax.lax.scan(once, start, inputs(params, x))[1]

    def train(params: Params, x: Array, start: States, dy: Array) -> tuple[Array, Any]:
        y, back = jax.vjp(forward, params, x, start)
        return y, back(dy)

    def stream(params: Params, x: Array, state: States) -> tuple[States, Array]:
        return step(params)(state, inputs(params, x))

    runs: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "train": (train, (params, x, zeros, dy)),
        "inference": (forward, (params, x, zeros)),
        "step": (stream, (params, x[0], given)),
    }
    function, arguments = runs[measure]
    arguments = jax.device_put(arguments)
    compiled = jax.jit(function).lower(*arguments).compile()

    def run() -> Array:
        found = jax.block_until_ready(compiled(*arguments))
        return {"train": lambda: found[0], "inference": lambda: found, "step": lambda: found[1]}[measure]()

    return run


def stacked(params: Params, letter: str, gates: str) -> Array:
    """The arrays of several gates, one below the other."""
    import jax.numpy as jnp

    return jnp.concatenate([params[f"{letter}_{gate}"] for gate in gates])


def affine(gates: str) -> Callable[[Params, Array], Array]:
    """What the gates have of the inputs, with their biases."""
    return lambda params, x: x @ stacked(params, "W", gates).T + stacked(params, "b", gates)


def _lstm(params: Params) -> Callable[[States, Array], tuple[States, Array]]:
    import jax.numpy as jnp
    from jax.nn import sigmoid

    recurrent = stacked(params, "U", "ifgo").T

    def step(before: States, arriving: Array) -> tuple[States, Array]:
        h, c = before
        i, f, g, o = jnp.split(arriving + h @ recurrent, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return step


def _peephole_lstm(params: Params) -> Callable[[States, Array], tuple[States, Array]]:
    import jax.numpy as jnp
    from jax.nn import sigmoid

    recurrent = stacked(params, "U", "ifgo").T

    def step(before: States, arriving: Array) -> tuple[States, Array]:
        h, c = before
        i, f, g, o = jnp.split(arriving + h @ recurrent, 4, -1)
        c = sigmoid(f + params["p_f"] * c) * c + sigmoid(i + params["p_i"] * c) * jnp.tanh(g)
        h = sigmoid(o + params["p_o"] * c) * jnp.tanh(c)
        return (h, c), h

    return step


def _gru(params: Params) -> Callable[[States, Array], tuple[States, Array]]:
    import jax.numpy as jnp
    from jax.nn import sigmoid

    recurrent = stacked(params, "U", "rzn").T

    def step(before: States, arriving: Array) -> tuple[States, Array]:
        (h,) = before
        ir, iz, i_n = jnp.split(arriving, 3, -1)
        hr, hz, hn = jnp.split(h @ recurrent, 3, -1)
        z = sigmoid(iz + hz)
        n = jnp.tanh(i_n + sigmoid(ir + hr) * (hn + params["c_n"]))
        h = (1 - z) * n + z * h
        return (h,), h

    return step


def _normalised(value: Array) -> Array:
    import jax

    centred = value - value.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)


def _by_gate(value: Array) -> Array:
    return value.reshape(*value.shape[:-1], 4, -1)


def _layernorm_inputs(params: Params, x: Array) -> Array:
    gains, biases = (_by_gate(stacked(params, letter, "ifgo")) for letter in "ab")
    return _normalised(_by_gate(x @ stacked(params, "W", "ifgo").T)) * gains + biases


def _layernorm_lstm(params: Params) -> Callable[[States, Array], tuple[States, Array]]:
    import jax.numpy as jnp
    from jax.nn import sigmoid

    recurrent, gains = stacked(params, "U", "ifgo").T, _by_gate(stacked(params, "d", "ifgo"))

    def step(before: States, arriving: Array) -> tuple[States, Array]:
        h, c = before
        gates = arriving + _normalised(_by_gate(h @ recurrent)) * gains
        i, f, g, o = (gates[..., k, :] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(_normalised(c) * params["a_c"] + params["b_c"])
        return (h, c), h

    return step


Inputs = Callable[[Params, Array], Array]
Step = Callable[[Params], Callable[[States, Array], tuple[States, Array]]]

CELLS: dict[str, tuple[Inputs, Step]] = {
    "lstm": (affine("ifgo"), _lstm),
    "peephole_lstm": (affine("ifgo"), _peephole_lstm),
    "gru": (affine("rzn"), _gru),
    "layernorm_lstm": (_layernorm_inputs, _layernorm_lstm),
}
"""By name: what is computed for all steps at once, and what one step is. States are in the cells' own order."""
