"""The plan of a launch: who would get what, who would not and why, when, and what stands in the way."""

import dataclasses
import json
import re
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from signalpost.domain.designs import detectable_lift
from signalpost.record.base import new_id
from signalpost.record.events import Event
from signalpost.services.campaigns.plan import Plan
from tests.integration.plan_harness import NOW, OFFER, Shop, open_stage


@pytest.fixture
def shop(tmp_path, database_url):
    with open_stage(tmp_path, database_url=database_url, start=NOW) as stage:
        yield Shop(stage)


@pytest.fixture
def one_shop(tmp_path):
    """On SQLite only: for what does not depend on the database."""
    with open_stage(tmp_path, start=NOW) as stage:
        yield Shop(stage)


def excluded(plan: Plan) -> dict[str, int]:
    return {one["reason"]: one["people"] for one in plan.excluded}


# -- who -------------------------------------------------------------------------------------------


def test_every_reason_has_its_count_and_its_examples_by_id(shop):
    kinds = {
        "no_contact_point": {"email": False},
        "unverified_contact_point": {"verified": False},
        "suppressed_stop": {"blocked": "stop"},
        "no_consent": {"consent": ()},
        "consent_denied": {"said": "denied"},
        "frequency_cap": {"had": [NOW - timedelta(hours=2)] * 2},
    }
    ids = {
        reason: shop.customers([kind] * (number + 4))
        for number, (reason, kind) in enumerate(kinds.items())
    }
    shop.customers([{}] * 3)
    plan = shop.plan(shop.campaign())
    assert plan.reached == 3
    assert excluded(plan) == {reason: len(some) for reason, some in ids.items()}
    for one in plan.excluded:
        assert len(one["examples"]) == min(5, one["people"])
        assert set(one["examples"]) <= set(ids[one["reason"]])
    assert plan.people == plan.reached + sum(excluded(plan).values())


def test_reach_is_told_by_channel_locale_and_zone(shop):
    shop.customers([{"zone": "Asia/Tokyo", "locale": "ja-JP"}] * 3)
    shop.customers([{"zone": None, "locale": None, "phone": "+442079460100"}] * 2)
    campaign = shop.campaign(
        message="early_bird", facts=None, channels={"every": ["email", "sms"]}, pace={"sms": "1/s"}
    )
    plan = shop.plan(campaign, now=NOW.replace(hour=9))
    assert plan.channels == {"email": 5, "sms": 2}
    assert plan.locales == {"en": 5}
    assert plan.zones == {"Asia/Tokyo": 3, "Europe/London": 2}
    assert plan.zone_sources == {"customer": 3, "phone": 2}
    assert any("ja-JP 3 would read it in another" in one for one in plan.warnings)


def test_a_control_and_a_holdout_are_counted_apart_and_get_nothing(one_shop):
    one_shop.customers([{}] * 200)
    arms = [
        {"name": "offer", "share": "50%"},
        {"name": "early", "share": "25%", "message": "early_bird"},
        {"name": "control", "share": "25%", "control": True},
    ]
    plan = one_shop.plan(one_shop.campaign(holdout="10%", experiment={"arms": arms}))
    assert set(plan.held_out) == {"campaign", "control"}
    assert set(plan.arms) == {"offer", "early"}
    assert sum(plan.arms.values()) == plan.reached == plan.channels["email"]
    assert plan.reached + sum(plan.held_out.values()) == 200
    assert set(plan.messages) == {"purchase_offer", "early_bird"}


def test_a_plan_says_which_lift_its_sides_could_tell_from_chance(shop):
    """By how many of these people did lately what is measured: a holdout too small is seen before."""
    known = [{"id": f"00000000-0000-7000-8000-{n:012d}"} for n in range(300)]
    ids = shop.customers(known)
    buy(shop, ids[:60], at=NOW - timedelta(days=1))
    buy(shop, ids[:30], at=NOW - timedelta(days=2))  # twice, and one person all the same
    buy(shop, ids[100:], at=NOW - timedelta(days=8))  # longer ago than the campaign waits
    half = shop.plan(shop.campaign(holdout="50%"))
    control, treated = half.held_out["campaign"], half.reached
    lift = detectable_lift(base_rate=0.2, control=control, treated=treated)
    assert half.tells == (
        f"At best, this run can tell a lift of {lift:.0%} or more from chance: {treated} people beside "
        f"{control}, and 20.0% of them did order.placed in the last 7 days."
    )
    assert half.tells in half.markdown()
    arms = [
        {"name": name, "share": share} for name, share in (("a", "40%"), ("b", "30%"), ("c", "30%"))
    ]
    three = shop.plan(shop.campaign(experiment={"arms": arms}))
    fewest = min(three.arms["b"], three.arms["c"])
    assert f"{fewest} people beside {three.arms['a']}," in three.tells
    few = shop.plan(shop.campaign(holdout="50%"), sample_of=20)
    assert few.tells == "", "too few of them to know how many buy"
    assert "can tell no lift at all" in shop.plan(shop.campaign(holdout="1%")).tells
    assert shop.plan(shop.campaign()).tells == "", "nobody to compare with"
    measure = {"event": "order.picked_up", "within": "7d"}
    other = shop.campaign(holdout="50%", experiment={"measure": measure})
    assert shop.plan(other).tells == "", "nobody on the record did it"


def buy(shop, who, *, at):
    with shop.stage.database.writing() as session:
        rows = [
            Event(
                message_id=new_id(), body_hash="", name="order.placed", customer_id=one,
                source="shop", status="accepted", facts={}, occurred_at=at, received_at=at,
            )
            for one in who
        ]  # fmt: skip
        session.add_all(rows)


def test_a_test_on_a_few_people_plans_for_those_few(shop):
    shop.customers([{}] * 30)
    plan = shop.plan(shop.campaign(), sample_of=7)
    assert (plan.people, plan.reached) == (7, 7)
    assert "test on at most 7" in plan.markdown()


def test_a_large_audience_is_judged_by_a_sample_and_says_how_sure_it_is(shop):
    everybody = [{"id": f"00000000-0000-7000-8000-{n:012d}"} for n in range(2_400)]
    shop.customers([one if n % 4 else {**one, "consent": ()} for n, one in enumerate(everybody)])
    campaign = shop.campaign()
    plan = shop.plan(campaign, judged=100)
    assert (plan.people, plan.judged, plan.exact) == (2_400, 100, False)
    assert abs(plan.reached - 1_800) <= plan.margin(plan.reached) <= 220
    assert re.match(r"about [\d,]+ ± \d+$", plan.about(plan.reached))
    assert plan.reached + sum(excluded(plan).values()) == 2_400
    assert "Judged by a sample of 100" in plan.markdown()
    assert shop.plan(campaign, judged=100).reached == plan.reached, (
        "the same people are asked every time"
    )
    whole = shop.plan(campaign, exact=True)
    assert (whole.judged, whole.reached, whole.margin(1_800)) == (2_400, 1_800, 0)
    assert whole.about(1_800) == "1,800"


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        (None, "From this run alone it will not be known"),
        ({"at": "2026-03-05 10:00"}, "Nobody else comes in, so it will never be known"),
        ({"cron": "0 10 * * *"}, "It takes at least 10 such runs"),
    ],
)
def test_an_experiment_that_cannot_come_to_its_end_is_told_before_it_goes(one_shop, schedule, says):
    one_shop.customers([{"id": f"00000000-0000-7000-8000-{n:012d}"} for n in range(100)])
    measured = {"measure": {"horizon": 100}}
    said = {"holdout": "10%", "experiment": measured, "schedule": schedule}
    plan = one_shop.plan(one_shop.campaign(**said))
    [warned] = [one for one in plan.warnings if "horizon" in one]
    silent = plan.held_out["campaign"]
    assert f"the smallest side gets {silent} people, and its horizon is 100" in warned
    assert says.replace("10", str(-(-100 // silent))) in warned
    fair = one_shop.campaign(**{**said, "experiment": {"measure": {"horizon": silent}}})
    free = one_shop.campaign(**{**said, "experiment": {"measure": {"sequential": True}}})
    for other in (fair, free):
        assert not any("horizon" in one for one in one_shop.plan(other).warnings)
    assert not any(
        "horizon" in one for one in one_shop.plan(one_shop.campaign(**said), sample_of=5).warnings
    )


def test_an_experiment_that_teaches_nothing_is_told_to_whoever_approves_it(one_shop):
    one_shop.customers([{}] * 3)
    arms = [{"name": "a", "share": "50%"}, {"name": "b", "share": "50%"}]
    odd = one_shop.campaign(experiment={"arms": arms, "measure": {"alpha": "50%"}})
    said = [one for one in one_shop.plan(odd).warnings if one.startswith("The experiment")]
    assert ["both send" in said[0], "alpha" in said[1]] == [True, True]


# -- text messages ---------------------------------------------------------------------------------


def test_text_messages_are_counted_by_segment_and_priced_by_country(one_shop):
    one_shop.customers([{"phone": "+12065550100"}] * 4 + [{"phone": "+442079460100"}] * 2)
    one_shop.customers([{"phone": "+12065550101", "attributes": {"first_name": "Ève ☀"}}])
    campaign = one_shop.campaign(message="early_bird", facts=None, channels={"first": ["sms"]})
    at = NOW + timedelta(hours=9)
    prices = {"GB": Decimal("0.04"), "default": Decimal("0.01")}
    plan = one_shop.plan(campaign, now=at, prices=prices)
    [texts] = plan.texts
    assert (texts["people"], texts["rendered"], texts["encoding"]) == (7, 7, "GSM-7 and UCS-2")
    assert plan.segments > 7 * 2
    each = Decimal(str(texts["each"]))
    about = each * (5 * prices["default"] + 2 * prices["GB"])
    assert abs(Decimal(plan.cost or 0) - about) <= Decimal("0.02")
    unpriced = one_shop.plan(campaign, now=at)
    assert unpriced.cost is None
    assert "no price is set, so no cost is shown" in unpriced.markdown()


def test_a_plan_says_which_segments_no_price_is_set_for(one_shop):
    one_shop.customers([{"phone": "+12065550100"}] * 4 + [{"phone": "+442079460100"}])
    campaign = one_shop.campaign(message="early_bird", facts=None, channels={"first": ["sms"]})
    at, prices = NOW + timedelta(hours=9), {"GB": Decimal("0.04")}
    plan = one_shop.plan(campaign, now=at, prices=prices)
    each = plan.segments // 5
    assert plan.cost == str(each * prices["GB"])
    assert f"without {4 * each} segments to countries that have no price" in plan.markdown()


# -- when ------------------------------------------------------------------------------------------


def test_each_zone_is_a_wave_of_its_own_and_summer_time_is_kept(one_shop):
    """Ten o'clock on 29 March 2026: London has changed to summer time that night, New York before."""
    one_shop.customers([{"zone": "Europe/London"}] * 3 + [{"zone": "America/New_York"}] * 2)
    plan = one_shop.plan(
        one_shop.campaign(promotion={**OFFER, "ends": "2026-05-01T00:00:00+00:00"}),
        local_at=datetime.fromisoformat("2026-03-29T10:00"),
    )
    assert plan.waves == [
        {"at": "2026-03-29T09:00:00+00:00", "messages": 3, "zones": ["Europe/London"]},
        {"at": "2026-03-29T14:00:00+00:00", "messages": 2, "zones": ["America/New_York"]},
    ]
    assert "in each person's own zone" in plan.markdown()


def test_zones_that_skip_the_hour_of_a_launch_are_named(one_shop):
    one_shop.customers([{"zone": "Europe/London"}] * 3 + [{"zone": "America/New_York"}] * 2)
    campaign = one_shop.campaign(promotion={**OFFER, "ends": "2026-05-01T00:00:00+00:00"})
    skipped = one_shop.plan(campaign, local_at=datetime.fromisoformat("2026-03-29T01:30"))
    [told] = [one for one in skipped.warnings if "does not exist" in one]
    assert told.startswith("2026-03-29 01:30 does not exist in Europe/London: the clocks change")
    assert "People there are written to at 02:30" in told
    usual = one_shop.plan(campaign, local_at=datetime.fromisoformat("2026-03-29T10:00"))
    assert not [one for one in usual.warnings if "does not exist" in one]


def test_a_slow_pace_says_who_waits_for_the_morning_and_when_the_last_one_goes(one_shop):
    one_shop.customers([{"zone": "UTC"}] * 200)
    at = NOW.replace(hour=20)
    plan = one_shop.plan(one_shop.campaign(pace={"email": "100/h"}), now=at)
    assert [(row["hour"][8:13], row["channels"]["email"]) for row in plan.hours] == [
        ("02T20", 100),
        ("03T08", 100),
    ]
    assert plan.delayed == {"email": 100}
    assert plan.last_at == "2026-03-03T09:00:00+00:00"


def test_what_expires_before_its_turn_is_said(one_shop):
    one_shop.customers([{"zone": "UTC"}] * 200)
    plan = one_shop.plan(one_shop.campaign(pace={"email": "50/h"}, expires="2h"))
    assert plan.expired == {"email": 100}
    assert any("expire before their turn" in one for one in plan.warnings)


def test_an_offer_that_ends_before_the_last_zone_wakes_is_warned_of(one_shop):
    one_shop.customers([{"zone": "Asia/Tokyo"}] * 3 + [{"zone": "America/Los_Angeles"}] * 2)
    campaign = one_shop.campaign(promotion={**OFFER, "ends": "2026-03-03T12:00:00+00:00"})
    plan = one_shop.plan(campaign, local_at=datetime.fromisoformat("2026-03-03T10:00"))
    assert plan.reached == 3
    assert excluded(plan) == {"expired": 2}
    assert any("ends at 2026-03-03 12:00 UTC, before the last" in one for one in plan.warnings)


# -- what stands in the way ------------------------------------------------------------------------


def test_an_audience_of_nobody_is_refused(shop):
    shop.customers([{}] * 3)
    campaign = shop.campaign(audience={"attribute": "tier", "is": "gold"})
    plan = shop.plan(campaign)
    assert plan.people == 0
    assert [one for one in plan.refusals if one.startswith("Nobody is in the audience")]
    assert "cannot be launched" in plan.markdown()
    assert [(one["words"], one["remaining"]) for one in plan.narrowing] == [
        ("everybody on record", 3),
        ("tier is gold", 0),
    ]
    assert "| tier is gold | 0 |" in plan.markdown()


@pytest.mark.parametrize(
    ("said", "launch", "refusal"),
    [
        ({"promotion": {**OFFER, "ends": "2026-03-02T08:00:00+00:00"}}, {}, "SPRING-26 ends at"),
        ({}, {"scheduled_at": NOW - timedelta(days=1)}, "is over; give a time"),
        (
            {},
            {"local_at": datetime.fromisoformat("2026-03-01T10:00")},
            "is over; give a time",
        ),
        ({"facts": None, "asks": ["percent"]}, {}, "Give these facts with the launch: percent"),
        ({}, {"stage": "update"}, "has no stage 'update'"),
    ],
)
def test_what_cannot_go_is_refused_with_a_sentence(one_shop, said, launch, refusal):
    one_shop.customer()
    plan = one_shop.plan(one_shop.campaign(**said), **launch)
    assert any(refusal in one for one in plan.refusals), plan.refusals
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_launch_a_little_late_goes_and_asked_facts_that_are_given_are_enough(one_shop):
    one_shop.customer()
    campaign = one_shop.campaign(facts=None, asks=["percent"])
    plan = one_shop.plan(campaign, scheduled_at=NOW - timedelta(minutes=20), facts={"percent": 10})
    assert plan.refusals == []
    assert plan.reached == 1


def test_a_pace_of_zero_and_an_unknown_message_are_refused(one_shop):
    one_shop.customer()
    good = one_shop.campaign()
    plan = one_shop.plan(dataclasses.replace(good, pace={"email": 0.0}))
    assert any("The pace of email is 0 a second" in one for one in plan.refusals)
    plan = one_shop.plan(dataclasses.replace(good, message="nothing"))
    assert plan.judged == 0
    assert any("There is no message 'nothing'" in one for one in plan.refusals)


def test_a_message_that_must_show_a_fact_nobody_brings_is_refused(one_shop):
    one_shop.customer()
    good = one_shop.campaign()
    plan = one_shop.plan(dataclasses.replace(good, facts={}))
    assert any("must show percent" in one for one in plan.refusals)
    assert excluded(plan) == {"missing_fact:percent": 1}


SERIES = {
    "name": "incident",
    "message": None,
    "promotion": None,
    "purpose": "transactional",
    "topic": "service",
    "facts": {"reference": "S-204"},
    "asks": ["what", "since", "resolved_at"],
    "stages": [
        {"name": "first", "message": "service_notice", "opens": True},
        {"name": "clear", "message": "service_all_clear", "closes": True},
    ],
}


def test_a_later_stage_goes_to_those_of_the_stage_that_opened_the_series(shop):
    ids = shop.customers([{}] * 6)
    campaign = shop.campaign(**SERIES)
    facts = {"what": "deliveries", "since": "2026-03-02T07:00:00Z"}
    first = shop.plan(campaign, stage="first", series="INC-7", facts=facts)
    assert (first.refusals, first.reached) == ([], 6)
    over = {**facts, "resolved_at": "2026-03-02T08:30:00Z"}
    plan = shop.plan(campaign, stage="clear", series="INC-7", facts=over)
    assert any("launch 'first' first" in one for one in plan.refusals)
    known = {"stage": "first", "series": "INC-7"}
    shop.run(campaign, status="done", people=ids[:4], outcome="sent", **known)
    plan = shop.plan(campaign, stage="clear", series="INC-7", facts=over)
    assert (plan.refusals, plan.people, plan.reached) == ([], 4, 4)
    assert plan.audience == ["Everybody who was sent the stage that opened INC-7."]
    assert list(plan.messages) == ["service_all_clear"]


def test_a_stage_asks_for_what_its_own_message_shows_and_for_its_series(one_shop):
    one_shop.customer()
    campaign = one_shop.campaign(**SERIES)
    plan = one_shop.plan(campaign, stage="first", series="INC-7", facts={"what": "deliveries"})
    assert plan.refusals == ["Give these facts with the launch: since."]
    assert any("has stages; say which" in one for one in one_shop.plan(campaign).refusals)
    plan = one_shop.plan(campaign, stage="first")
    assert any("which series" in one for one in plan.refusals)


def test_another_run_of_the_same_campaign_that_still_goes_on_is_refused(shop):
    ids = shop.customers([{}] * 3)
    campaign = shop.campaign()
    run = shop.run(campaign, status="running", people=ids)
    assert any(
        f"Run {run} of spring is still running" in one for one in shop.plan(campaign).refusals
    )
    assert shop.plan(campaign, leave_out=run).refusals == []
    later = shop.plan(campaign, scheduled_at=NOW + timedelta(days=7))
    assert later.refusals == []


# -- other campaigns -------------------------------------------------------------------------------


def test_two_campaigns_that_together_exceed_the_cap_are_shown_to_collide(shop):
    """One message today already, a cap of two a day: whichever of the two is later finds it used up."""
    busy = shop.customers([{"had": [NOW - timedelta(hours=1)]}] * 4)
    free = shop.customers([{}] * 6)
    gb = {"attribute": "locale", "is": "en-GB"}
    other = shop.campaign(name="other", message="early_bird", facts=None, audience=gb)
    soon = shop.run(other, status="approved", scheduled_at=NOW + timedelta(hours=1))
    campaign = shop.campaign()
    [first] = shop.plan(campaign).collisions
    assert (first["run"], first["campaign"], first["people"]) == (soon, "other", 10)
    assert (first["here"], first["there"]) == (0, 4)
    [later] = shop.plan(campaign, scheduled_at=NOW + timedelta(hours=2)).collisions
    assert (later["here"], later["there"]) == (4, 0)
    assert (
        "4 of them would then be over the cap"
        in shop.plan(campaign, scheduled_at=NOW + timedelta(hours=2)).markdown()
    )
    assert len(busy) + len(free) == 10


def test_a_run_that_has_begun_collides_by_those_it_has_yet_to_decide_on(shop):
    ids = shop.customers([{"had": [NOW - timedelta(hours=1)]}] * 5)
    other = shop.campaign(name="other", message="early_bird", facts=None)
    run = shop.run(other, status="running", people=ids[:2])
    done = shop.campaign(name="done")
    shop.run(done, status="done", people=ids)
    [found] = shop.plan(shop.campaign()).collisions
    assert (found["run"], found["people"], found["here"]) == (run, 2, 2)


def test_a_campaign_with_a_cap_of_its_own_or_no_marketing_does_not_collide(one_shop):
    one_shop.customers([{}] * 3)
    early = one_shop.campaign(name="other", message="early_bird", facts=None)
    one_shop.run(early, status="approved")
    [found] = one_shop.plan(one_shop.campaign()).collisions
    assert (found["here"], found["there"]) == (0, 0)
    assert "no cap is exceeded" in one_shop.plan(one_shop.campaign()).markdown()
    series = one_shop.campaign(**SERIES)
    assert one_shop.plan(series, stage="first", series="INC-1").collisions == []


def test_a_run_that_this_version_cannot_read_is_named_and_stops_nothing(one_shop):
    one_shop.customers([{}] * 3)
    old = dataclasses.replace(
        one_shop.campaign(name="old"), definition={"name": "old", "of": "yore"}
    )
    run = one_shop.run(old, status="approved")
    plan = one_shop.plan(one_shop.campaign())
    assert plan.collisions == []
    assert any(run in one and "cannot be read" in one for one in plan.warnings)


# -- what changed, and what was seen ---------------------------------------------------------------


def test_what_changed_since_the_last_launch_is_said_in_sentences(shop):
    shop.customers([{}] * 3)
    first = shop.campaign(holdout="10%")
    assert shop.plan(first).changes == ["This is its first launch."]
    plan = shop.plan(first)
    shop.run(first, status="done", plan=plan.to_json())
    assert shop.plan(first).changes == ["Nothing changed since its last launch."]
    second = shop.campaign(
        holdout="20%",
        audience={"all": [{"everyone": True}, {"attribute": "tier", "is": "gold"}]},
        channels={"first": ["email", "in_app"]},
        facts={"percent": 25},
        expires="2d",
    )
    assert shop.plan(second).changes == [
        "The audience now says: tier is gold.",
        "The channels changed from email to the first of email, in_app.",
        "The expiry is new: 2d.",
        "The facts (percent) changed from 15 to 25.",
        "The holdout changed from 10% to 20%.",
    ]


def test_new_words_of_a_message_are_a_change(one_shop):
    one_shop.customers([{}] * 3)
    campaign = one_shop.campaign()
    old = {**one_shop.plan(campaign).to_json(), "messages": {"purchase_offer": "before"}}
    one_shop.run(campaign, status="done", plan=old)
    assert one_shop.plan(campaign).changes == ["The words of message 'purchase_offer' changed."]


def test_the_digest_stays_when_a_few_people_come_and_changes_with_what_is_approved(one_shop):
    one_shop.customers([{}] * 100)
    campaign = one_shop.campaign()
    seen = one_shop.plan(campaign).digest
    one_shop.customers([{}] * 3)
    assert one_shop.plan(campaign, now=NOW + timedelta(minutes=5)).digest == seen
    others = {
        one_shop.plan(one_shop.campaign(holdout="10%")).digest,
        one_shop.plan(campaign, scheduled_at=NOW + timedelta(days=1)).digest,
        one_shop.plan(campaign, sample_of=10).digest,
        one_shop.plan(campaign, facts={"percent": 5}).digest,
    }
    one_shop.customers([{}] * 100)
    others.add(one_shop.plan(campaign).digest)
    assert len(others) == 5
    assert seen not in others


def test_the_page_holds_no_address_and_comes_back_from_the_record_as_it_was(one_shop):
    one_shop.customers(
        [{"phone": "+12065550100", "attributes": {"first_name": "Ludmilla"}}] * 3
        + [{"email": False}]
    )
    campaign = one_shop.campaign(
        message="early_bird", facts=None, channels={"every": ["email", "sms"]},
        description="A <b>look</b> | at\n\n# spring",
    )  # fmt: skip
    plan = one_shop.plan(campaign, now=NOW + timedelta(hours=9))
    kept = json.dumps(plan.to_json())
    for text in (plan.markdown(), kept):
        assert "@" not in text
        assert "+1206" not in text
        assert "Ludmilla" not in text
    assert Plan.from_json(json.loads(kept)) == plan
    assert Plan.from_json(json.loads(kept)).markdown() == plan.markdown()
    assert "\n# spring\n" not in plan.markdown().removeprefix("# spring\n")
    assert plan.consistency[0]["problems"] == []
