"""What a report dares to say, and when: of a written record, and of a run through the real engine."""

import asyncio
import json
from collections import Counter
from datetime import timedelta
from fractions import Fraction

import pytest

from signalpost.content.campaigns import from_definition
from signalpost.errors import NotFoundError
from signalpost.services.campaigns import launching, results, sending
from signalpost.services.campaigns.runs import Launch
from signalpost.testing import Stage
from tests.integration.results_harness import DEFINITION, NOON, Book, sides

DAY = timedelta(days=1)
AFTER = NOON + timedelta(hours=1)


@pytest.fixture
def book(tmp_path):
    with Stage(folder=tmp_path) as stage:
        yield Book(stage.database, stage.desk)


def fill(book, run, name, people, buyers, **more):
    """Write people of one side, the first of whom buy."""
    outcome, reason = {
        "held out": ("held_out", "campaign"),
        "control": ("held_out", "control"),
    }.get(name, ("set_aside", "refused:550"))
    for number in range(people):
        who = book.decided(run, outcome, reason, **more)
        if number < buyers:
            book.order(who, at=AFTER)


def report(found):
    assert found.experiment.report is not None
    return found.experiment.report


def says(found):
    return {arm: one.says for arm, one in report(found).verdicts.items()}


MEASURE = {"event": "order.placed", "within": "7d", "revenue": "total"}


def test_before_the_horizon_it_is_not_yet_known_and_then_it_is(book):
    run = book.run(holdout="50%", experiment={"measure": {**MEASURE, "horizon": 40}})
    fill(book, run, "treated", 40, 30)
    fill(book, run, "held out", 40, 5)
    early = book.results(run, days=6)
    assert says(early) == {"treated": "not yet known"}
    assert early.markdown().splitlines()[2] == (
        "**Not yet known: nobody's 7 days to convert are over.**"
    )
    fill(book, run, "treated", 1, 0, at=NOON - DAY)
    fill(book, run, "held out", 1, 0, at=NOON - DAY)
    assert "the smallest arm has 1 of 40 people" in book.results(run, days=6.5).markdown()
    late = book.results(run, days=8)
    assert says(late) == {"treated": "higher"}
    assert "73.17% in treated, 12.20% in held out" in late.markdown()
    lift = late.experiment.report.comparisons[0].rates.relative_interval
    assert f"+500.0% ({100 * lift.low:+.1f} to {100 * lift.high:+.1f})" in late.markdown()
    assert (late.experiment.sides[0].ripe, late.experiment.sides[0].counted) == (41, 41)


def test_a_horizon_that_cannot_be_reached_any_more_is_said_to_be_so(book):
    run = book.run(holdout="50%", experiment={"measure": {**MEASURE, "horizon": 40}})
    fill(book, run, "treated", 20, 15)
    fill(book, run, "held out", 20, 5)
    assert "Nobody else comes in" not in book.results(run, days=6).markdown()
    last = book.results(run, days=8)
    assert says(last) == {"treated": "not yet known"}
    assert "has 20 of 40 people. Nobody else comes in, so that it will not" in last.markdown()


def test_a_known_answer_is_kept_when_it_is_looked_at_and_stands_whatever_comes_later(book):
    run = book.run(holdout="50%", experiment={"measure": {**MEASURE, "horizon": 40}})
    fill(book, run, "treated", 40, 30)
    fill(book, run, "held out", 40, 5)
    later = NOON + 8 * DAY
    results.look(book.desk, which=run, now=NOON + DAY)  # not yet known: nothing to keep
    first = results.look(book.desk, which=run, now=later)
    for who in [book.decided(run, "held_out", "campaign") for _ in range(40)]:
        book.order(who, at=AFTER)  # came in late from another system: the sides are alike now
    fill(book, run, "treated", 40, 15)
    again = results.look(book.desk, which=run, now=later + DAY)
    assert says(again) == says(first) == {"treated": "higher"}
    assert report(again).comparisons[0].verdict.why == (report(first).comparisons[0].verdict.why)
    assert "it stands" in again.markdown()
    said = json.loads(json.dumps(again.to_json()))["experiment"]["report"]["comparisons"][0]
    assert said["verdict"]["says"] == "higher"
    assert not again.new_verdicts
    assert "it stands" in results.look(book.desk, which="spring", now=later + 2 * DAY).markdown()


def test_a_sequential_answer_comes_early_or_at_the_end(book):
    run = book.run(holdout="50%")
    fill(book, run, "treated", 60, 10)
    fill(book, run, "held out", 60, 10)
    assert says(book.results(run, days=1)) == {"treated": "not yet known"}
    assert says(book.results(run, days=8)) == {"treated": "too few to tell"}
    fill(book, run, "treated", 900, 60)
    fill(book, run, "held out", 900, 60)
    assert says(book.results(run, days=8)) == {"treated": "no difference seen"}
    clear = book.run("clear", holdout="50%")
    fill(book, clear, "treated", 60, 50)
    fill(book, clear, "held out", 60, 5)
    assert says(book.results(clear, days=1)) == {"treated": "higher"}


def test_people_who_fell_otherwise_than_planned_make_every_figure_doubtful(book):
    run = book.run(holdout="10%")
    fill(book, run, "treated", 60, 50)
    fill(book, run, "held out", 60, 5)
    found = book.results(run, days=8)
    assert says(found) == {"treated": "not yet known"}
    assert "**Do not trust these figures" in found.markdown()
    assert "points" not in found.markdown().split("## Messages")[0].split("| side")[1]
    assert not found.new_verdicts


ARMS = [
    {"name": "plain", "share": "40%", "message": "purchase_offer"},
    {"name": "warm", "share": "40%", "message": "purchase_offer"},
    {"name": "nothing", "share": "20%", "control": True},
]


def test_the_control_arm_and_the_held_out_are_one_side_and_every_arm_is_compared_with_it(book):
    run = book.run(holdout="20%", experiment={"arms": ARMS, "measure": MEASURE})
    fill(book, run, "plain", 32, 8, arm="plain")
    fill(book, run, "warm", 32, 8, arm="warm")
    fill(book, run, "control", 16, 4, arm="nothing")
    fill(book, run, "held out", 20, 5)
    found = book.results(run, days=8)
    assert {name: side[:2] for name, side in sides(found).items()} == {
        "plain": (32, 8), "warm": (32, 8), "held out": (36, 9),
    }  # fmt: skip
    expected = report(found).sample_ratio.expected
    assert {name: round(number, 6) for name, number in expected.items()} == {
        "plain": 32, "warm": 32, "held out": 36,
    }  # fmt: skip
    assert set(says(found)) == {"plain", "warm"}
    assert report(found).confidence == pytest.approx(0.975)


def test_two_messages_without_a_control_are_compared_with_each_other(book):
    arms = [{**one, "share": "50%"} for one in ARMS[:2]]
    run = book.run(holdout="0%", experiment={"arms": arms, "measure": MEASURE})
    fill(book, run, "plain", 50, 5, arm="plain")
    fill(book, run, "warm", 50, 45, arm="warm")
    found = book.results(run, days=8)
    assert found.experiment.control == "plain"
    assert says(found) == {"warm": "higher"}


def test_without_a_holdout_nothing_is_known(book):
    run = book.run(holdout="0%")
    fill(book, run, "treated", 30, 20)
    found = book.results(run, days=30)
    assert "It cannot be known what this changed: nobody was held out" in found.markdown()
    assert "Next time give" in found.markdown()
    assert "Nobody else comes in" not in found.markdown()
    assert not found.new_verdicts


def test_the_whole_campaign_is_measured_by_the_shares_of_each_of_its_runs(book):
    first, second = book.run(holdout="50%"), book.run(holdout="20%", at=NOON + DAY)
    fill(book, first, "treated", 20, 5)
    fill(book, first, "held out", 20, 5)
    fill(book, second, "treated", 40, 5)
    fill(book, second, "held out", 10, 2)
    ratio = report(book.whole(days=20)).sample_ratio
    assert ratio.people == {"treated": 60, "held out": 30}
    assert ratio.expected == {"treated": pytest.approx(60), "held out": pytest.approx(30)}


def test_a_run_that_has_not_begun_has_no_results(book):
    with pytest.raises(NotFoundError):
        results.look(book.desk, which="spring", now=NOON)


# -- through the real engine -----------------------------------------------------------------------

PEOPLE = 400


def send(stage, campaign):
    """Launch a campaign at 400 people who agreed, and send it."""
    for number in range(PEOPLE):
        traits = {"first_name": f"N{number}", "timezone": "UTC", "marketing_consent": True}
        email = f"u{number}@example.com"
        stage.signal("profile.updated", user_id=f"u{number}", email=email, traits=traits)
    now = stage.clock()
    run = launching.launch(stage.desk, launch=Launch(campaign=campaign), by="ann", now=now)
    launching.start(stage.desk, campaign_run_id=run.id, now=now)

    async def all_due():
        while claims := sending.claim_shards(stage.desk, now=stage.clock(), limit=4):
            for claim in claims:
                await sending.send_shard(stage.desk, claim=claim, run_id=None)

    asyncio.run(all_due())
    return run.id


@pytest.mark.parametrize(("lift", "expected"), [(0.0, "no difference seen"), (0.35, "higher")])
def test_a_planted_effect_is_found_and_none_is_not(tmp_path, lift, expected):
    campaign = from_definition(
        {
            **DEFINITION,
            "holdout": "50%",
            "experiment": {"measure": {**MEASURE, "horizon": 150}},
            "promotion": {
                "id": "S", "code": "LARK15", "ends": "2027-05-31 23:59", "zone": "UTC",
                "facts": {"percent": 15},
            },
        }
    )  # fmt: skip
    with Stage(folder=tmp_path) as stage:
        run_id = send(stage, campaign)
        reached = {one.to for one in stage.sent}
        stage.run_for(hours=2)
        bought = 0
        seen = (
            Counter()
        )  # who is on which side is drawn anew each time, so luck must not decide who buys
        for number in range(PEOPLE):
            treated = f"u{number}@example.com" in reached
            rate = Fraction(1, 5) + (lift if treated else 0)
            seen[treated] += 1
            if seen[treated] * rate // 1 > (seen[treated] - 1) * rate // 1:
                bought += 1
                stage.signal(
                    "order.placed", user_id=f"u{number}", order_id=f"o{number}", total="20.00"
                )
        stage.run_for(days=8)
        found = results.look(stage.desk, which=run_id, now=stage.clock())
        ghosts = PEOPLE - len(reached)
        assert {name: side[0] for name, side in sides(found).items()} == {
            "treated": len(reached), "held out": ghosts,
        }  # fmt: skip
        assert sum(side[1] for side in sides(found).values()) == bought
        assert says(found) == {"treated": expected}
        assert report(found).sample_ratio.alarm is False
