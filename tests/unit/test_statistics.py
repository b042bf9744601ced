"""Distributions, intervals and tests: the same answers as scipy and the papers, and never a NaN."""

from dataclasses import asdict
from math import isfinite, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from signalpost.domain import distributions
from signalpost.domain.statistics import (
    Arm,
    Interval,
    rate_difference,
    revenue_difference,
)
from signalpost.errors import BadInputError

DEGREES = (1, 1.5, 2, 3, 7.3, 30, 100, 999.5, 5e3, 9e4, 1.1e5, 1e6, 2e7)
RATES = [(0, 10), (1, 10), (5, 10), (10, 10), (3, 400), (47, 1000), (520, 10_000)]
RATES += [(0, 10_000_000), (1, 10_000_000), (437_211, 10_000_000), (10_000_000, 10_000_000)]


@st.composite
def arms(draw, people=st.integers(1, 10_000_000)) -> Arm:
    count = draw(people)
    return Arm(name="any", people=count, conversions=draw(st.integers(0, count)))


def arm(conversions: int, people: int) -> Arm:
    return Arm(name="any", people=people, conversions=conversions)


def spent(amounts, people: int) -> Arm:
    amounts = [int(amount) for amount in amounts]
    squares = sum(amount**2 for amount in amounts)
    return Arm(name="any", people=people, revenue=sum(amounts), revenue_squares=squares)


def numbers(value) -> list[float]:
    """Every number in a result, however deep; None is a bound that is not there."""
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    return [] if value is None else [float(value)]


# Distributions


@pytest.mark.parametrize("z", [0, 1e-9, 0.5, 1.96, 4, 8, 30])
def test_the_normal_tail_is_scipys(z):
    assert distributions.normal_tail(z) == pytest.approx(2 * stats.norm.sf(z), rel=1e-12)


@pytest.mark.parametrize("alpha", [0.999, 0.5, 0.05, 0.01, 1e-6, 1e-12])
def test_the_normal_bound_is_scipys(alpha):
    expected = stats.norm.isf(alpha / 2)
    assert distributions.normal_bound(alpha) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("t", [0, 1e-200, 1e-6, 0.5, 1, 1.96, 3, 5])
def test_students_tail_is_scipys(t, degrees):
    expected = 2 * stats.t.sf(t, degrees)
    assert distributions.student_tail(t, degrees) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("alpha", [0.999, 0.5, 0.2, 0.05, 0.01, 0.001, 1e-6, 1e-12])
def test_students_bound_is_scipys(alpha, degrees):
    expected = stats.t.isf(alpha / 2, degrees)
    assert distributions.student_bound(alpha, degrees) == pytest.approx(expected, rel=1e-9)


@given(alpha=st.floats(1e-9, 0.99), degrees=st.floats(1, 99_000))
def test_students_bound_and_tail_undo_each_other(alpha, degrees):
    bound = distributions.student_bound(alpha, degrees)
    assert distributions.student_tail(bound, degrees) == pytest.approx(alpha, rel=1e-7)


@pytest.mark.parametrize("degrees", [1, 2, 3, 5, 20, 100])
@pytest.mark.parametrize("statistic", [0, 1e-9, 0.5, 1, 3.84, 10, 50, 200, 1000, 1e8])
def test_the_chi_square_tail_is_scipys(statistic, degrees):
    expected = stats.chi2.sf(statistic, degrees)
    assert distributions.chi_square_tail(statistic, degrees) == pytest.approx(
        expected, rel=1e-10, abs=1e-290
    )


@given(trials=st.integers(1, 10_000_000), share=st.floats(1e-6, 1 - 1e-6), place=st.floats(-6, 6))
def test_the_binomial_tail_is_twice_scipys_smaller_tail(trials, share, place):
    middle = trials * share + place * sqrt(trials * share * (1 - share))
    successes = min(trials, max(0, round(middle)))
    below = stats.binom.cdf(successes, trials, share)
    above = stats.binom.sf(successes - 1, trials, share)
    assert distributions.binomial_tail(successes, trials, share) == pytest.approx(
        min(1, 2 * min(below, above)), rel=1e-6, abs=1e-12
    )


# Rates


@pytest.mark.parametrize("treated", RATES)
@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
def test_the_interval_of_a_difference_is_made_of_scipys_wilson_intervals(treated, alpha):
    control = (41, 1000)
    p1, p2 = treated[0] / treated[1], control[0] / control[1]
    one, two = (
        stats.binomtest(*side).proportion_ci(1 - alpha, method="wilson")
        for side in (treated, control)
    )
    low = p1 - p2 - np.hypot(p1 - one.low, two.high - p2)
    high = p1 - p2 + np.hypot(one.high - p1, p2 - two.low)
    seen = rate_difference(control=arm(*control), treated=arm(*treated), alpha=alpha)
    interval = seen.absolute_interval
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("treated", "control", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_the_interval_of_a_difference_is_that_of_newcombes_paper(treated, control, low, high):
    """Newcombe 1998, table II, contrasts (a) to (h), method 10."""
    seen = rate_difference(control=arm(*control), treated=arm(*treated)).absolute_interval
    assert (seen.low, seen.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("treated", RATES)
@pytest.mark.parametrize("control", RATES)
def test_the_p_value_is_that_of_scipys_chi_square_test_without_correction(treated, control):
    seen = rate_difference(control=arm(*control), treated=arm(*treated)).p_value
    table = np.array([[s, n - s] for s, n in (treated, control)])
    if 0 in table.sum(axis=0):  # nobody, or everybody: scipy refuses, we see no difference
        assert seen == 1
    else:
        expected = stats.chi2_contingency(table, correction=False).pvalue
        assert seen == pytest.approx(expected, rel=1e-8, abs=1e-290)


@pytest.mark.parametrize("treated", [(47, 1000), (520, 10_000), (7, 34), (30, 40)])
@pytest.mark.parametrize("control", [(41, 1000), (700, 10_000), (1, 34), (39, 40)])
def test_each_bound_of_the_relative_lift_solves_the_equation_of_mover(treated, control):
    """At a bound R, treated - R control is as far from zero as its two score intervals allow."""
    p1, p2 = treated[0] / treated[1], control[0] / control[1]
    one = stats.binomtest(*treated).proportion_ci(0.95, method="wilson")
    two = stats.binomtest(*control).proportion_ci(0.95, method="wilson")

    def below(ratio):
        return p1 - ratio * p2 - np.hypot(p1 - one.low, ratio * (two.high - p2))

    def above(ratio):
        return p1 - ratio * p2 + np.hypot(one.high - p1, ratio * (p2 - two.low))

    low, high = optimize.brentq(below, 0, p1 / p2), optimize.brentq(above, p1 / p2, 1e6)
    seen = rate_difference(control=arm(*control), treated=arm(*treated))
    assert seen.relative == pytest.approx(p1 / p2 - 1)
    interval = seen.relative_interval
    assert (interval.low, interval.high) == pytest.approx((low - 1, high - 1), rel=1e-8)


def test_with_many_people_the_relative_interval_is_scipys_log_ratio_interval():
    """Katz et al. 1978; the two differ by a tenth of a per cent of their width at most."""
    seen = rate_difference(control=arm(4700, 100_000), treated=arm(5200, 100_000))
    katz = stats.contingency.relative_risk(5200, 100_000, 4700, 100_000).confidence_interval()
    close = (katz.high - katz.low) / 1000
    interval = seen.relative_interval
    assert (interval.low, interval.high) == pytest.approx((katz.low - 1, katz.high - 1), abs=close)


@given(control=arms(), treated=arms())
def test_absolute_and_relative_intervals_agree_whether_there_is_a_difference(control, treated):
    seen = rate_difference(control=control, treated=treated)
    absolute, relative = seen.absolute_interval, seen.relative_interval
    for ours, theirs in ((absolute.low, relative.low), (absolute.high, relative.high)):
        if ours is not None and abs(ours) > 1e-9 and theirs is not None:
            assert (ours > 0) == (theirs > 0)


@given(control=arms(), treated=arms(), alpha=st.floats(1e-6, 0.5))
def test_any_counts_give_numbers_in_order_and_never_a_nan(control, treated, alpha):
    seen = rate_difference(control=control, treated=treated, alpha=alpha)
    assert all(isfinite(number) for number in numbers(asdict(seen)))
    assert -1 <= seen.absolute_interval.low <= seen.absolute <= seen.absolute_interval.high <= 1
    assert 0 <= seen.p_value <= 1
    assert seen.relative_interval.low >= -1
    if seen.relative is not None:
        assert seen.relative_interval.low <= seen.relative + 1e-9
        assert seen.relative_interval.high >= seen.relative - 1e-9


@given(control=arms(), treated=arms())
def test_changing_sides_changes_the_sign_and_nothing_else(control, treated):
    there = rate_difference(control=control, treated=treated)
    back = rate_difference(control=treated, treated=control)
    assert there.absolute_interval.low == pytest.approx(-back.absolute_interval.high, abs=1e-12)
    assert there.p_value == pytest.approx(back.p_value)


def test_with_no_conversion_in_the_control_the_relative_lift_has_no_value_and_no_upper_bound():
    seen = rate_difference(control=arm(0, 100), treated=arm(9, 100))
    assert (seen.relative, seen.relative_interval.high) == (None, None)
    assert seen.relative_interval.low > 0


# Revenue


@pytest.mark.parametrize("seed", range(8))
def test_revenue_per_person_is_compared_as_scipys_welch_test_does(seed):
    """Most people spend nothing; those who do, spend unequally; the arms are unequal too."""
    rng = np.random.default_rng(seed)
    sides = []
    for people in rng.integers(3, 4000, 2):
        buys = rng.random(people) < 0.3
        sides.append(np.where(buys, rng.lognormal(8, 1, people), 0).astype(int))
    theirs = stats.ttest_ind(sides[1], sides[0], equal_var=False)
    seen = revenue_difference(
        control=spent(sides[0], len(sides[0])), treated=spent(sides[1], len(sides[1]))
    )
    between = theirs.confidence_interval(0.95)
    assert seen.p_value == pytest.approx(theirs.pvalue, rel=1e-8)
    assert seen.absolute_interval.low == pytest.approx(between.low, rel=1e-8)
    assert seen.absolute_interval.high == pytest.approx(between.high, rel=1e-8)


def test_revenue_of_ten_million_people_loses_no_digit():
    """Sums are whole numbers, so that a variance is not the difference of two rounded ones."""
    people = 10_000_000  # half of them spend one minor unit more than ten million, half one less
    counts = {"revenue": people * 10**9, "revenue_squares": people * (10**18 + 1)}
    control, treated = (Arm(name=name, people=people, **counts) for name in "ab")
    seen = revenue_difference(control=control, treated=treated)
    assert seen.absolute_interval.high == pytest.approx(1.959964 * sqrt(2 / people), rel=1e-6)


@given(
    st.lists(st.integers(-5000, 10**9), min_size=1, max_size=20),
    st.lists(st.integers(-5000, 10**9), min_size=1, max_size=20),
    st.integers(0, 10_000_000),
)
def test_any_revenue_gives_numbers_and_never_a_nan(one, two, idle):
    control, treated = spent(one, len(one) + idle), spent(two, len(two))
    seen = revenue_difference(control=control, treated=treated)
    assert all(isfinite(number) for number in numbers(asdict(seen)))
    assert 0 <= seen.p_value <= 1


def test_one_person_on_a_side_leaves_the_revenue_interval_without_bounds():
    seen = revenue_difference(control=spent([5], 1), treated=spent([5, 9], 2))
    assert seen.absolute_interval == Interval(None, None)
    assert seen.absolute_interval.spans_zero


def test_while_everybody_spends_the_same_the_interval_has_no_bounds():
    """No spread tells nothing about the error: it is not a difference known to the cent."""
    for amounts in ([0, 0, 0], [7, 7, 7]):
        seen = revenue_difference(control=spent([0, 0], 2), treated=spent(amounts, 3))
        assert (seen.absolute_interval, seen.p_value) == (Interval(None, None), 1)


# Bad input


@pytest.mark.parametrize(
    "counts",
    [
        {"people": -1},
        {"people": 5, "conversions": 6},
        {"people": 5, "conversions": -1},
        {"people": 5.0},
        {"people": 5, "revenue": 12.5, "revenue_squares": 200},
        {"people": 5, "revenue": 100, "revenue_squares": 1999},
        {"people": 10**6, "revenue": 100, "revenue_squares": 99},
        {"people": 0, "revenue": 1, "revenue_squares": 1},
        {"people": float("nan")},
    ],
)
def test_impossible_counts_are_refused_by_the_name_of_the_arm(counts):
    with pytest.raises(BadInputError, match="'blue'"):
        Arm(name="blue", **counts)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 5, float("nan")])
def test_an_error_that_is_no_share_is_refused(alpha):
    with pytest.raises(BadInputError, match="alpha"):
        rate_difference(control=arm(1, 2), treated=arm(1, 2), alpha=alpha)


@pytest.mark.parametrize("compare", [rate_difference, revenue_difference])
def test_an_arm_without_people_cannot_be_compared(compare):
    with pytest.raises(BadInputError, match="no people"):
        compare(control=arm(0, 0), treated=arm(1, 2))


def test_an_arm_without_people_has_no_rate():
    assert arm(0, 0).rate is None
    assert arm(1, 4).rate == 0.25
