"""The promises of the statistics, by simulation: how often they err, and how often they are right.

Every simulation is seeded. A share of 2,000 runs whose true value is 5 % lies within three standard
errors, 1.5 points, of it all but three times in a thousand: that is the tolerance where one is
needed, and it is written as ``NOISE``.
"""

from datetime import UTC, datetime
from itertools import product
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from signalpost.domain.designs import FixedHorizon, Sequential, people_needed
from signalpost.domain.statistics import Arm, rate_difference, revenue_difference, z_score
from signalpost.domain.verdicts import Says, judge

RUNS, LOOKS, ALPHA = 2_000, 50, 0.05
NOISE = 3 * sqrt(ALPHA * (1 - ALPHA) / RUNS)
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def arm(name: str, conversions, people) -> Arm:
    return Arm(name=name, people=int(people), conversions=int(conversions))


def likely(people: int, rate: float) -> list[tuple[int, float]]:
    """All counts of conversions but the one in a million, with their probability."""
    counts = np.arange(*stats.binom.interval(1 - 1e-6, people, rate), dtype=int)
    return list(zip(counts, stats.binom.pmf(counts, people, rate), strict=True))


def spenders(people: int, amounts) -> Arm:
    return Arm(
        name="any",
        people=people,
        conversions=len(amounts),
        revenue=int(amounts.sum()),
        revenue_squares=int((amounts**2).sum()),
    )


def verdicts(control: Arm, treated: list[Arm], design) -> list[Says]:
    weights = {each.name: float(each.people) for each in (control, *treated)}
    seen = judge(control=control, treated=treated, weights=weights, design=design, now=NOW)
    return [comparison.verdict.says for comparison in seen.comparisons]


def trickling(rng, rates, share, people):
    """People are assigned one after the other and convert at once, or never."""
    steps = np.full((RUNS, LOOKS), people // LOOKS)
    treated = rng.binomial(steps, share)
    sides = [steps - treated, treated]
    return [
        (rng.binomial(side, rate).cumsum(axis=1), side.cumsum(axis=1))
        for side, rate in zip(sides, rates, strict=True)
    ]


def launched(rng, rates, share, people):
    """Everybody is assigned at once, as in a campaign, and conversions come in little by little."""
    treated = rng.binomial(people, share, RUNS)
    by_then = 1 - np.exp(-3 * np.arange(1, LOOKS + 1) / LOOKS)
    counts = []
    for side, rate in zip((people - treated, treated), rates, strict=True):
        reached = np.concatenate([[0], by_then / by_then[-1] * rate])
        steps = np.append(np.diff(reached), 1 - rate)
        converted = rng.multinomial(side, steps)[:, :LOOKS].cumsum(axis=1)
        counts.append((converted, np.repeat(side[:, None], LOOKS, axis=1)))
    return counts


def looks(counts, *, runs=RUNS, every=1):
    """Every run as its looks: control and treated arm, in order of time."""
    (before, people), (after, others) = (
        (converted[:, ::every], assigned[:, ::every]) for converted, assigned in counts
    )
    for run in range(runs):
        columns = zip(before[run], people[run], after[run], others[run], strict=True)
        yield [(arm("control", s, n), arm("treated", t, m)) for s, n, t, m in columns]


@pytest.mark.parametrize(
    ("rate", "control", "treated"),
    [(0.05, 5_000, 5_000), (0.3, 400, 400), (0.05, 2_000, 18_000), (0.01, 1_000, 19_000)],
)
def test_without_a_difference_a_fixed_horizon_sees_one_as_often_as_stated(rate, control, treated):
    """A/A at 5 %: not more than 5 % + noise, and not so few that the test sleeps."""
    rng = np.random.default_rng(11)
    s, t = rng.binomial(control, rate, RUNS), rng.binomial(treated, rate, RUNS)
    design = FixedHorizon(people=1)
    wrong = sum(
        verdicts(arm("control", a, control), [arm("treated", b, treated)], design)
        != [Says.NO_DIFFERENCE]
        for a, b in zip(s, t, strict=True)
    )
    assert ALPHA - 0.02 <= wrong / RUNS <= ALPHA + NOISE


def test_of_four_arms_without_a_difference_any_is_seen_to_differ_as_often_as_stated():
    """The 5 % are of the whole report: each arm has a quarter of it."""
    rng = np.random.default_rng(12)
    drawn = rng.binomial(4_000, 0.1, (RUNS, 5))
    design = FixedHorizon(people=1)
    wrong = 0
    for row in drawn:
        control, *treated = (arm(f"arm {place}", s, 4_000) for place, s in enumerate(row))
        wrong += set(verdicts(control, treated, design)) != {Says.NO_DIFFERENCE}
    assert 0.02 <= wrong / RUNS <= ALPHA + NOISE


@pytest.mark.parametrize("arrive", [trickling, launched])
@pytest.mark.parametrize(("rate", "share", "people"), [(0.05, 0.5, 20_000), (0.1, 0.9, 20_000)])
def test_without_a_difference_fifty_looks_mislead_the_naive_and_not_the_sequential(
    arrive, rate, share, people
):
    """A/A, looking 50 times: a z-test at every look errs over 15 %, the sequence at most 5 %."""
    counts = arrive(np.random.default_rng(13), (rate, rate), share, people)
    design = Sequential(lift=0.5)
    naive = wrong = 0
    for run in looks(counts):
        scores = [abs(z_score(control=control, treated=treated)) for control, treated in run]
        naive += max(scores) > 1.959964
        wrong += any(
            design.compare_rates(control=control, treated=treated, alpha=ALPHA).differs(alpha=ALPHA)
            for (control, treated), score in zip(run, scores, strict=True)
            if score > 1.959964  # below it not even a single look sees a difference
        )
    assert naive / RUNS > 0.15
    assert 0 < wrong / RUNS <= ALPHA


def test_planted_lifts_lie_in_the_intervals_of_a_fixed_horizon():
    """Absolute and relative, in at least 95 % of the runs, less the noise."""
    rng = np.random.default_rng(14)
    for rate, lift, control, treated in (
        (0.05, 0.2, 5_000, 5_000),
        (0.02, -0.3, 2_000, 18_000),
        (0.4, 0.1, 300, 300),
    ):
        drawn = zip(
            rng.binomial(control, rate, RUNS),
            rng.binomial(treated, rate * (1 + lift), RUNS),
            strict=True,
        )
        absolute = relative = 0
        for s, t in drawn:
            seen = rate_difference(control=arm("c", s, control), treated=arm("t", t, treated))
            absolute += seen.absolute_interval.low <= rate * lift <= seen.absolute_interval.high
            high = seen.relative_interval.high
            relative += seen.relative_interval.low <= lift and (high is None or lift <= high)
        assert absolute / RUNS >= 1 - ALPHA - NOISE
        assert relative / RUNS >= 1 - ALPHA - NOISE


@pytest.mark.parametrize(
    ("rate", "lift", "control", "treated"),
    [
        (0.05, 0.0, 2_000, 2_000),
        (0.05, 0.2, 2_000, 2_000),
        (0.02, -0.3, 1_000, 9_000),
        (0.02, 0.0, 1_000, 9_000),
        (0.4, 0.1, 300, 300),
    ],
)
def test_summed_over_all_outcomes_a_fixed_horizon_errs_as_often_as_stated(
    rate, lift, control, treated
):
    """No chance in this one: the probabilities of the outcomes that go wrong, added up.

    Counts are whole, so no interval misses in just 5 %: half a point is what the jumps may cost.
    """
    some, others = (
        likely(people, share) for people, share in ((control, rate), (treated, rate * (1 + lift)))
    )
    missed = seen = 0.0
    for (s, one), (t, two) in product(some, others):
        found = rate_difference(control=arm("c", s, control), treated=arm("t", t, treated))
        between = found.absolute_interval
        missed += one * two * (not between.low <= rate * lift <= between.high)
        seen += one * two * found.differs(alpha=ALPHA)
    assert missed == pytest.approx(ALPHA, abs=0.005)
    if lift == 0:
        assert seen == pytest.approx(ALPHA, abs=0.005)


@pytest.mark.parametrize("arrive", [trickling, launched])
def test_planted_lifts_lie_in_all_intervals_of_a_sequential_design(arrive):
    """The difference so far is inside at every one of 25 looks, in at least 95 % of 1,000 runs."""
    rates = (0.05, 0.07)
    counts = arrive(np.random.default_rng(15), rates, 0.5, 10_000)
    truth = [rates[1] - rates[0]] * LOOKS
    if arrive is launched:  # the difference grows as people convert
        by_then = 1 - np.exp(-3 * np.arange(1, LOOKS + 1) / LOOKS)
        truth = list(by_then / by_then[-1] * truth[0])
    design, inside, found, runs = Sequential(lift=0.4), 0, 0, 1_000
    for run in looks(counts, runs=runs, every=2):
        seen = [design.compare_rates(control=c, treated=t, alpha=ALPHA) for c, t in run]
        intervals = [each.absolute_interval for each in seen]
        inside += all(
            between.low <= true <= between.high
            for between, true in zip(intervals, truth[::2], strict=True)
        )
        found += any(each.differs(alpha=ALPHA) for each in seen)
    assert inside / runs >= 1 - ALPHA
    assert found / runs > 0.8


def test_a_planted_lift_is_found_as_often_as_the_plan_says():
    """With the people that ``people_needed`` gives, "higher" comes in 80 % of runs, within 3 points."""
    needed = people_needed(base_rate=0.1, lift=0.25, treated_per_control=4)
    rng = np.random.default_rng(16)
    drawn = zip(
        rng.binomial(needed.control, 0.1, RUNS),
        rng.binomial(needed.treated, 0.125, RUNS),
        strict=True,
    )
    design = FixedHorizon(people=needed.control)
    found = sum(
        verdicts(arm("control", s, needed.control), [arm("treated", t, needed.treated)], design)
        == [Says.HIGHER]
        for s, t in drawn
    )
    assert found / RUNS == pytest.approx(0.8, abs=0.03)


def test_planted_revenue_lies_in_welchs_interval():
    """Nine of ten people spend nothing: still in at least 95 % of the runs, less the noise."""
    rng = np.random.default_rng(17)
    people, inside = (900, 2_700), 0
    truth = 0.12 * 5_000 - 0.1 * 5_000
    for _ in range(RUNS):
        sides = []
        for count, rate in zip(people, (0.1, 0.12), strict=True):
            amounts = (rng.exponential(5_000, rng.binomial(count, rate)) + 0.5).astype(int)
            sides.append(spenders(count, amounts))
        between = revenue_difference(control=sides[0], treated=sides[1]).absolute_interval
        inside += between.low <= truth <= between.high
    assert inside / RUNS >= 1 - ALPHA - NOISE


def test_without_a_difference_looking_at_revenue_misleads_in_at_most_one_run_of_twenty():
    """A/A with a small holdout and few, unequal spenders, of which more come at every look."""
    rng, people, wrong, runs = np.random.default_rng(18), (600, 5_400), 0, 300
    design = Sequential(lift=0.5)
    for _ in range(runs):
        sides = []
        for count in people:
            amounts = (rng.lognormal(8, 1.2, rng.binomial(count, 0.1)) + 1).astype(int)
            upto = np.linspace(0, len(amounts), 21).astype(int)[1:]
            sides.append([spenders(count, amounts[:end]) for end in upto])
        seen = [
            design.compare_revenue(control=control, treated=treated, alpha=ALPHA)
            for control, treated in zip(*sides, strict=True)
        ]
        wrong += any(not each.absolute_interval.spans_zero for each in seen)
    assert wrong / runs <= ALPHA
