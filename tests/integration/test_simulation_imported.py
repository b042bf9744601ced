"""A history that was imported, in a period that is played again."""

from datetime import timedelta

import pytest

from signalpost.domain.journey import Journey, SetAttribute, compile_journey
from signalpost.domain.vocabulary import Lane
from signalpost.record import customers
from signalpost.simulation import Cast, played, went
from tests.integration.simulation_harness import OFFER, Life, campaign, moment

SINCE, UNTIL = moment("04 00:00"), moment("14 00:00")
REGULARS = campaign(
    "regulars",
    message="purchase_offer",
    channels={"every": ["email"]},
    audience={"known_for": {"at_least": "90d"}},
)
CAMPAIGNS = {"regulars": REGULARS}


@pytest.fixture
def life(tmp_path, database_url):
    with Life(
        folder=tmp_path, journeys=(OFFER,), campaigns=CAMPAIGNS, database_url=database_url
    ) as opened:
        yield opened


def days(number):
    """So many days before the period."""
    return SINCE - timedelta(days=number)


def history(life, number, *orders, **more):
    """Import somebody: who they are, as of their first order, and their orders, the newest first."""
    life.signal(
        "profile.updated",
        user_id=f"u{number}",
        email=f"u{number}@example.com",
        at=min(orders),
        traits={"timezone": "UTC", "marketing_consent": True, **more},
    )
    for place, at in enumerate(orders):
        order = f"P-{number}-{place}"
        life.signal(
            "order.placed", user_id=f"u{number}", order_id=order, at=at,
            total={"amount": "10", "currency": "USD"},
        )  # fmt: skip


def ids(life, *numbers):
    keys = [("user_id", f"u{number}") for number in numbers]
    with life.database.reading() as session:
        return set(customers.led_to(session, keys).values())


def same(found, real):
    assert sorted(found.sendings) == sorted(real.sendings)
    assert sorted(found.decided, key=str) == sorted(real.decided, key=str)


def test_what_was_imported_within_a_period_counts_from_when_it_was_told(life):
    """Twice the same campaign: the first time nobody had told the past of those who get the second."""
    life.to("02 09:00")
    for number in range(6):
        life.customer(number)
    history(life, 6, days(200), days(150))
    life.to("04 10:00")
    life.go(REGULARS)
    life.to("05 09:00")
    for number in (1, 2, 7):
        history(life, number, days(200), days(150))
    life.to("06 10:00")
    life.go(REGULARS)
    life.to("14 10:00")
    cast = Cast(campaigns={"regulars": REGULARS})
    real = went(life.desk, cast=cast, since=SINCE, until=UNTIL)
    first = {one.customer_id for one in real.sendings if one.at < moment("05 00:00")}
    second = {one.customer_id for one in real.decided if one.at >= moment("05 00:00")}
    assert (first, second) == (ids(life, 6), ids(life, 1, 2, 6, 7))
    for processes in (1, 2):
        found = played(life.desk, cast=cast, since=SINCE, until=UNTIL, processes=processes)
        same(found.outcome, real)


def test_what_a_played_journey_set_stays_when_a_past_is_told(life):
    """The journey is a changed one: the record knows nothing of what it sets."""
    gold = campaign("gold", channels={"every": ["email"]}, audience={"attribute": "tier", "is": "gold"},
                    schedule={"at": "2026-03-06 10:00", "zone": "UTC"})  # fmt: skip
    marking = Journey(
        name="offer",
        lane=Lane.SERVICE,
        starts_on="order.placed",
        key="order_id",
        steps=[SetAttribute(name="tier", value="gold")],
    )
    life.to("02 09:00")
    life.customer(1)
    life.to("04 10:00")
    life.signal("order.placed", user_id="u1", order_id="P-1")
    life.to("05 09:00")
    history(life, 1, days(200))
    life.to("14 10:00")
    cast = Cast(
        campaigns={"gold": gold}, launched={"gold"}, programs={"offer": compile_journey(marking)}
    )
    found = played(life.desk, cast=cast, since=SINCE, until=UNTIL)
    assert [(one.cause, one.customer_id) for one in found.outcome.sendings] == [
        ("gold", *ids(life, 1))
    ]
