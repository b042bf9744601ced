"""One promotion on every channel: redeemed or ended, the rest of it stops (R-40, SC-08)."""

from datetime import timedelta

import pytest
from sqlmodel import select

from signalpost.record import inbox
from signalpost.record.customers import Customer
from signalpost.record.messages import InAppItem
from signalpost.testing import Stage
from tests.integration.campaign_engine import campaign, go, outcomes

BOTH = {"every": ["email", "in_app"]}


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=(), database_url=database_url) as opened:
        yield opened


def customer(stage, name):
    stage.signal(
        "profile.updated",
        user_id=name,
        email=f"{name}@example.com",
        traits={"first_name": name.title(), "timezone": "UTC", "marketing_consent": True},
    )


def in_inboxes(stage):
    with stage.database.reading() as session:
        rows = session.scalars(select(InAppItem)).all()
        return sum(row.withdrawn_at is None for row in rows)


@pytest.mark.parametrize(
    ("event", "facts"),
    [
        ("promotion.redeemed", {"promotion_id": "SPRING-26"}),
        ("promotion.redeemed", {"code": "LARK15"}),
        ("promotion.redeemed", {"code": " lark15 "}),
        ("order.placed", {"order_id": "7", "total": "20", "currency": "GBP", "coupon": "LARK15"}),
    ],
)
def test_whoever_redeems_it_finds_it_gone_from_the_inbox_and_nobody_else_does(stage, event, facts):
    for name in ("ann", "bob"):
        customer(stage, name)
    go(stage, campaign(channels=BOTH))
    assert in_inboxes(stage) == 2
    stage.signal(event, user_id="ann", **facts)
    assert in_inboxes(stage) == 1


def test_another_code_takes_nothing_away(stage):
    customer(stage, "ann")
    go(stage, campaign(channels=BOTH))
    stage.signal("promotion.redeemed", user_id="ann", code="OTHER")
    stage.signal("order.placed", user_id="ann", order_id="7", total="20", currency="GBP")
    assert in_inboxes(stage) == 1


@pytest.mark.parametrize("code", ["LARK15", "lark15", " Lark15 "])
def test_whoever_redeemed_it_before_their_turn_is_not_sent_it(stage, code):
    """A till minds no case: who typed it in small letters has had it all the same."""
    for name in ("ann", "bob"):
        customer(stage, name)
    stage.signal(
        "order.placed", user_id="ann", order_id="7", total="20", currency="GBP", coupon=code
    )
    run = go(stage, campaign())
    assert [one.to for one in stage.sent] == ["bob@example.com"]
    assert outcomes(stage, run)["skipped", "", "already_redeemed"] == 1


def test_when_it_has_ended_nobody_is_sent_it_and_no_inbox_shows_it(stage):
    customer(stage, "ann")
    ends = stage.clock.now + timedelta(hours=2)
    offer = {
        "id": "FLASH", "code": "FLASH5", "ends": f"{ends:%Y-%m-%d %H:%M}", "zone": "UTC",
        "facts": {"percent": 5},
    }  # fmt: skip
    go(stage, campaign(channels=BOTH, promotion=offer))
    with stage.database.reading() as session:
        [root] = session.scalars(select(Customer.root_id)).all()
        now = stage.clock.now
        assert sum(inbox.unread(session, roots=[root], now=now).values()) == 1
        later = now + timedelta(hours=3)
        assert sum(inbox.unread(session, roots=[root], now=later).values()) == 0
