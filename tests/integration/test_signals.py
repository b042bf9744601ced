"""Signals: kept once, in order, and each ends in something visible."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from signalpost.record import customers
from signalpost.record.customers import ContactPoint, Customer, Identity
from signalpost.record.database import Database
from signalpost.record.events import Event
from signalpost.services.intake import identity, signals
from signalpost.services.intake.signals import Accepted, Arrival, Signal, SignalPolicy

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
POLICY = SignalPolicy(fingerprints=None)


class Shop:
    """A small shop that sends signals and writes down what they set going."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.arrivals: list[Arrival] = []
        self.fail_on: str | None = None
        self._count = 0

    def react(self, session: Session, arrivals: Sequence[Arrival], now: datetime) -> None:
        if any(a.facts.get("order_id") == self.fail_on for a in arrivals if self.fail_on):
            raise RuntimeError("a journey of ours is broken")
        self.arrivals += arrivals

    def signal(self, name: str, properties: Any = None, **rest: Any) -> Signal:
        self._count += 1
        identities = dict(rest.pop("identities", {}))
        properties = properties or {}
        for key in ("user_id", "anonymous_id", "email", "phone"):
            if key in rest:
                identities[key] = rest.pop(key)
        if "order_id" in properties:
            identities["order_id"] = str(properties["order_id"])
        return Signal(
            message_id=rest.pop("message_id", f"test:{self._count}"),
            source="test",
            name=name,
            occurred_at=rest.pop("at", NOW),
            body_hash=rest.pop("body_hash", "same"),
            identities=identities,
            properties=properties,
            payload={"properties": properties},
            **rest,
        )

    def send(self, *sent: Signal, now: datetime = NOW) -> list[Accepted]:
        with self.database.writing() as session:
            return signals.accept(session, signals=sent, now=now, react=self.react, policy=POLICY)

    def events(self) -> list[Event]:
        with self.database.reading() as session:
            return list(session.exec(select(Event).order_by(Event.id)))

    def all(self, table: Any) -> list[Any]:
        with self.database.reading() as session:
            return list(session.exec(select(table)))


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


def placed(shop: Shop, order_id: str = "5004", **rest: Any) -> Signal:
    return shop.signal("order.placed", {"order_id": order_id, "total": "12.50"}, **rest)


def test_an_order_is_kept_with_its_facts_and_told_to_the_journeys_once(shop: Shop) -> None:
    [accepted] = shop.send(placed(shop, user_id="u1"))
    [event] = shop.events()
    [arrival] = shop.arrivals
    assert accepted.status == "accepted"
    assert (event.id, event.customer_id) == (accepted.event_id, accepted.customer_id)
    assert event.facts["total"] == {"amount": "12.50", "currency": "USD"}
    assert (arrival.customer_id, arrival.fresh) == (accepted.customer_id, True)


def test_the_same_signal_twice_gets_the_first_ones_answer_and_sets_nothing_going(
    shop: Shop,
) -> None:
    signal = placed(shop, user_id="u1")
    [first] = shop.send(signal)
    [again] = shop.send(signal)
    assert (again.status, again.stands, again.event_id) == ("duplicate", "accepted", first.event_id)
    assert len(shop.events()) == len(shop.arrivals) == 1


def test_the_same_signal_twice_in_one_batch_counts_once(shop: Shop) -> None:
    signal = placed(shop, user_id="u1")
    statuses = [a.status for a in shop.send(signal, signal)]
    assert statuses == ["accepted", "duplicate"]
    assert len(shop.events()) == 1


@pytest.mark.parametrize("together", [True, False])
def test_the_same_id_with_another_body_is_a_conflict_that_stays_visible(
    shop: Shop, together: bool
) -> None:
    one = placed(shop, user_id="u1", message_id="test:x", body_hash="a" * 64)
    other = placed(shop, "6", user_id="u1", message_id="test:x", body_hash="b" * 64)
    if together:
        statuses = [a.status for a in shop.send(one, other)]
    else:
        statuses = [shop.send(one)[0].status, shop.send(other)[0].status]
    shop.send(other)
    assert statuses == ["accepted", "conflict"]
    kept = [event for event in shop.events() if event.status == "conflict"]
    assert [event.facts["order_id"] for event in kept] == ["6"]
    assert len(shop.arrivals) == 1


def test_a_pickup_before_its_order_waits_and_goes_on_when_the_order_arrives(shop: Shop) -> None:
    [early] = shop.send(
        shop.signal("order.picked_up", {"order_id": "5"}, at=NOW - timedelta(minutes=1))
    )
    assert (early.status, early.reason) == ("parked", "unknown_order")
    [order] = shop.send(placed(shop, "5", user_id="u1"))
    assert [a.name for a in shop.arrivals] == ["order.picked_up", "order.placed"]
    event = next(e for e in shop.events() if e.id == early.event_id)
    assert (event.status, event.customer_id) == ("accepted", order.customer_id)
    assert event.reason == "waited for order_id:5"
    assert event.parked_key is None


def test_a_pickup_before_its_order_in_one_batch_is_not_parked(shop: Shop) -> None:
    statuses = [
        a.status
        for a in shop.send(
            shop.signal("order.picked_up", {"order_id": "5"}), placed(shop, "5", user_id="u1")
        )
    ]
    assert statuses == ["accepted", "accepted"]


def test_a_guests_purchase_is_kept_and_nobody_is_told(shop: Shop) -> None:
    answers = shop.send(placed(shop, "7"), shop.signal("order.picked_up", {"order_id": "7"}))
    assert [a.status for a in answers] == ["guest", "guest"]
    assert shop.arrivals == []
    assert shop.all(Customer) == []
    [later] = shop.send(shop.signal("order.returned", {"order_id": "7"}))
    assert later.status == "guest"


def test_what_waited_for_a_guests_order_is_a_guests_too(shop: Shop) -> None:
    [waiting] = shop.send(shop.signal("order.picked_up", {"order_id": "7"}))
    shop.send(placed(shop, "7"))
    assert {e.status for e in shop.events()} == {"guest"}
    assert waiting.status == "parked"
    assert shop.arrivals == []


def test_a_guests_order_that_somebody_claims_leads_to_them(shop: Shop) -> None:
    shop.send(placed(shop, "7"))
    [claimed] = shop.send(shop.signal("order.updated", {"order_id": "7"}, user_id="u1"))
    [later] = shop.send(shop.signal("order.picked_up", {"order_id": "7"}))
    assert later.customer_id == claimed.customer_id


def test_an_event_without_any_identity_is_kept(shop: Shop) -> None:
    [answer] = shop.send(shop.signal("page.viewed"))
    assert answer.status == "guest"
    assert len(shop.events()) == 1


def test_an_event_from_the_future_waits_for_its_time(shop: Shop, database: Database) -> None:
    later = NOW + timedelta(hours=2)
    [answer] = shop.send(placed(shop, user_id="u1", at=later))
    assert (answer.status, answer.reason) == ("parked", "from_the_future")
    assert shop.all(Customer) == []
    for now, count in ((later - timedelta(minutes=1), 0), (later, 1), (later, 0)):
        with database.writing() as session:
            released = signals.release_parked(session, now=now, react=shop.react, policy=POLICY)
        assert released == count
    [event] = shop.events()
    assert (event.status, event.occurred_at) == ("accepted", later)
    assert [a.name for a in shop.arrivals] == ["order.placed"]


def test_a_clock_a_little_ahead_is_set_back_to_ours(shop: Shop) -> None:
    shop.send(placed(shop, user_id="u1", at=NOW + timedelta(minutes=4)))
    [event] = shop.events()
    assert (event.status, event.occurred_at) == ("accepted", NOW)


def test_an_old_event_is_on_the_record_and_starts_nothing(shop: Shop) -> None:
    [answer] = shop.send(placed(shop, user_id="u1", at=NOW - timedelta(days=800)))
    assert answer.status == "historic"
    assert [a.fresh for a in shop.arrivals] == [False]


def known(shop: Shop) -> dict[str, tuple[datetime, datetime | None]]:
    """Since when each customer is known, and when that was told, by the user id."""
    told = {
        one.id: (one.known_since or one.created_at, one.learned_at) for one in shop.all(Customer)
    }
    return {key.value: told[key.customer_id] for key in shop.all(Identity) if key.kind == "user_id"}


def test_who_is_imported_is_known_since_their_oldest_event(shop: Shop) -> None:
    """In whatever order it is told, over several batches; what they did since is no import."""
    days = [NOW - timedelta(days=number) for number in (0, 4, 200, 30, 300)]
    shop.send(placed(shop, "0", user_id="live", at=days[0]))
    shop.send(
        placed(shop, "1", user_id="ann", at=days[2]),
        placed(shop, "2", user_id="ann", at=days[3]),
        placed(shop, "3", user_id="bob", at=days[1]),
        placed(shop, "4", user_id="new", at=days[0]),
    )
    assert known(shop) == {
        "live": (days[0], None),
        "ann": (days[2], NOW),
        "bob": (days[1], NOW),
        "new": (days[0], None),
    }
    later = NOW + timedelta(hours=1)
    shop.send(
        placed(shop, "5", user_id="ann", at=days[3]),
        placed(shop, "6", user_id="bob", at=days[4]),
        placed(shop, "7", user_id="live", at=days[2]),
        now=later,
    )
    assert known(shop) == {
        "live": (days[2], later),
        "ann": (days[2], NOW),
        "bob": (days[4], later),
        "new": (days[0], None),
    }


def test_what_is_told_late_of_somebody_known_for_longer_makes_them_no_younger(shop: Shop) -> None:
    shop.send(placed(shop, "1", user_id="ann"))
    after = NOW + timedelta(days=60)
    shop.send(placed(shop, "2", user_id="ann", at=NOW + timedelta(days=30)), now=after)
    assert known(shop) == {"ann": (NOW, None)}


def test_an_old_event_that_waited_for_its_order_counts_for_whom_it_leads_to(shop: Shop) -> None:
    old, older = NOW - timedelta(days=90), NOW - timedelta(days=91)
    [waits] = shop.send(shop.signal("order.picked_up", {"order_id": "5"}, at=older))
    assert waits.status == "parked"
    shop.send(placed(shop, "5", user_id="ann", at=old), now=NOW + timedelta(hours=1))
    assert known(shop) == {"ann": (older, NOW + timedelta(hours=1))}


def test_who_was_merged_and_parted_again_has_the_past_that_was_told_of_them(shop: Shop) -> None:
    old = NOW - timedelta(days=90)
    shop.send(placed(shop, "1", user_id="ann", at=old), placed(shop, "2", user_id="bob"))
    people = {one.value: one.customer_id for one in shop.all(Identity) if one.kind == "user_id"}
    with shop.database.writing() as session:
        merge = identity.merge(
            session, kept=people["bob"], merged=people["ann"], reason="test", now=NOW
        )
        assert merge is not None
        identity.unmerge(session, merge_id=merge.id, now=NOW)
    assert known(shop) == {"ann": (old, NOW), "bob": (NOW, None)}


@pytest.mark.parametrize(
    ("name", "properties", "word"),
    [
        (
            "fraud.signalled",
            {"transaction_id": "T1", "amount": 9, "occurred_at": "2026-03-01"},
            "merchant",
        ),
        ("order.placed", {"order_id": "5", "total": "a lot"}, "total"),
        ("order.placed", {"order_id": "5\r\nBcc: x@example.com", "total": 1}, "order_id"),
        ("so not a name!", {}, "name"),
    ],
)
def test_bad_facts_are_parked_with_the_reason_and_the_person(
    shop: Shop, name: str, properties: dict[str, Any], word: str
) -> None:
    bad, good = shop.send(
        shop.signal(name, properties, user_id="u1"), placed(shop, "9", user_id="u2")
    )
    assert bad.status == "parked"
    assert bad.reason is not None
    assert "bad_facts" in bad.reason
    assert word in bad.reason
    assert bad.customer_id is not None
    assert good.status == "accepted"


def test_one_poisonous_signal_is_set_aside_and_its_batch_goes_on(
    shop: Shop, database: Database
) -> None:
    shop.fail_on = "bad"
    answers = shop.send(
        placed(shop, "1", user_id="u1"),
        placed(shop, "bad", user_id="u2"),
        placed(shop, "3", user_id="u3"),
    )
    assert [a.status for a in answers] == ["accepted", "parked", "accepted"]
    assert answers[1].reason == "set_aside: RuntimeError"
    assert [a.facts["order_id"] for a in shop.arrivals] == ["1", "3"]
    shop.fail_on = None
    with database.writing() as session:
        redriven = signals.redrive(
            session, event_id=answers[1].event_id, now=NOW, react=shop.react, policy=POLICY
        )
    assert redriven.status == "accepted"
    assert [a.facts["order_id"] for a in shop.arrivals] == ["1", "3", "bad"]


def test_a_payload_without_end_is_cut_and_kept(shop: Shop) -> None:
    deep: Any = "end"
    for _ in range(2_000):
        deep = [deep]
    [answer] = shop.send(shop.signal("shop.note", {"deep": deep}, user_id="u1"))
    assert answer.status == "accepted"
    assert len(shop.events()) == 1


@pytest.mark.parametrize("text", ["nul\x00byte", "half\ud800character", "deep\x00"])
def test_characters_that_no_database_keeps_are_replaced_and_noted(shop: Shop, text: str) -> None:
    [answer] = shop.send(
        shop.signal("shop.note", {"text": text, "list": [text], text: 1}, user_id="u1")
    )
    [event] = shop.events()
    assert answer.status == "accepted"
    assert event.reason == "control_characters"
    assert "\N{REPLACEMENT CHARACTER}" in event.facts["text"]


@pytest.mark.parametrize(
    ("traits", "reason"),
    [
        ({"phone": "12"}, "invalid_phone"),
        ({"email": "nobody"}, "invalid_email"),
        ({"email": "a@b.example\r\nBcc: c@d.example"}, "invalid_email"),
        ({"timezone": "Mars/Olympus"}, "invalid_zone"),
        ({"timezone": "../../etc/passwd"}, "invalid_zone"),
        ({"locale": "not a locale"}, "invalid_locale"),
        ({"first_name": "x" * 5_000}, "too_long:first_name"),
    ],
)
def test_a_trait_that_cannot_be_used_is_named_and_the_rest_goes_on(
    shop: Shop, traits: dict[str, Any], reason: str
) -> None:
    [answer] = shop.send(placed(shop, user_id="u1", traits=traits | {"tier": "gold"}))
    [customer] = shop.all(Customer)
    assert answer.status == "accepted"
    assert reason in (answer.reason or "")
    assert customer.attributes == {"tier": "gold"}
    assert [p.channel for p in shop.all(ContactPoint)] == ["in_app"]


def test_traits_are_put_where_they_belong(shop: Shop) -> None:
    traits = {
        "email": "Ann@Example.com",
        "phone": "+1 (415) 555-2671",
        "firstName": "Ann",
        "locale": "zh_hant_tw",
        "timezone": "Asia/Taipei",
        "preferredChannel": "sms",
    }
    shop.send(shop.signal("customer.identified", user_id="u1", traits=traits))
    [customer] = shop.all(Customer)
    assert (customer.locale, customer.zone) == ("zh-Hant-TW", "Asia/Taipei")
    assert customer.attributes == {"first_name": "Ann", "preferred_channel": "sms"}
    points = {(p.channel, p.address) for p in shop.all(ContactPoint)}
    assert points == {
        ("email", "ann@example.com"),
        ("sms", "+14155552671"),
        ("in_app", customer.id),
    }
    keys = {(i.kind, i.value) for i in shop.all(Identity)}
    assert keys == {("user_id", "u1"), ("email", "ann@example.com"), ("phone", "+14155552671")}


def test_a_phone_without_country_code_is_read_for_the_customers_country(shop: Shop) -> None:
    traits = {"phone": "081 234 5678", "country": "TH"}
    shop.send(shop.signal("customer.identified", user_id="u1", traits=traits))
    assert "+66812345678" in {p.address for p in shop.all(ContactPoint)}


def test_a_changed_address_takes_the_old_ones_place_at_once(shop: Shop, database: Database) -> None:
    for email in ("old@example.com", "new@example.com"):
        [a] = shop.send(shop.signal("customer.identified", user_id="u1", traits={"email": email}))
    assert a.customer_id
    with database.reading() as session:
        [current] = customers.current_contact_points(session, [a.customer_id]).values()
    assert current["email"].address == "new@example.com"
    assert len([p for p in shop.all(ContactPoint) if p.channel == "email"]) == 2
    shop.send(shop.signal("customer.identified", user_id="u1", traits={"email": "old@example.com"}))
    with database.reading() as session:
        [current] = customers.current_contact_points(session, [a.customer_id]).values()
    assert current["email"].address == "old@example.com"


def test_an_old_identify_fills_gaps_and_overwrites_nothing(shop: Shop) -> None:
    shop.send(
        shop.signal(
            "customer.identified", user_id="u1", traits={"email": "new@example.com", "tier": "gold"}
        )
    )
    old = {"email": "old@example.com", "tier": "basic", "city": "Riga"}
    shop.send(
        shop.signal("customer.identified", user_id="u1", traits=old, at=NOW - timedelta(days=900))
    )
    [customer] = shop.all(Customer)
    assert customer.attributes == {"tier": "gold", "city": "Riga"}
    assert [p.address for p in shop.all(ContactPoint) if p.channel == "email"] == [
        "new@example.com"
    ]


def test_an_address_said_to_be_unverified_is_kept_as_such(shop: Shop) -> None:
    traits = {"email": "a@example.com", "email_verified": False}
    shop.send(shop.signal("customer.identified", user_id="u1", traits=traits))
    [email] = [p for p in shop.all(ContactPoint) if p.channel == "email"]
    assert email.verified_at is None


def test_a_thousand_mixed_signals_use_a_fixed_number_of_statements(
    shop: Shop, database: Database
) -> None:
    """The work is set-based: ten times the signals, the same number of statements."""
    counts = [
        count_statements(
            database,
            lambda n=n: shop.send(
                *[placed(shop, f"{n}-{i}", user_id=f"{n}-u{i % 50}") for i in range(n)]
            ),
        )
        for n in (100, 1_000)
    ]
    assert counts[0] == counts[1] <= 25


def count_statements(database: Database, act: Callable[[], object]) -> int:
    from sqlalchemy import event

    count = 0

    def note(*_: Any) -> None:
        nonlocal count
        count += 1

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    return count


def test_a_late_event_and_a_fresh_one_hold_their_people_as_a_sender_does(shop: Shop) -> None:
    """All at once and in order: else each would wait for whom the other holds."""
    for number, who in enumerate(("ann", "bob")):
        shop.send(placed(shop, str(number), user_id=who))
    ids = {one.value: one.customer_id for one in shop.all(Identity) if one.kind == "user_id"}
    first, second = sorted(ids, key=lambda who: ids[who])
    senders: list[Future[None]] = []

    def sends() -> None:
        with shop.database.writing() as session:
            customers.lock_customers(session, ids.values())

    def react(session: Session, arrivals: Sequence[Arrival], now: datetime) -> None:
        senders.append(pool.submit(sends))
        if session.get_bind().dialect.name == "postgresql":
            _until_somebody_waits(session)
        customers.lock_customers(session, [one.customer_id for one in arrivals])

    late = placed(shop, "7", user_id=second, at=NOW - timedelta(days=30))
    fresh = placed(shop, "8", user_id=first)
    with ThreadPoolExecutor() as pool:
        with shop.database.writing() as session:
            signals.accept(session, signals=[late, fresh], now=NOW, react=react, policy=POLICY)
        senders[0].result(30)


def _until_somebody_waits(session: Session) -> None:
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    end = time.monotonic() + 10
    while not session.execute(waits).scalar_one():
        assert time.monotonic() < end, "nobody waits"
        time.sleep(0.01)
