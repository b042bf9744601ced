"""A history that was imported: played as it was known then, or as it happened."""

from datetime import timedelta

import pytest

from signalpost.domain.journey import Journey, SetAttribute, compile_journey
from signalpost.domain.vocabulary import Lane
from signalpost.errors import BadInputError
from signalpost.record import customers
from signalpost.services.intake import identity
from signalpost.simulation import Cast, played, simulate, went
from tests.integration.simulation_harness import OFFER, Life, campaign, moment

SINCE, UNTIL = moment("04 00:00"), moment("14 00:00")
BACK = campaign(
    "back",
    channels={"every": ["email"]},
    audience={
        "all": [
            {"known_for": {"at_least": "90d"}},
            {"did": "order.placed", "times": 2, "last_before": "30d"},
        ]
    },
)
REGULARS = campaign(
    "regulars",
    message="purchase_offer",
    channels={"every": ["email"]},
    audience={"known_for": {"at_least": "90d"}},
)
CAMPAIGNS = {one.name: one for one in (BACK, REGULARS)}


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


@pytest.fixture
def imported(life):
    """A record that begins, after the period, with the history of five people."""
    life.to("20 09:00")
    history(life, 1, days(40), days(150), days(200))
    history(life, 2, days(5), days(150))  # still a good customer
    history(life, 3, days(60), days(80))  # not for 90 days
    history(life, 4, days(100), days(200), marketing_consent=False)
    life.signal("consent.granted", user_id="u4", channel="email", topic="*", at=moment("10 00:00"))
    history(life, 5, days(120))
    history(life, 50, days(220))  # another key of the same person
    join(life, "u5", "u50")
    life.customer(6)
    return life


def join(life, *keys):
    with life.database.writing() as session:
        found = customers.led_to(session, [("user_id", one) for one in keys])
        kept, merged = (found["user_id", one] for one in keys)
        identity.merge(session, kept=kept, merged=merged, reason="test", now=life.clock())


def simulated(life, wanted=BACK, until=UNTIL, **more):
    return simulate(life.desk, campaign=wanted, since=SINCE, until=until, now=life.clock(), **more)


def test_a_launch_before_the_import_is_refused_with_the_way_out(imported):
    """Then nobody was known, and the simulation says so, and that there is a past all the same."""
    found = simulated(imported)
    assert "there are no customers on the record yet" in found.refused[0].why
    assert (found.told_later, found.to_json()["told_later"]) == (6, 6)
    for said in (found.markdown(), found.exceeds({})[0]):
        assert "Of 6 customers a past was told only afterwards" in said
        assert "--as-it-happened" in said


def test_as_it_happened_the_past_is_played_with_whoever_there_was(imported):
    """Two had gone quiet; the third had not said yes by then; and who comes later is not there yet."""
    found = simulated(imported, as_it_happened=True)
    assert not found.refused
    assert {one.customer_id for one in found.outcome.sendings} == ids(imported, 1, 5)
    assert {f"{one.at:%d %H}" for one in found.outcome.sendings} == {"04 08"}  # after the night
    reasons = {one.customer_id: one.reason for one in found.outcome.decided}
    [no] = ids(imported, 4)
    assert reasons[no] == "consent_denied"
    assert reasons.keys() == ids(imported, 1, 4, 5)
    cast = Cast(campaigns={"back": BACK}, launched={"back"}, as_it_happened=True)
    parted = played(imported.desk, cast=cast, since=SINCE, until=UNTIL, processes=2)
    same(parted.outcome, found.outcome)


def test_as_it_happened_somebody_comes_with_their_first_order(imported):
    everybody = campaign(
        "everybody", message="purchase_offer", channels={"every": ["email"]}, holdout="0%",
        schedule={"cron": "0 12 * * *", "zone": "UTC"},
    )  # fmt: skip
    history(imported, 8, moment("06 18:00"))
    history(imported, 80, moment("05 18:00"))  # the same person, earlier
    join(imported, "u8", "u80")
    new = ids(imported, 8, 80)
    found = simulated(imported, everybody, moment("08 00:00"), as_it_happened=True)
    decided = [one for one in found.outcome.decided if one.customer_id in new]
    assert [(one.at.day, one.outcome) for one in decided] == [(6, "sent"), (7, "skipped")]
    assert {one.customer_id for one in decided} == ids(imported, 8)


def test_as_it_happened_journeys_begin_with_what_was_imported(imported):
    imported.to("21 09:00")
    history(imported, 8, moment("05 18:00"))
    found = simulated(imported, as_it_happened=True, everything=True)
    [new] = ids(imported, 8)
    mine = [one for one in found.outcome.sendings if one.customer_id == new]
    assert {(one.cause, one.at) for one in mine} == {("offer", moment("06 18:00"))}


def test_what_went_is_nothing_to_compare_the_past_as_it_happened_with(imported, tmp_path):
    found = simulated(imported, as_it_happened=True)
    assert (found.diff, found.against, found.differs) == (None, None, False)
    said = found.markdown()
    assert "Played as it happened" in said
    assert "Beside what really went" not in said
    kept = tmp_path / "kept.json"
    found.write(kept)
    assert not simulated(imported, as_it_happened=True, against=str(kept)).differs
    with pytest.raises(BadInputError, match="was played with --as-it-happened; play both alike"):
        simulated(imported, against=str(kept))
