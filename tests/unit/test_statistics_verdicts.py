"""What a report says about an experiment, and when it says "not yet known"."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from math import isfinite

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from signalpost.domain.designs import (
    FixedHorizon,
    PeopleNeeded,
    Sequential,
    detectable_lift,
    people_needed,
)
from signalpost.domain.sample_ratio import sample_ratio
from signalpost.domain.statistics import Arm
from signalpost.domain.verdicts import Says, Verdict, judge
from signalpost.errors import BadInputError

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TOMORROW = NOON + timedelta(days=1)
EVEN = {"holdout": 1, "blue": 1}


def arm(name: str, conversions: int, people: int, revenue: int = 0) -> Arm:
    squares = revenue**2 if revenue else 0
    return Arm(
        name=name,
        people=people,
        conversions=conversions,
        revenue=revenue,
        revenue_squares=squares,
    )


def report(holdout, blue, *, design=None, weights=None, now=NOON, earlier=None):
    return judge(
        control=arm("holdout", *holdout) if holdout else None,
        treated=[arm("blue", *blue)],
        weights=weights or EVEN,
        design=design or FixedHorizon(people=1000),
        now=now,
        earlier=earlier,
    )


def verdict(holdout, blue, **more) -> Verdict:
    return report(holdout, blue, **more).comparisons[0].verdict


# A fixed horizon


def test_before_enough_people_the_answer_is_not_yet_known_however_large_the_difference():
    answer = verdict((10, 900), (200, 910))
    assert (answer.says, answer.known, answer.trust) == (Says.NOT_YET, False, True)
    assert answer.why == "Not yet known: the smallest arm has 900 of 1,000 people."


def test_before_the_end_the_answer_is_not_yet_known_however_many_people():
    answer = verdict((10, 9000), (200, 9000), design=FixedHorizon(ends_at=TOMORROW))
    assert answer.why == "Not yet known: it ends at 2026-03-03 12:00 UTC."


def test_a_horizon_of_people_and_time_waits_for_both():
    design = FixedHorizon(people=10_000, ends_at=TOMORROW)
    assert (
        "9,000 of 10,000 people and it ends at" in verdict((1, 9000), (1, 9000), design=design).why
    )
    assert not verdict((1, 9000), (1, 9000), design=design, now=TOMORROW).known
    assert not verdict((1, 10_000), (1, 10_000), design=design).known
    assert verdict((1, 10_000), (1, 10_000), design=design, now=TOMORROW).known


@pytest.mark.parametrize(
    ("blue", "says"), [(300, Says.HIGHER), (100, Says.LOWER), (210, Says.NO_DIFFERENCE)]
)
def test_at_the_horizon_the_answer_is_known(blue, says):
    answer = verdict((200, 4000), (blue, 4000))
    assert (answer.says, answer.known) == (says, True)


def test_the_sentence_of_a_difference_has_both_rates_and_the_interval_in_points():
    assert verdict((200, 4000), (300, 4000)).why == (
        "People in blue converted more often: 7.50% in blue, 5.00% in holdout; the difference lies"
        " between +1.44 and +3.57 percentage points."
    )


def test_no_bound_that_is_not_zero_reads_as_zero():
    assert (
        "between +0.004 and"
        in verdict((470, 9900), (4700, 90_200), weights={"holdout": 1, "blue": 9}).why
    )


def test_no_difference_seen_does_not_claim_that_there_is_none():
    assert verdict((200, 4000), (210, 4000)).why.endswith("That does not prove that there is none.")


def test_an_experiment_is_decided_once():
    """What was known at the horizon stands, though later counts would say something else."""
    first = report((200, 4000), (300, 4000))
    later = report((300, 4000), (305, 4000), earlier=first.verdicts)
    assert later.comparisons[0].verdict == first.comparisons[0].verdict
    assert later.comparisons[0].rates.treated_rate == 305 / 4000


def test_a_verdict_that_was_not_yet_known_does_not_stand():
    first = report((20, 400), (30, 400))
    assert verdict((200, 4000), (300, 4000), earlier=first.verdicts).says is Says.HIGHER


# A sequential design


def test_a_sequential_design_answers_at_any_look_that_shows_a_difference():
    assert verdict((200, 4000), (310, 4000), design=Sequential()).says is Says.HIGHER
    assert verdict((310, 4000), (200, 4000), design=Sequential()).says is Says.LOWER


def test_a_difference_that_one_look_would_believe_is_not_enough_for_any_look():
    assert verdict((200, 4000), (242, 4000)).says is Says.HIGHER
    assert verdict((200, 4000), (242, 4000), design=Sequential()).why == (
        "Not yet known: after 8,000 people the difference may still be zero, and no end was set."
    )


def test_a_sequential_design_says_no_difference_seen_only_at_its_end():
    design = Sequential(ends_at=TOMORROW)
    before = verdict((200, 4000), (210, 4000), design=design)
    assert before.why.endswith("may still be zero, and it ends at 2026-03-03 12:00 UTC.")
    at_the_end = verdict((200, 4000), (210, 4000), design=design, now=TOMORROW)
    assert at_the_end.says is Says.NO_DIFFERENCE


@pytest.mark.parametrize("conversions", [0, 10, 500, 1000])
def test_sequential_intervals_are_wider_than_those_of_one_look(conversions):
    one = report((conversions, 1000), (conversions, 1000)).comparisons[0].rates
    any_look = report((conversions, 1000), (conversions, 1000), design=Sequential())
    wide = any_look.comparisons[0].rates.absolute_interval
    assert wide.low < one.absolute_interval.low <= one.absolute_interval.high < wide.high


def test_the_sequential_bound_is_the_mixture_of_normal_likelihood_ratios():
    """At the bound the likelihood ratio, averaged over the normal prior, is just 1 / alpha."""
    design, control, treated = Sequential(), arm("c", 900, 10_000), arm("t", 1000, 30_000)
    z = design.bound(control=control, treated=treated, alpha=0.05)
    information = 10_000 * 30_000 * 1900 * 38_100 / 40_000**3
    needed = ((stats.norm.isf(0.025) + stats.norm.isf(0.2)) / np.log(1.2)) ** 2
    tight = -2 * np.log(0.05) + np.log(1 - 2 * np.log(0.05))
    progress = tight * information / needed
    score = z * np.sqrt(information)
    spread = np.sqrt(progress / information)
    grid = np.linspace(-12 * spread, 12 * spread, 200_001)
    ratios = np.exp(score * grid - information * grid**2 / 2)
    average = np.sum(ratios * stats.norm.pdf(grid, scale=spread)) * (grid[1] - grid[0])
    assert average == pytest.approx(1 / 0.05, rel=1e-6)


def test_sequential_p_values_and_intervals_agree_about_revenue_too():
    """Revenue is shown beside the rates, on the same clock, and decides nothing."""
    spenders = {"conversions": 400, "revenue": 4_000_000, "revenue_squares": 50_000_000_000}
    more = {"conversions": 430, "revenue": 6_000_000, "revenue_squares": 90_000_000_000}
    seen = judge(
        control=Arm(name="holdout", people=5000, **spenders),
        treated=[Arm(name="blue", people=5000, **more)],
        weights=EVEN,
        design=Sequential(),
        now=NOON,
    ).comparisons[0]
    assert (seen.revenue.absolute, seen.revenue.absolute_interval.low > 0) == (400, True)
    assert seen.revenue.p_value < 0.05
    assert seen.verdict.says is Says.NOT_YET


# What cannot be answered


def test_without_a_control_nothing_is_known_and_no_figure_is_shown():
    seen = report(None, (300, 4000), weights={"blue": 1}).comparisons[0]
    assert (seen.rates, seen.revenue) == (None, None)
    assert (seen.verdict.says, seen.verdict.known) == (Says.NEVER, False)
    assert seen.verdict.why.startswith("It cannot be known what this changed: nobody was held out")
    assert "Next time give the campaign's file a holdout" in seen.verdict.why


@pytest.mark.parametrize(
    ("design", "why"),
    [
        # What the design still waits for is the better reason: it says when to look again.
        (FixedHorizon(people=1), "the smallest arm has 0 of 1 people"),
        (Sequential(ends_at=NOON), "holdout and blue do not both have people"),
    ],
)
def test_with_nobody_assigned_nothing_is_known(design, why):
    seen = report((0, 0), (0, 0), design=design)
    assert not seen.sample_ratio.alarm
    assert seen.comparisons[0].verdict.why == f"Not yet known: {why}."


def test_one_person_on_either_side_is_no_reason_to_believe_anything():
    for design in (FixedHorizon(people=1), Sequential(ends_at=NOON)):
        assert verdict((0, 1), (1, 1), design=design).says is Says.TOO_FEW


@pytest.mark.parametrize("design", [FixedHorizon(people=1), Sequential(ends_at=NOON)])
@pytest.mark.parametrize(
    ("holdout", "blue", "says"),
    [
        ((0, 1), (1, 8), Says.TOO_FEW),  # the interval is from -100 to +100 points
        ((0, 9), (9, 9), Says.TOO_FEW),  # as clear as can be, of nine people
        ((0, 40), (40, 40), Says.HIGHER),
        ((10, 60), (10, 60), Says.TOO_FEW),  # from -13 to +13
        ((240, 800), (264, 800), Says.NO_DIFFERENCE),  # of one look from -2 to +8
        ((400, 6000), (401, 6000), Says.NO_DIFFERENCE),
    ],
)
def test_no_answer_is_made_of_too_few_people(holdout, blue, says, design):
    """Fewer than ten on a side, or an interval of more than ten points either way, tell nothing."""
    assert verdict(holdout, blue, design=design).says is says


def test_too_few_at_the_end_stands_as_any_answer_does():
    """Else a fixed horizon would be looked at again and again, and find something in the end."""
    first = report((10, 60), (16, 60), design=FixedHorizon(people=60))
    assert first.comparisons[0].verdict.says is Says.TOO_FEW
    later = report(
        (10, 70), (30, 70), design=FixedHorizon(people=60), earlier=first.verdicts
    ).comparisons[0]
    assert later.verdict == first.comparisons[0].verdict


def test_so_few_people_before_the_end_are_not_yet_an_answer():
    early = verdict((0, 9), (20, 20), design=Sequential(lift=1), weights={"holdout": 9, "blue": 20})
    assert early.says is Says.NOT_YET
    assert "9 in holdout, and an answer needs 10 on either side" in early.why


@pytest.mark.parametrize("design", [FixedHorizon(people=1), Sequential()])
@pytest.mark.parametrize("known", [None, Verdict(Says.HIGHER, "as known before")])
def test_a_wrong_sample_ratio_means_do_not_trust_whatever_else_is_known(design, known):
    earlier = {"blue": known} if known else None
    answer = verdict((200, 4000), (400, 4500), design=design, earlier=earlier)
    assert (answer.says, answer.trust) == (Says.NOT_YET, False)
    assert answer.why.startswith("Do not trust these figures: people did not fall into the arms")
    assert "holdout 4,000 people instead of about 4,250" in answer.why


# Several arms


def test_several_arms_share_the_error_in_intervals_p_values_and_verdicts():
    """Blue alone would be "higher" (p 0.03); as one of three it is not (3 x 0.03)."""
    weights = {"holdout": 1, "blue": 1, "red": 1, "green": 1}
    arms = [arm("blue", 246, 4000), arm("red", 200, 4000), arm("green", 300, 4000)]
    alone = report((200, 4000), (246, 4000))
    seen = judge(
        control=arm("holdout", 200, 4000),
        treated=arms,
        weights=weights,
        design=FixedHorizon(people=1000),
        now=NOON,
    )
    assert alone.comparisons[0].verdict.says is Says.HIGHER
    assert [c.verdict.says.value for c in seen.comparisons] == [
        "no difference seen",
        "no difference seen",
        "higher",
    ]
    assert seen.confidence == pytest.approx(1 - 0.05 / 3)
    one, of_three = alone.comparisons[0].rates, seen.comparisons[0].rates
    assert of_three.p_value == pytest.approx(3 * one.p_value)
    assert of_three.absolute_interval.low < 0 < one.absolute_interval.low


# Whatever the counts


@given(
    counts=st.lists(
        st.integers(0, 10_000_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
        min_size=2,
        max_size=4,
    ),
    design=st.sampled_from(
        [FixedHorizon(people=1), FixedHorizon(ends_at=TOMORROW), Sequential(ends_at=NOON)]
    ),
)
def test_every_report_is_json_without_a_nan(counts, design):
    arms = [arm(f"arm {place}", *count, count[1]) for place, count in enumerate(counts)]
    seen = judge(
        control=arms[0],
        treated=arms[1:],
        weights={each.name: 1 for each in arms},
        design=design,
        now=NOON,
    )
    json.dumps(asdict(seen), allow_nan=False)


# The sample ratio


@given(
    people=st.lists(st.integers(0, 10_000_000), min_size=2, max_size=6),
    weights=st.lists(st.floats(0.01, 100), min_size=6, max_size=6),
)
def test_the_sample_ratio_is_scipys_test_of_fit(people, weights):
    names = [f"arm {place}" for place in range(len(people))]
    plan = dict(zip(names, weights, strict=False))
    seen = sample_ratio(
        arms=[arm(name, 0, count) for name, count in zip(names, people, strict=True)], weights=plan
    )
    assert isfinite(seen.p_value)
    if min(seen.expected.values()) >= 5:
        expected = stats.chisquare(people, list(seen.expected.values())).pvalue
        assert seen.p_value == pytest.approx(expected, rel=1e-6, abs=1e-290)


@pytest.mark.parametrize(("holdout", "blue"), [(0, 9), (1, 30), (12, 20), (3, 80), (0, 0)])
def test_with_few_people_two_arms_are_checked_by_an_exact_test(holdout, blue):
    weights = {"holdout": 1, "blue": 19}
    seen = sample_ratio(arms=[arm("holdout", 0, holdout), arm("blue", 0, blue)], weights=weights)
    everybody = holdout + blue
    below = stats.binom.cdf(holdout, everybody, 0.05)
    above = stats.binom.sf(holdout - 1, everybody, 0.05)
    assert seen.p_value == pytest.approx(min(1, 2 * min(below, above)), rel=1e-9)


@pytest.mark.parametrize("everybody", [6, 40, 300])
def test_the_exact_check_of_few_people_raises_no_more_false_alarms_than_it_says(everybody):
    """Of 2,000 right assignments to three arms, p falls below 0.05 in at most 5 % + 3 sigma."""
    rng = np.random.default_rng(7)
    weights = {"a": 1, "b": 40, "c": 80}
    drawn = rng.multinomial(everybody, np.array([1, 40, 80]) / 121, 2000)
    low = sum(
        sample_ratio(
            arms=[arm(name, 0, int(count)) for name, count in zip("abc", row, strict=True)],
            weights=weights,
        ).p_value
        < 0.05
        for row in drawn
    )
    assert low / 2000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


def test_an_arm_of_the_plan_that_nobody_fell_into_raises_the_alarm():
    seen = sample_ratio(arms=[arm("blue", 0, 200)], weights=EVEN)
    assert (seen.alarm, seen.people["holdout"]) == (True, 0)


@pytest.mark.parametrize(
    ("arms", "weights", "says"),
    [
        ([arm("red", 1, 2)], EVEN, "'red' is not in the plan: holdout, blue"),
        ([arm("blue", 1, 2), arm("blue", 1, 2)], EVEN, "counted twice"),
        ([arm("blue", 1, 2)], {"blue": 0}, "weight of 0"),
        ([arm("blue", 1, 2)], {"blue": float("nan")}, "weight of nan"),
        ([arm("blue", 1, 2)], {"blue": float("inf")}, "weight of inf"),
    ],
)
def test_a_plan_that_does_not_fit_the_arms_is_refused(arms, weights, says):
    with pytest.raises(BadInputError, match=says):
        sample_ratio(arms=arms, weights=weights)


# Planning


def test_the_people_needed_are_those_of_the_textbook():
    """5 % against 6 %, error 5 %, power 80 %: 8,158 in each arm (R's power.prop.test: 8157.6)."""
    assert people_needed(base_rate=0.05, lift=0.2) == PeopleNeeded(8158, 8158)


@pytest.mark.parametrize("ratio", [1.0, 9.0, 0.25])
@pytest.mark.parametrize(("base", "lift"), [(0.05, 0.3), (0.2, -0.2), (0.6, 0.2)])
def test_with_the_people_needed_the_lift_is_seen_as_often_as_asked(base, lift, ratio):
    """Of 20,000 experiments with the planned lift 80 %, within 2 points, reject with z-test."""
    needed = people_needed(base_rate=base, lift=lift, treated_per_control=ratio)
    rng = np.random.default_rng(3)
    n, m = needed.control, needed.treated
    control = rng.binomial(n, base, 20_000)
    treated = rng.binomial(m, base * (1 + lift), 20_000)
    pooled = (control + treated) / (n + m)
    z = (treated / m - control / n) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    assert np.mean(abs(z) > stats.norm.isf(0.025)) == pytest.approx(0.8, abs=0.02)


def test_a_smaller_lift_more_power_or_more_arms_need_more_people():
    plain = people_needed(base_rate=0.05, lift=0.2)
    for more in ({"lift": 0.1}, {"power": 0.9}, {"comparisons": 3}, {"alpha": 0.01}):
        asked = {"base_rate": 0.05, "lift": 0.2, **more}
        assert people_needed(**asked).control > plain.control


@pytest.mark.parametrize(("control", "treated"), [(8158, 8158), (1000, 9000), (500_000, 4_500_000)])
def test_the_detectable_lift_is_the_one_that_needs_so_many_people(control, treated):
    lift = detectable_lift(base_rate=0.05, control=control, treated=treated)
    needed = people_needed(base_rate=0.05, lift=lift, treated_per_control=treated / control)
    assert needed.control == pytest.approx(control, rel=1e-4)


def test_with_hardly_anybody_no_lift_can_be_seen():
    assert detectable_lift(base_rate=0.05, control=2, treated=2) is None


@pytest.mark.parametrize(
    "bad",
    [
        {"base_rate": 0},
        {"base_rate": 1},
        {"lift": 0},
        {"lift": 19},
        {"lift": -1},
        {"lift": float("nan")},
        {"alpha": 0},
        {"power": 1},
        {"treated_per_control": 0},
        {"comparisons": 0},
    ],
)
def test_a_plan_that_no_number_of_people_can_meet_is_refused(bad):
    with pytest.raises(BadInputError):
        people_needed(**{"base_rate": 0.05, "lift": 0.2, **bad})


@pytest.mark.parametrize(
    ("design", "bad"),
    [
        (FixedHorizon, {}),
        (FixedHorizon, {"people": 0}),
        (FixedHorizon, {"people": 5, "alpha": 0}),
        (FixedHorizon, {"ends_at": NOON.replace(tzinfo=None)}),
        (Sequential, {"lift": 0}),
        (Sequential, {"lift": 7}),
        (Sequential, {"alpha": 1}),
        (Sequential, {"ends_at": NOON.replace(tzinfo=None)}),
    ],
)
def test_a_design_that_can_never_be_decided_is_refused(design, bad):
    with pytest.raises(BadInputError):
        design(**bad)


def test_a_report_without_treated_arms_or_without_a_zone_is_refused():
    plan = {"weights": EVEN, "design": Sequential(), "control": arm("holdout", 0, 1)}
    with pytest.raises(BadInputError, match="no treated arm"):
        judge(treated=[], now=NOON, **plan)
    with pytest.raises(BadInputError, match="without a zone"):
        judge(treated=[arm("blue", 0, 1)], now=NOON.replace(tzinfo=None), **plan)
