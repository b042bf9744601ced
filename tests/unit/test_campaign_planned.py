"""How sure a plan is of its numbers, and how it writes them."""

import random

import pytest

from signalpost.services.campaigns import checks
from signalpost.services.campaigns.plan import Plan


def plan(people: int, judged: int) -> Plan:
    return Plan(campaign="x", version="1", made_at="", people=people, judged=judged)


def test_a_number_is_written_as_surely_as_it_is_known():
    assert plan(61_234, 61_234).about(61_234) == "61,234"
    assert plan(1_000_000, 20_000).about(612_345) == "about 612,000 ± 7,000"
    assert plan(100_000, 20_000).about(50_000) == "about 50,000 ± 700"
    assert plan(1_000_000, 20_000).about(0) == "about 0 ± 200"
    assert plan(0, 0).about(0) == "0"


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_the_truth_is_within_the_margin_in_95_of_100_samples(share):
    dice = random.Random(26)
    people, judged, held = 20_000, 2_000, 0
    truth = round(people * share)
    everybody = [1] * truth + [0] * (people - truth)
    rounds = 400
    for _ in range(rounds):
        found = round(sum(dice.sample(everybody, judged)) * people / judged)
        held += abs(found - truth) <= plan(people, judged).margin(found)
    assert held / rounds >= 0.93


def test_nobody_seen_in_a_sample_still_may_be_some():
    """The rule of three: none among 100 leaves up to three in a hundred."""
    assert plan(10_000, 100).margin(0) == 300
    assert plan(10_000, 100).margin(10_000) == 300


def test_a_member_of_a_group_that_nobody_matches_is_not_blamed_for_an_empty_audience():
    found = [
        {"words": "everybody on record", "remaining": 100, "depth": 0},
        {"words": "at least one of these", "remaining": 40, "depth": 0},
        {"words": "tier is gold", "remaining": 0, "depth": 1},
        {"words": "known for a year", "remaining": 40, "depth": 1},
        {"words": "did order.placed", "remaining": 0, "depth": 0},
    ]
    assert "by the clause “did order.placed”" in checks.nobody(found)
    assert "nobody is left; change it" in checks.nobody(found[:4])  # the record moved meanwhile
