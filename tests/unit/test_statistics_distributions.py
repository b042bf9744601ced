"""The distributions over wide grids, beside closed forms and values written down to 12 digits.

The tables are of mpmath with 50 digits (incomplete gamma and beta, integrals of the density, sums of
binomial probabilities); scipy 1.17 agrees to 2e-9 and better.
"""

from decimal import Decimal, localcontext
from math import erfc, sqrt

import pytest
from scipy import stats

from signalpost.domain import distributions
from signalpost.domain.sample_ratio import sample_ratio
from signalpost.domain.statistics import Arm

POINTS = (
    0.01, 0.1, 0.5, 1, 2, 3.84, 5, 7.7, 10, 13.05, 15, 20, 21.95, 25, 30, 33.3, 39, 45, 50, 55, 60,
    61, 70, 85, 100, 120, 150, 200,
)  # fmt: skip
CHI_SQUARE = [
    (1, 3.84, 0.0500435212487),
    (2, 0.01, 0.995012479193),
    (3, 7.81, 0.05010605635),
    (9, 16.9, 0.0503051901243),
    (11, 11, 0.443263278426),
    (12, 12, 0.445679641365),
    (13, 13.05, 0.443956987528),
    (14, 14, 0.449711055849),
    (15, 2, 0.999970345023),
    (19, 30.14, 0.050043527691),
    (20, 21.95, 0.343229934657),
    (21, 21, 0.458944208893),
    (25, 33.3, 0.123736905379),
    (27, 100, 2.57398395218e-10),
    (33, 31, 0.567000691048),
    (39, 39, 0.469878197771),
    (40, 55.76, 0.0499859262442),
    (47, 47, 0.472562298528),
    (51, 200, 1.58964235988e-19),
    (59, 60, 0.43924745666),
    (60, 20, 0.999999749005),
    (60, 60, 0.475716986106),
]
STUDENT = [
    (1, 0.01, 0.99363401447),
    (1, 12.706, 0.0500008023581),
    (1.5, 3, 0.133547754255),
    (2, 0.5, 0.666666666667),
    (3, 30, 8.13528042716e-05),
    (5, 1, 0.363217467649),
    (7.3, 2.36, 0.0488925972814),
    (12, 5, 0.000309311211284),
    (30, 0.05, 0.96045380865),
    (30, 8, 6.2658224757e-09),
    (60, 2, 0.0500330436515),
    (100, 20, 9.99426786134e-37),
    (300, 1.5, 0.134666033149),
    (999.5, 3, 0.00276674273522),
    (5e3, 2, 0.0455542599883),
    (5e3, 12, 9.96665642635e-33),
    (9e4, 1.96, 0.0499988712954),
    (9e4, 20, 8.59698538208e-89),
]
STUDENT_OF_MANY = [  # degrees, t, tail, digits that the docstring of MANY_DEGREES promises
    (1.1e5, 1.96, 0.0499983111118, 1e-8),
    (1.1e5, 5, 5.74182202316e-07, 1e-8),
    (1.1e5, 12, 3.72668983508e-33, 1e-5),
    (1.1e5, 20, 7.9298566424e-89, 1e-5),
    (1.1e5, 30, 6.14825030774e-197, 1e-5),
    (2e7, 12, 3.5538980193e-33, 1e-8),
]
NORMAL = [
    (0.01, 0.992021287371),
    (0.5, 0.617075077452),
    (1, 0.317310507863),
    (1.96, 0.0499957902964),
    (2.5758, 0.0100008474756),
    (5, 5.73303143758e-07),
    (8, 1.24419211485e-15),
    (12, 3.55296422416e-33),
    (20, 5.50724823721e-89),
    (30, 9.8134278543e-198),
    (37, 1.1451142445e-299),
]
BINOMIAL = [
    (0, 5, 0.5, 0.0625),
    (3, 10, 0.3, 1),
    (12, 32, 0.05, 4.29673571904e-08),
    (50, 100, 0.5, 1),
    (70, 100, 0.5, 7.85013964559e-05),
    (5, 1000, 0.01, 0.132279023215),
    (30, 1000, 0.01, 4.11997770194e-07),
    (520, 10_000, 0.05, 0.370180290126),
    (700, 10_000, 0.05, 4.57600069293e-18),
    (999, 1000, 0.99, 0.000958488907158),
    (10, 10, 0.9, 0.6973568802),
]


@pytest.mark.parametrize(("degrees", "statistic", "tail"), CHI_SQUARE)
def test_the_chi_square_tail_is_the_one_written_down(degrees, statistic, tail):
    assert distributions.chi_square_tail(statistic, degrees) == pytest.approx(tail, rel=2e-12)


@pytest.mark.parametrize("degrees", range(2, 61, 2))
def test_with_even_degrees_the_chi_square_tail_is_its_closed_form(degrees):
    """A sum of Poisson probabilities: e^-y (1 + y + y²/2! + …), of as many terms as df/2."""
    for statistic in POINTS:
        with localcontext(prec=60):
            half = Decimal(str(statistic)) / 2
            term = total = Decimal(1)
            for k in range(1, degrees // 2):
                term *= half / k
                total += term
            exact = float(total * (-half).exp())
        assert distributions.chi_square_tail(statistic, degrees) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("degrees", range(1, 61))
def test_the_chi_square_tail_is_scipys_over_a_wide_grid(degrees):
    for statistic in POINTS:
        expected = stats.chi2.sf(statistic, degrees)
        assert distributions.chi_square_tail(statistic, degrees) == pytest.approx(
            expected, rel=1e-11
        )


def test_with_one_degree_the_chi_square_tail_is_the_normal_tail():
    for statistic in POINTS:
        expected = erfc(sqrt(statistic / 2))
        assert distributions.chi_square_tail(statistic, 1) == pytest.approx(expected, rel=1e-12)


def test_the_sample_ratio_of_a_campaign_with_twenty_arms_is_scipys():
    people = [100 + 11 * (-1) ** place + place for place in range(20)]
    arms = [Arm(name=f"a{place}", people=count) for place, count in enumerate(people)]
    found = sample_ratio(arms=arms, weights={one.name: 1.0 for one in arms})
    assert found.p_value == pytest.approx(stats.chisquare(people).pvalue, rel=1e-10)


@pytest.mark.parametrize(("degrees", "t", "tail"), STUDENT)
def test_students_tail_is_the_one_written_down(degrees, t, tail):
    assert distributions.student_tail(t, degrees) == pytest.approx(tail, rel=1e-9)


@pytest.mark.parametrize(("degrees", "t", "tail", "near"), STUDENT_OF_MANY)
def test_students_tail_of_very_many_degrees_is_as_near_as_it_says(degrees, t, tail, near):
    assert distributions.student_tail(t, degrees) == pytest.approx(tail, rel=near)


@pytest.mark.parametrize(("z", "tail"), NORMAL)
def test_the_normal_tail_and_its_bound_are_those_written_down(z, tail):
    assert distributions.normal_tail(z) == pytest.approx(tail, rel=1e-11)
    assert distributions.normal_bound(tail) == pytest.approx(z, rel=1e-9)


@pytest.mark.parametrize(("successes", "trials", "share", "tail"), BINOMIAL)
def test_the_binomial_tail_is_the_one_written_down(successes, trials, share, tail):
    found = distributions.binomial_tail(successes, trials, share)
    assert found == pytest.approx(tail, rel=1e-10)


@pytest.mark.parametrize("a", [0.5, 1, 2.5, 7, 40, 300.5])
@pytest.mark.parametrize("b", [0.5, 1, 3, 12.5, 90])
def test_the_incomplete_beta_function_is_scipys_over_a_wide_grid(a, b):
    for x in (1e-6, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999):
        expected = stats.beta.cdf(x, a, b)
        assert distributions._beta(x, 1 - x, a, b) == pytest.approx(expected, rel=1e-9, abs=1e-290)
