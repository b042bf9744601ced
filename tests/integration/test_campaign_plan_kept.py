"""What a plan promises is what happens, person by person, when nothing changes in between."""

import random
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from signalpost.domain.gate import Policy
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.migrate import whole_metadata
from tests.integration.plan_harness import NOW, Shop, open_stage

ZONES = ("Europe/London", "America/New_York", "Asia/Tokyo", "Australia/Adelaide", None, "No/Where")
LOCALES = ("en-GB", "fr-FR", "zh-Hant-TW", None)


@pytest.fixture
def shop(tmp_path, database_url):
    with open_stage(
        tmp_path, database_url=database_url, start=NOW, policy=Policy(holdout=0.1)
    ) as stage:
        yield Shop(stage)


def a_crowd(number: int, *, seed: int) -> list[dict]:
    """Make people of every kind: no address, no consent, blocked, at the cap, anywhere on earth."""
    dice = random.Random(seed)
    crowd = []
    for _ in range(number):
        area = dice.choice(("+1206", "+1212", "+4420", "+8190", "+99999"))
        crowd.append(
            {
                "zone": dice.choice(ZONES),
                "locale": dice.choice(LOCALES),
                "email": dice.random() < 0.85,
                "phone": f"{area}{dice.randrange(10**7):07d}" if dice.random() < 0.6 else None,
                "in_app": dice.random() < 0.5,
                "verified": dice.random() < 0.95,
                "consent": [c for c in ("email", "sms", "in_app") if dice.random() < 0.85],
                "said": dice.choice(("granted",) * 9 + ("denied",)),
                "blocked": "stop" if dice.random() < 0.05 else None,
                "had": [NOW - timedelta(hours=5), NOW - timedelta(hours=3)]
                if dice.random() < 0.1
                else [],
                "attributes": {
                    "preferred_channel": dice.choice(("sms", "email", "in_app")),
                    **({"percent": 20} if dice.random() < 0.9 else {}),
                    "first_name": dice.choice(("Ann", "Böö", "李", "x" * 60)),
                },
            }
        )
    for one in crowd:
        if not one["email"]:
            one["blocked"], one["had"] = None, []
    return crowd


CAMPAIGNS = {
    "email to everyone": {},
    "an experiment with a control": {
        "message": "early_bird",
        "facts": None,
        "holdout": "10%",
        "experiment": {
            "arms": [
                {"name": "early", "share": "40%"},
                {"name": "control", "share": "60%", "control": True},
            ]
        },
    },
    "the preferred of three, in the small hours": {
        "message": "early_bird",
        "facts": None,
        "channels": {"first": ["sms", "email", "in_app"], "preferred": True},
        "expires": "9h",
    },
    "every one of three": {
        "message": "early_bird",
        "facts": None,
        "channels": {"every": ["sms", "email", "in_app"]},
    },
    "a fact of each person's own": {"facts": {"percent": {"attribute": "percent"}}},
    "a cap of its own": {"caps": ["3 per 1d"]},
}


def outcomes(counts) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for (outcome, _, reason), people in counts.items():
        key = (outcome if outcome in ("sent", "held_out") else "left out", reason)
        found[key] = found.get(key, 0) + people
    return found


def promised(plan) -> dict[tuple[str, str], int]:
    found = {("sent", "allowed"): plan.reached} if plan.reached else {}
    found |= {("held_out", kind): people for kind, people in plan.held_out.items()}
    return found | {("left out", one["reason"]): one["people"] for one in plan.excluded}


TEN, FIVE = datetime.fromisoformat("2026-03-03T10:00"), datetime.fromisoformat("2026-03-03T05:00")
MOMENTS = {
    "now": (NOW, {}),
    "at night": (NOW + timedelta(hours=14), {}),  # 23:00 in London
    "ten everywhere": (NOW, {"local_at": TEN}),
    "five everywhere": (NOW, {"local_at": FIVE}),  # each in their own night
}


@pytest.mark.parametrize(
    ("what", "when"),
    [
        ("email to everyone", "now"),
        ("email to everyone", "at night"),
        ("email to everyone", "ten everywhere"),
        ("an experiment with a control", "now"),
        ("an experiment with a control", "five everywhere"),
        ("the preferred of three, in the small hours", "at night"),
        ("the preferred of three, in the small hours", "five everywhere"),
        ("every one of three", "at night"),
        ("a fact of each person's own", "now"),
        ("a cap of its own", "ten everywhere"),
    ],
)
def test_what_was_promised_is_what_is_sent(shop, what, when):
    said, (start, launch) = CAMPAIGNS[what], MOMENTS[when]
    shop.customers(a_crowd(60, seed=4))
    shop.stage.clock.now = start
    campaign = shop.campaign(**said)
    plan = shop.plan(campaign, **launch)
    assert plan.refusals == []
    sent = shop.send(campaign, **launch)
    assert promised(plan) == outcomes(sent)
    by_channel: dict[str, int] = {}
    for one in shop.stage.sent:
        by_channel[one.channel] = by_channel.get(one.channel, 0) + 1
    assert dict(plan.channels) == by_channel
    assert len(promised(plan)) >= 4, "the crowd is to be of many kinds"


def test_what_is_promised_for_each_hour_is_what_goes_in_it(shop):
    shop.customers(a_crowd(50, seed=7))
    shop.stage.clock.now = NOW - timedelta(hours=2)  # 07:00 in London
    campaign = shop.campaign(message="early_bird", facts=None, channels={"first": ["sms", "email"]})
    plan = shop.plan(campaign)
    shop.send(campaign)
    hours: dict[str, int] = {}
    for one in shop.stage.sent:
        hour = one.at.replace(minute=0, second=0, microsecond=0).isoformat()
        hours[hour] = hours.get(hour, 0) + 1
    assert {row["hour"]: sum(row["channels"].values()) for row in plan.hours} == hours
    assert len(hours) > 2


def test_a_notice_that_may_come_at_any_hour_keeps_to_each_persons_own_clock(shop):
    """The gate need not know where somebody is, and the wall clock still does."""
    shop.customers([{"zone": "Asia/Tokyo"}, {"zone": "America/New_York"}, {"zone": None}])
    campaign = shop.campaign(
        message="service_notice", promotion=None, topic="service", purpose="transactional",
        facts={"what": "deliveries", "since": "2026-03-02T07:00:00Z", "reference": "S-204"},
    )  # fmt: skip
    plan = shop.plan(campaign, local_at=TEN)
    shop.send(campaign, local_at=TEN)
    there = ["2026-03-03T01:00:00+00:00", "2026-03-03T10:00:00+00:00", "2026-03-03T15:00:00+00:00"]
    assert [one["at"] for one in plan.waves] == there, plan.excluded
    assert [one.at.isoformat() for one in shop.stage.sent] == there


def test_the_people_of_the_examples_are_those_that_are_left_out_for_it(shop):
    ids = shop.customers(a_crowd(100, seed=9))
    campaign = shop.campaign()
    plan = shop.plan(campaign)
    shop.send(campaign)
    with shop.stage.database.reading() as session:
        decided = {one.customer_id: one for one in session.scalars(select(CampaignPerson))}
    assert set(decided) == set(ids)
    for one in plan.excluded:
        assert one["examples"]
        for customer in one["examples"]:
            assert decided[customer].reason == one["reason"]


def test_a_plan_changes_nothing(shop):
    shop.customers(a_crowd(50, seed=1))
    campaign = shop.campaign()
    before = _everything(shop)
    shop.plan(campaign)
    assert _everything(shop) == before


def _everything(shop) -> dict[str, list]:
    with shop.stage.database.reading() as session:
        return {
            table.name: sorted(map(repr, session.execute(select(table))))
            for table in whole_metadata().sorted_tables
        }
