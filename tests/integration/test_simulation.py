"""A recorded period played again: the same messages to the same people at the same time, and why."""

import pytest

from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass
from signalpost.simulation import Cast, played, went
from tests.integration.simulation_harness import JOURNEYS, Life, campaign, moment

SINCE, UNTIL = moment("04 00:00"), moment("14 00:00")
EARLIER = campaign("earlier", message="purchase_offer")
SPRING = campaign(
    holdout="20%",
    caps=["2 per 7d"],
    experiment={
        "arms": [
            {"name": "a", "share": "50%", "message": "spring_promotion"},
            {"name": "b", "share": "30%", "message": "purchase_offer"},
            {"name": "none", "share": "20%", "control": True},
        ]
    },
)
SECOND = campaign(
    "second",
    message="win_back",
    channels={"first": ["sms", "email"], "preferred": True},
    promotion={
        "id": "BACK", "code": "BACK15", "ends": "2027-05-31 23:59", "zone": "UTC",
    },
    facts={"percent": {"attribute": "percent"}},
    expires="3d",
    caps=["1 per 2d"],
)  # fmt: skip
CAMPAIGNS = {one.name: one for one in (EARLIER, SPRING, SECOND)}
EVERYTHING = Cast(campaigns=CAMPAIGNS)
ZONES = ("UTC", "America/New_York", "Asia/Tokyo", "Pacific/Auckland", "Europe/Berlin")


@pytest.fixture
def life(tmp_path, database_url):
    with Life(
        folder=tmp_path, journeys=JOURNEYS, campaigns=CAMPAIGNS, database_url=database_url
    ) as opened:
        yield opened


def refuses_some(outgoing):
    """A provider that knows u7 no longer, and that cannot take u8 just now."""
    if outgoing.address == "u7@example.com":
        return answer(outgoing, DeliveryStatus.REJECTED, FaultClass.PERMANENT, "550")
    if outgoing.address == "+12065550008" and not refuses_some.busy:
        refuses_some.busy.append(1)
        return answer(outgoing, DeliveryStatus.RETRY, FaultClass.TRANSIENT, "429")
    return None


def answer(outgoing, status, fault, code):
    return Handover(
        delivery_id=outgoing.delivery_id, status=status, provider="outbox", fault=fault, code=code
    )


def live(life):
    """Ten days with everything in them that can hold a message up."""
    refuses_some.busy = []
    life.to("02 09:00")
    for number in range(40):
        life.customer(
            number, timezone=ZONES[number % 5], percent=15 if number % 9 else None,
            says_no=number % 11 == 3,
            **({"preferred_channel": "email"} if number % 4 == 0 else {}),
        )  # fmt: skip
    life.signal("order.ready_for_pickup", user_id="u1", order_id="O-1", store="Harbour")
    life.to("03 10:00")
    life.go(EARLIER, sample_of=25)
    life.to("04 08:00")
    life.outbox.manner = refuses_some
    for number in range(10, 30):
        life.signal("order.ready_for_pickup", user_id=f"u{number}", order_id=f"O-{number}",
                    store="Harbour" if number != 12 else None)  # fmt: skip
    life.signal(
        "order.placed", user_id="u5", order_id="P-5", total={"amount": "10", "currency": "USD"}
    )
    life.to("04 20:59")
    spring = life.go(SPRING)
    life.to("04 23:00")
    life.stop(2)
    life.customer(40, timezone="Asia/Tokyo")
    life.signal("profile.updated", user_id="u4", email="new4@example.com")
    life.signal("promotion.redeemed", user_id="u6", code="LARK15", promotion_id="SPRING-26")
    life.signal(
        "order.placed", user_id="u9", order_id="P-9", total={"amount": "10", "currency": "USD"}
    )
    life.to("05 07:05")
    life.pause(spring)
    life.to("05 09:00")
    life.resume(spring)
    life.signal("order.picked_up", user_id="u10", order_id="O-10")
    life.signal("order.cancelled", user_id="u11", order_id="O-11")
    life.to("05 16:00")
    second = life.go(SECOND, scheduled_at=moment("05 18:00"))
    life.to("05 18:00")
    life.begin(second)
    life.to("06 12:00")
    life.reply("+12065550010", "1")
    life.to("14 10:00")


def by_person(outcome):
    return sorted(outcome.sendings), sorted(outcome.decided, key=str)


def test_a_simulation_sends_exactly_what_was_sent(life):
    """Held people, caps, a stop, a new address, a redeemed offer, refusals, a pause, two arms."""
    live(life)
    cast = Cast(campaigns=CAMPAIGNS, programs=life.desk.programs)
    real = went(life.desk, cast=cast, since=SINCE, until=UNTIL)
    found = played(life.desk, cast=cast, since=SINCE, until=UNTIL)
    assert len(real.sendings) > 80
    print(real.reasons())
    sent, decided = by_person(real)
    again, decided_again = by_person(found.outcome)
    assert again == sent
    assert decided_again == decided
