"""Tails and quantiles of the distributions that the statistics need, by the standard library alone.

The incomplete beta and gamma functions are computed by their power series and continued fractions
(NIST Digital Library of Mathematical Functions, 8.17.22, 8.11.4 and 8.9.2; the fractions evaluated
by Lentz's method as modified by Thompson and Barnett: Press et al., Numerical Recipes, 3rd ed.,
5.2, 6.2 and 6.4). The tests hold every function here against scipy.
"""

from collections.abc import Iterable, Iterator
from itertools import count
from math import erfc, exp, lgamma, log, log1p, pi, sqrt
from statistics import NormalDist

TINY = 1e-300  #: stands for zero in a denominator of a continued fraction
CLOSE = 4e-15  #: a factor this near to 1 changes nothing any more
STEPS = 50  #: of Newton's method; five or six are enough
HALFWAY = 1e-8  #: after a step this small Newton's next error is its square: below rounding
MANY_DEGREES = 1e5
"""From here on Student's t is computed from the normal distribution: bounds are exact to more than ten
digits, tails to eight where they are above 1e-6 and to five at 1e-197. The continued fraction would be
slow, and no nearer."""

_NORMAL = NormalDist()


def normal_tail(z: float) -> float:
    """Give the probability of a standard normal value as far from zero as ``z``, on both sides."""
    return erfc(abs(z) / sqrt(2))


def normal_bound(alpha: float) -> float:
    """Give the z that a standard normal value exceeds, on both sides together, with ``alpha``."""
    return -_NORMAL.inv_cdf(alpha / 2)


def student_tail(t: float, degrees: float) -> float:
    """Give the probability that Student's t is as far from zero as ``t``, on both sides."""
    square = t * t
    if degrees > MANY_DEGREES:  # Wallace, Annals of Mathematical Statistics 30, 1959
        z = sqrt(degrees * log1p(square / degrees))
        return normal_tail(z * (8 * degrees + 1) / (8 * degrees + 3))
    if square == 0:
        return 1.0
    return _beta(1 / (1 + square / degrees), 1 / (1 + degrees / square), degrees / 2, 0.5)


def student_bound(alpha: float, degrees: float) -> float:
    """Give the t that Student's t exceeds, on both sides together, with probability ``alpha``.

    By Newton's method on the logarithms of t and of its tail: there the curve bends one way only,
    so that every step after the first comes nearer from the same side.
    """
    z = t = normal_bound(alpha)
    if z <= 0:
        return 0.0
    if degrees > MANY_DEGREES:  # Abramowitz and Stegun 26.7.5
        return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    scale = lgamma((degrees + 1) / 2) - lgamma(degrees / 2) - log(pi * degrees) / 2
    for _ in range(STEPS):
        tail = student_tail(t, degrees)
        density = 2 * exp(scale - (degrees + 1) / 2 * log1p(t * t / degrees))
        step = log(tail / alpha) * tail / (t * density)
        t *= exp(step)
        if abs(step) < HALFWAY:
            break
    return t


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Give the probability of a chi-square value of at least ``statistic``."""
    a, x = degrees / 2, statistic / 2
    if x <= 0:
        return 1.0
    front = exp(a * log(x) - x - lgamma(a))  # above 1 where a and x are large and near each other
    if x < a + 1:
        return max(0.0, 1 - front * _gamma_series(a, x))
    return min(1.0, front * _fraction(_gamma_terms(a, x)))


def binomial_tail(successes: int, trials: int, share: float) -> float:
    """Give twice the smaller tail of a binomial count: an exact two-sided p-value.

    It is never smaller than it should be (Clopper and Pearson 1934), whatever the counts.
    """
    rest = 1 - share
    at_least = _beta(share, rest, successes, trials - successes + 1) if successes else 1.0
    at_most = _beta(rest, share, trials - successes, successes + 1) if successes < trials else 1.0
    return min(1.0, 2 * min(at_least, at_most))


def _beta(x: float, rest: float, a: float, b: float) -> float:
    """Give the regularised incomplete beta function at ``x``; ``rest`` is 1 - x, unrounded."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(rest))
    if x < (a + 1) / (a + b + 2):
        return min(1.0, front * _fraction(_beta_terms(x, a, b)) / a)
    return max(0.0, 1 - front * _fraction(_beta_terms(rest, b, a)) / b)


def _beta_terms(x: float, a: float, b: float) -> Iterator[tuple[float, float]]:
    """Give numerators and denominators of the continued fraction 8.17.22."""
    yield 1.0, 1.0
    for m in count():
        if m:
            yield m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), 1.0
        yield -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), 1.0


def _gamma_terms(a: float, x: float) -> Iterator[tuple[float, float]]:
    """Give numerators and denominators of the upper incomplete gamma's fraction (8.9.2, even)."""
    yield 1.0, x + 1 - a
    for n in count(1):
        yield n * (a - n), x + 2 * n + 1 - a


def _gamma_series(a: float, x: float) -> float:
    """Sum the series of the lower incomplete gamma function, without its front factor."""
    term = total = 1 / a
    for n in count(1):
        term *= x / (a + n)
        total += term
        if term < total * CLOSE:
            break
    return total


def _fraction(terms: Iterable[tuple[float, float]]) -> float:
    """Evaluate a continued fraction a1/(b1 + a2/(b2 + …)) until its value stands still."""
    value, c, d = TINY, TINY, 0.0
    for above, below in terms:
        d = 1 / ((below + above * d) or TINY)
        c = (below + above / c) or TINY
        factor = c * d
        value *= factor
        if abs(factor - 1) < CLOSE:
            break
    return value
