"""The graph's interpreter in float64: fast, for where many runs matter more than digits."""

from __future__ import annotations

from math import erf, erfc, sqrt
from typing import Any

import numpy as np

from symcell.interpret import Arithmetic
from symcell.symbolic import functions as fn

FUNCTIONS: dict[type[Any], Any] = {
    fn.Sigmoid: lambda v: 1 / (1 + np.exp(-v)),
    fn.Tanh: np.tanh,
    fn.Relu: lambda v: np.maximum(v, 0),
    fn.Exp: np.exp,
    fn.Log: np.log,
    fn.Sqrt: np.sqrt,
    fn.EuclideanRoot: np.sqrt,
    fn.Abs: np.abs,
    fn.Sin: np.sin,
    fn.Cos: np.cos,
    fn.Erf: np.vectorize(erf, otypes=[float]),
    fn.NormalCdf: np.vectorize(lambda v: erfc(-v / sqrt(2)) / 2, otypes=[float]),
    fn.Softplus: lambda v: np.logaddexp(v, 0),
    fn.Elu: lambda v: np.where(v > 0, v, np.expm1(np.minimum(v, 0))),
    fn.Softsign: lambda v: v / (1 + np.abs(v)),
    fn.HardSigmoid: lambda v: np.clip(v / 6 + 0.5, 0, 1),
    fn.HardTanh: lambda v: np.clip(v, -1, 1),
    fn.Sign: np.sign,
    fn.Maximum: np.maximum,
    fn.Minimum: np.minimum,
    fn.Clip: np.clip,
    fn.Power: np.power,
    fn.Detached: lambda v: v,
    fn.Greater: lambda u, v: 1.0 * (u > v),
    fn.GreaterEqual: lambda u, v: 1.0 * (u >= v),
    fn.Less: lambda u, v: 1.0 * (u < v),
    fn.LessEqual: lambda u, v: 1.0 * (u <= v),
    fn.Equal: lambda u, v: 1.0 * (u == v),
    fn.NotEqual: lambda u, v: 1.0 * (u != v),
    fn.Where: lambda c, u, v: np.where(c != 0, u, v),
}

FLOAT64 = Arithmetic(float, FUNCTIONS, np.float64)
