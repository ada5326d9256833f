"""The error function and the normal distribution, spelled out for languages that lack them or lack them in the tail.

The coefficients are those of W. J. Cody, Rational Chebyshev Approximations for the Error Function, Mathematics of
Computation 23 (1969) 631-637, as in his program CALERF (1990); the intervals are his.
"""

from __future__ import annotations

import mpmath
import sympy
from sympy import Expr

from symcell.symbolic.functions.smooth import Exp
from symcell.symbolic.functions.table import IN_PARTS, TRANSCENDENTAL, Elementwise, Row

_SHARED = (
    """# erf on three intervals, as quotients of polynomials, highest powers first: Cody, Rational Chebyshev
# Approximations for the Error Function, Mathematics of Computation 23 (1969) 631-637
_ERF_NEAR = (  # erf(x)/x in x² where |x| < 15/32
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_ERFC_MIDDLE = (  # exp(x²) erfc(x) in x where 15/32 <= x <= 4
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
     8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)
_ERFC_FAR = (  # x² (1/√π - x exp(x²) erfc(x)) in 1/x² where x > 4
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242, 1.87295284992346047, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)""",
    '''def _quotient(x: Any, polynomials: tuple[tuple[float, ...], ...]) -> Any:
    """The quotient of two polynomials at ``x``, by Horner's rule."""
    above, below = (np.full_like(x, first) for first, *_ in polynomials)
    for value, (_, *coefficients) in zip((above, below), polynomials):
        for coefficient in coefficients:
            value *= x
            value += coefficient
    above /= below
    return above''',
    '''def _erfc_scaled(x: Any) -> Any:
    """exp(x²) erfc(x) where x >= 15/32."""
    middle = _quotient(np.minimum(x, 4), _ERFC_MIDDLE)
    far = x > 4
    if not far.any():
        return middle
    inverse = 1 / np.maximum(x, 4)
    square = inverse * inverse
    return np.where(far, (0.5641895835477563 - square * _quotient(square, _ERFC_FAR)) * inverse, middle)''',
)

_ERF = (
    IN_PARTS,
    *_SHARED,
    '''def _erf(v: Any) -> Any:
    """The error function."""
    x = np.absolute(v)
    near = np.minimum(x, 0.46875)
    inner = v * _quotient(near * near, _ERF_NEAR)
    outer = 1 - np.exp(-x * x) * _erfc_scaled(np.maximum(x, 0.46875))
    return np.where(x < 0.46875, inner, np.copysign(outer, v))''',
)

_NORMAL_CDF = (
    IN_PARTS,
    *_SHARED,
    '''def _normal_cdf(v: Any) -> Any:
    """Φ(v) = erfc(-v/√2)/2; exp(-v²/2) by way of the nearest 16th below |v|, whose square is exact."""
    size = np.minimum(np.absolute(v), 40)
    x = size * 0.7071067811865476
    near = np.minimum(x, 0.46875)
    inner = 0.5 - near * _quotient(near * near, _ERF_NEAR) / 2
    coarse = np.floor(size * 16) / 16
    falling = np.exp(coarse * coarse * -0.5) * np.exp((coarse - size) * (coarse + size) * 0.5)
    tail = np.where(x < 0.46875, inner, falling * _erfc_scaled(np.maximum(x, 0.46875)) / 2)
    return np.where(v > 0, 1 - tail, tail)''',
)

_NORMAL_CDF_C = """real normal_cdf(real v) {
    // erfc(-v / sqrt(2)) / 2; what the argument loses in rounding, which the tail magnifies, is made good
    const double root = -0.7071067811865476, rest = 4.833646656726457e-17;
    const real z = v < -40 ? -40 : v > 40 ? 40 : v;
    const real x = z * (real)root;
    const real lost = fma(z, (real)root, -x) + z * (real)(root - (real)root + rest);
    return erfc(x) / 2 - exp(-x * x) * (real)0.5641895835477563 * lost;
}"""


class Erf(Elementwise):
    text, nargs = "erf", 1
    row = Row(
        exact=mpmath.erf,
        torch="torch.special.erf({0})",
        numpy=("_in_parts(_erf, {0}, {o})",),
        overwrites=(0,),
        python=_ERF,
        c="erf",
        cost=TRANSCENDENTAL,
        native=sympy.erf,
        onnx="Erf({0})",
    )

    def derivative(self, k: int) -> Expr:
        return 2 / sympy.sqrt(sympy.pi) * Exp(-(self.args[0] ** 2))


class NormalCdf(Elementwise):
    """Φ(v) = erfc(-v/√2)/2, the standard normal distribution: gelu(v) = v Φ(v)."""

    text, tex, plain, nargs, spoken = "normal_cdf", r"\Phi", "Φ", 1, False
    row = Row(
        exact=lambda v: mpmath.erfc(-v / mpmath.sqrt(2)) / 2,
        torch="torch.special.ndtr({0})",
        numpy=("_in_parts(_normal_cdf, {0}, {o})",),
        overwrites=(0,),
        python=_NORMAL_CDF,
        c="normal_cdf",
        definition=_NORMAL_CDF_C,
        cost=TRANSCENDENTAL,
        onnx="Mul(0.5, Add(1, Erf(Mul({0}, 0.7071067811865476))))",
    )

    def defined(self) -> Expr:
        return (1 + Erf(self.args[0] / sympy.sqrt(2))) / 2

    def derivative(self, k: int) -> Expr:
        return Exp(-(self.args[0] ** 2) / 2) / sympy.sqrt(2 * sympy.pi)
