"""Each cell's recurrence, written from its paper in NumPy: the shipped texts are held against these.

A reference takes the parameters and the inputs by name, inputs as (T, B, n), and returns the outputs (T, B, n). Where a
paper gives a direct form and a stabilised one, the direct one stands here: exponential gates without a stabiliser, sums
over the whole past without a state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = Any
Arrays = Mapping[str, Array]

REFERENCES: dict[str, Callable[[Arrays, Arrays], Array]] = {}
"""By the name of the cell."""


def _reference(function: Callable[[Arrays, Arrays], Array]) -> Callable[[Arrays, Arrays], Array]:
    REFERENCES[function.__name__] = function
    return function


def sigmoid(v: Array) -> Array:
    return 1 / (1 + np.exp(-v))


def silu(v: Array) -> Array:
    return v * sigmoid(v)


def relu(v: Array) -> Array:
    return np.where(v > 0, v, 0)


def softplus(v: Array) -> Array:
    return np.log(1 + np.exp(v))


def normalised(v: Array, gain: Array = 1, bias: Array = 0) -> Array:
    return gain * (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5) + bias


def delayed(x: Array) -> Array:
    """The sequence one step later, zero first."""
    return np.concatenate([np.zeros_like(x[:1]), x[:-1]])


def zeros(x: Array, *shape: int) -> Array:
    return np.zeros((x.shape[1], *shape))


def outer(u: Array, v: Array) -> Array:
    return np.einsum("bi,bj->bij", u, v)


def times(matrix: Array, v: Array) -> Array:
    """Each sample's matrix with its vector."""
    return np.einsum("bij,bj->bi", matrix, v)


def inner(u: Array, v: Array) -> Array:
    return (u * v).sum(-1, keepdims=True)


@_reference
def mlstm(p: Arrays, inputs: Arrays) -> Array:
    """Beck et al., equations 19 to 27 without the stabiliser: exponential input gate, denominator max(|n·q|, 1)."""
    x = inputs["x"]
    memory, n = zeros(x, len(p["W_v"]), len(p["W_k"])), zeros(x, len(p["W_k"]))
    out = []
    for xt in x:
        q, k, v = (xt @ p[f"W_{name}"].T + p[f"b_{name}"] for name in "qkv")
        i = np.exp(xt @ p["w_i"].T + p["b_i"])
        f = sigmoid(xt @ p["w_f"].T + p["b_f"])
        memory = f[..., None] * memory + i[..., None] * outer(v, k)
        n = f * n + i * k
        o = sigmoid(xt @ p["W_o"].T + p["b_o"])
        out.append(o * times(memory, q) / np.maximum(np.abs(inner(n, q)), 1))
    return np.array(out)


@_reference
def slstm(p: Arrays, inputs: Arrays) -> Array:
    """Beck et al., equations 8 to 14 without the stabiliser, the forget gate a sigmoid."""
    x = inputs["x"]
    h = c = n = zeros(x, len(p["b_z"]))
    out = []
    for xt in x:
        z, i, f, o = (xt @ p[f"W_{g}"].T + h @ p[f"R_{g}"].T + p[f"b_{g}"] for g in "zifo")
        c = sigmoid(f) * c + np.exp(i) * np.tanh(z)
        n = sigmoid(f) * n + np.exp(i)
        h = sigmoid(o) * c / n
        out.append(h)
    return np.array(out)


def _unit_length(v: Array) -> Array:
    return v / np.sqrt(inner(v, v) + 1e-6)


@_reference
def deltanet(p: Arrays, inputs: Arrays) -> Array:
    """S[t] = S[t-1] (I - beta k kᵀ) + beta v kᵀ."""
    x = inputs["x"]
    q, k = _unit_length(silu(x @ p["W_q"].T)), _unit_length(silu(x @ p["W_k"].T))
    v, beta = x @ p["W_v"].T, sigmoid(x @ p["w_beta"].T)[..., None]
    memory = zeros(x, v.shape[-1], k.shape[-1])
    out = []
    for t in range(len(x)):
        transition = np.eye(k.shape[-1]) - beta[t] * outer(k[t], k[t])
        memory = memory @ transition + beta[t] * outer(v[t], k[t])
        out.append(times(memory, q[t]))
    return np.array(out)


@_reference
def gated_deltanet(p: Arrays, inputs: Arrays) -> Array:
    """S[t] = S[t-1] (alpha (I - beta k kᵀ)) + beta v kᵀ; the output normalised and gated."""
    x = inputs["x"]
    q, k = _unit_length(silu(x @ p["W_q"].T)), _unit_length(silu(x @ p["W_k"].T))
    v, beta = silu(x @ p["W_v"].T), sigmoid(x @ p["w_beta"].T)[..., None]
    alpha = np.exp(-np.exp(p["a_log"]) * softplus(x @ p["w_alpha"].T + p["b_alpha"]))[..., None]
    memory = zeros(x, v.shape[-1], k.shape[-1])
    out = []
    for t in range(len(x)):
        transition = alpha[t] * (np.eye(k.shape[-1]) - beta[t] * outer(k[t], k[t]))
        memory = memory @ transition + beta[t] * outer(v[t], k[t])
        o = times(memory, q[t])
        root = np.sqrt((o**2).mean(-1, keepdims=True) + 1e-5)
        out.append(p["gain"] * o / root * silu(x[t] @ p["W_g"].T))
    return np.array(out)


@_reference
def gla(p: Arrays, inputs: Arrays) -> Array:
    """o[t] = Σ_s ((Π alpha, from s+1 to t) ⊙ k[s] · q[t]) v[s]: the parallel form."""
    x = inputs["x"]
    q, k, v = (x @ p[f"W_{name}"].T for name in "qkv")
    alpha = sigmoid(x @ p["W_1"].T @ p["W_2"].T + p["b_alpha"]) ** (1 / 16)
    out = []
    for t in range(len(x)):
        o = sum(inner(k[s] * np.prod(alpha[s + 1 : t + 1], axis=0), q[t]) * v[s] for s in range(t + 1))
        gate = silu(x[t] @ p["W_r"].T + p["b_r"])
        out.append((gate * normalised(o, p["gain"], p["bias"])) @ p["W_o"].T)
    return np.array(out)


@_reference
def retnet(p: Arrays, inputs: Arrays) -> Array:
    """The parallel form: (Q Kᵀ ⊙ D) V with D[t, s] = gamma**(t - s) for t ≥ s; gamma = 1 - 2**-5."""
    x = inputs["x"]
    q, k, v = (x @ p[f"W_{name}"].T for name in "qkv")
    t = np.arange(len(x))
    decay = np.where(t[:, None] >= t, (1 - 2.0**-5) ** np.maximum(t[:, None] - t, 0), 0)
    retention = np.einsum("tbk,sbk,ts,sbv->tbv", q, k, decay, v)
    return (silu(x @ p["W_g"].T) * normalised(retention)) @ p["W_o"].T


@_reference
def mamba(p: Arrays, inputs: Arrays) -> Array:
    """Algorithm 2, channel by channel: h ← exp(dt A) h + dt B u, y = C h + D u, with A = -exp(A_log)."""
    x = inputs["x"]
    u, z = silu(x @ p["W_u"].T), silu(x @ p["W_z"].T)
    b, c = u @ p["W_B"].T, u @ p["W_C"].T
    dt = softplus(u @ p["W_dt"].T @ p["V_dt"].T + p["b_dt"])
    y = np.zeros_like(u)
    for channel, rates in enumerate(-np.exp(p["A_log"])):
        state = zeros(x, len(rates))
        for t in range(len(x)):
            step = dt[t][:, channel, None]
            state = np.exp(step * rates) * state + step * b[t] * u[t][:, channel, None]
            y[t][:, channel] = (c[t] * state).sum(-1) + p["skip"][channel] * u[t][:, channel]
    return (y * z) @ p["W_y"].T


@_reference
def rwkv4(p: Arrays, inputs: Arrays) -> Array:
    """wkv as sums over the whole past, weighted by exp(-(t-1-s) w + k[s]), the present step by exp(u + k[t])."""
    x = inputs["x"]
    r, k, v = ((p[f"mu_{n}"] * x + (1 - p[f"mu_{n}"]) * delayed(x)) @ p[f"W_{n}"].T for n in "rkv")
    w = np.exp(p["w"])
    out = []
    for t in range(len(x)):
        weights = [np.exp(-(t - 1 - s) * w + k[s]) for s in range(t)] + [np.exp(p["u"] + k[t])]
        wkv = sum(a * b for a, b in zip(weights, v, strict=False)) / sum(weights)
        out.append((sigmoid(r[t]) * wkv) @ p["W_o"].T)
    return np.array(out)


def delay_network(order: int, theta: float) -> tuple[Array, Array]:
    """A and B of the Padé approximation of a delay of ``theta`` steps, discretised with a zero-order hold.

    Voelker, Kajić & Eliasmith (2019), equations 1 and 2. The exponential of the joint matrix [[A, B], [0, 0]] is the
    discretised pair; it is computed by scaling and squaring a Taylor series.
    """
    i, j = np.mgrid[:order, :order]
    a = (2 * i + 1) * np.where(i < j, -1.0, (-1.0) ** (i - j + 1))
    b = (2 * np.arange(order) + 1) * (-1.0) ** np.arange(order)
    joint = np.zeros((order + 1, order + 1))
    joint[:order, :order], joint[:order, order] = a / theta, b / theta
    power = term = np.eye(order + 1)
    for k in range(1, 20):
        term = term @ (joint / 2**10) / k
        power = power + term
    for _ in range(10):
        power = power @ power
    return power[:order, :order], power[:order, order]


@_reference
def lmu(p: Arrays, inputs: Arrays) -> Array:
    x = inputs["x"]
    h, m = zeros(x, len(p["W_h"])), zeros(x, len(p["B"]))
    out = []
    for xt in x:
        u = xt @ p["e_x"].T + h @ p["e_h"].T + m @ p["e_m"].T
        m = m @ p["A"].T + u * p["B"]
        h = np.tanh(xt @ p["W_x"].T + h @ p["W_h"].T + m @ p["W_m"].T)
        out.append(h)
    return np.array(out)


@_reference
def mingru(p: Arrays, inputs: Arrays) -> Array:
    x = inputs["x"]
    z, candidate = sigmoid(x @ p["W_z"].T + p["b_z"]), x @ p["W_n"].T + p["b_n"]
    out = [zeros(x, len(p["b_z"]))]
    for t in range(len(x)):
        out.append((1 - z[t]) * out[-1] + z[t] * candidate[t])
    return np.array(out[1:])


@_reference
def minlstm(p: Arrays, inputs: Arrays) -> Array:
    x = inputs["x"]
    f, i = sigmoid(x @ p["W_f"].T + p["b_f"]), sigmoid(x @ p["W_i"].T + p["b_i"])
    candidate = x @ p["W_n"].T + p["b_n"]
    out = [zeros(x, len(p["b_f"]))]
    for t in range(len(x)):
        out.append(f[t] / (f[t] + i[t]) * out[-1] + i[t] / (f[t] + i[t]) * candidate[t])
    return np.array(out[1:])


@_reference
def sru(p: Arrays, inputs: Arrays) -> Array:
    x = inputs["x"]
    c = zeros(x, len(p["b_f"]))
    out = []
    for xt in x:
        f = sigmoid(xt @ p["W_f"].T + p["v_f"] * c + p["b_f"])
        r = sigmoid(xt @ p["W_r"].T + p["v_r"] * c + p["b_r"])
        c = f * c + (1 - f) * (xt @ p["W"].T)
        out.append(r * c + (1 - r) * xt)
    return np.array(out)


@_reference
def qrnn(p: Arrays, inputs: Arrays) -> Array:
    """A convolution over a window of two steps, then fo-pooling."""
    x = inputs["x"]
    z, f, o = (delayed(x) @ p[f"V_{g}"].T + x @ p[f"W_{g}"].T for g in "zfo")
    z, f, o = np.tanh(z), sigmoid(f), sigmoid(o)
    c = zeros(x, z.shape[-1])
    out = []
    for t in range(len(x)):
        c = f[t] * c + (1 - f[t]) * z[t]
        out.append(o[t] * c)
    return np.array(out)


@_reference
def cornn(p: Arrays, inputs: Arrays) -> Array:
    """y'' = tanh(W y + U y' + V x + b) - 2.7 y - 4.7 y', in steps of 0.042."""
    x = inputs["x"]
    y = velocity = zeros(x, len(p["b"]))
    out = []
    for xt in x:
        force = np.tanh(y @ p["W"].T + velocity @ p["U"].T + xt @ p["V"].T + p["b"])
        velocity = velocity + 0.042 * (force - 2.7 * y - 4.7 * velocity)
        y = y + 0.042 * velocity
        out.append(y)
    return np.array(out)


@_reference
def cfc(p: Arrays, inputs: Arrays) -> Array:
    x, elapsed = inputs["x"], inputs["s"]
    h = zeros(x, len(p["b_f"]))
    out = []
    for xt, st in zip(x, elapsed, strict=True):
        z = 1.7159 * np.tanh(0.666 * (np.concatenate([xt, h], axis=1) @ p["W_z"].T + p["b_z"]))
        f, g, late = (z @ p[f"W_{n}"].T + p[f"b_{n}"] for n in "fgk")
        gate = sigmoid(-f * st)
        h = gate * np.tanh(g) + (1 - gate) * np.tanh(late)
        out.append(h)
    return np.array(out)


@_reference
def mi_lstm(p: Arrays, inputs: Arrays) -> Array:
    x = inputs["x"]
    h = c = zeros(x, len(p["b_i"]))
    out = []
    for xt in x:
        gates = []
        for g in "ifgo":
            wx, uh = xt @ p[f"W_{g}"].T, h @ p[f"U_{g}"].T
            gates.append(p[f"a_{g}"] * wx * uh + p[f"p_{g}"] * uh + p[f"q_{g}"] * wx + p[f"b_{g}"])
        i, f, g, o = gates
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.array(out)


@_reference
def nas(p: Arrays, inputs: Arrays) -> Array:
    x = inputs["x"]
    h = c = zeros(x, len(p["W_0"]))
    out = []
    for xt in x:
        wx, uh = [xt @ p[f"W_{n}"].T for n in range(8)], [h @ p[f"U_{n}"].T for n in range(8)]
        pairs = [wx[n] * uh[n] if n == 3 else wx[n] + uh[n] for n in range(8)]
        first = [f(v) for f, v in zip((sigmoid, relu, sigmoid, relu, np.tanh, sigmoid, np.tanh, sigmoid), pairs,
                                      strict=True)]  # fmt: skip
        left, right = np.tanh(first[0] * first[1]), np.tanh(first[2] + first[3])
        third = np.tanh(np.tanh(first[4] * first[5]) + sigmoid(first[6] + first[7]))
        c = np.tanh(left + c) * right
        h = np.tanh(c * third)
        out.append(h)
    return np.array(out)


@_reference
def phased_lstm(p: Arrays, inputs: Arrays) -> Array:
    x, clock = inputs["x"], inputs["time"]
    h = c = zeros(x, len(p["b_i"]))
    period = np.exp(p["rho"])
    out = []
    for xt, now in zip(x, clock, strict=True):
        phase = ((now - p["s"]) % period) / period
        k = np.select([phase < 0.025, phase < 0.05], [2 * phase / 0.05, 2 - 2 * phase / 0.05], 0.001 * phase)
        i = sigmoid(xt @ p["W_i"].T + h @ p["U_i"].T + p["p_i"] * c + p["b_i"])
        f = sigmoid(xt @ p["W_f"].T + h @ p["U_f"].T + p["p_f"] * c + p["b_f"])
        proposed = f * c + i * np.tanh(xt @ p["W_c"].T + h @ p["U_c"].T + p["b_c"])
        o = sigmoid(xt @ p["W_o"].T + h @ p["U_o"].T + p["p_o"] * proposed + p["b_o"])
        h = k * (o * np.tanh(proposed)) + (1 - k) * h
        c = k * proposed + (1 - k) * c
        out.append(h)
    return np.array(out)


@_reference
def zoneout_lstm(p: Arrays, inputs: Arrays) -> Array:
    """With masks of zeros and ones the unit is kept or not: no arithmetic on the mask."""
    x = inputs["x"]
    h = c = zeros(x, len(p["b_i"]))
    out = []
    for xt, keep_c, keep_h in zip(x, inputs["z_c"], inputs["z_h"], strict=True):
        i, f, g, o = (xt @ p[f"W_{n}"].T + h @ p[f"U_{n}"].T + p[f"b_{n}"] for n in "ifgo")
        proposed = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = np.where(keep_h == 1, h, sigmoid(o) * np.tanh(proposed))
        c = np.where(keep_c == 1, c, proposed)
        out.append(h)
    return np.array(out)


@_reference
def ligru(p: Arrays, inputs: Arrays) -> Array:
    x = inputs["x"]
    h = zeros(x, len(p["U_z"]))
    out = []
    for xt in x:
        z = sigmoid(normalised(xt @ p["W_z"].T, p["g_z"], p["b_z"]) + h @ p["U_z"].T)
        h = z * h + (1 - z) * relu(normalised(xt @ p["W_n"].T, p["g_n"], p["b_n"]) + h @ p["U_n"].T)
        out.append(h)
    return np.array(out)
