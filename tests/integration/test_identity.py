"""Who an event is about: deterministic keys decide, conflicts are shown, nothing merges in silence."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlmodel import Session, select

from signalpost.record.customers import ContactPoint, Customer, Identity, IdentityConflict, Merge
from signalpost.record.database import Database
from signalpost.record.events import Event
from signalpost.services.intake import identity, signals
from signalpost.services.intake.signals import Accepted, Arrival, Signal, SignalPolicy

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


class World:
    """A record that events are sent to by who they name."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.arrivals: list[Arrival] = []
        self._count = 0

    def react(self, session: Session, arrivals: Sequence[Arrival], now: datetime) -> None:
        self.arrivals += arrivals

    def signal(self, name: str = "page.viewed", **identities: Any) -> Signal:
        self._count += 1
        return Signal(
            message_id=f"t:{self._count}",
            source="test",
            name=name,
            occurred_at=NOW,
            body_hash="",
            identities=identities,
            properties={"order_id": identities["order_id"]} if "order_id" in identities else {},
        )

    def send(self, *sent: Signal) -> list[Accepted]:
        with self.database.writing() as session:
            return signals.accept(
                session,
                signals=sent,
                now=NOW,
                react=self.react,
                policy=SignalPolicy(fingerprints=None),
            )

    def who(self, name: str = "page.viewed", **identities: Any) -> str:
        """Send one event; returns the customer it led to."""
        [answer] = self.send(self.signal(name, **identities))
        assert answer.customer_id
        return answer.customer_id

    def root(self, customer_id: str) -> str:
        with self.database.reading() as session:
            return identity.roots(session, customer_ids=[customer_id])[customer_id]

    def all(self, table: Any) -> list[Any]:
        with self.database.reading() as session:
            return list(session.exec(select(table)))


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.mark.parametrize(
    "key",
    [
        {"user_id": "u1"},
        {"anonymous_id": "a1"},
        {"email": "a@example.com"},
        {"phone": "+14155552671"},
        {"device_id": "d1"},
    ],
)
def test_each_key_leads_back_to_the_customer_that_it_made(world: World, key: Any) -> None:
    assert world.who(**key) == world.who(**key)
    assert len(world.all(Customer)) == 1


def test_keys_seen_together_lead_to_one_customer_afterwards(world: World) -> None:
    first = world.who(anonymous_id="a1", email="Ann@Example.com")
    world.who(email="ann@example.com", user_id="u1", phone="+1 415 555 2671")
    for key in ({"user_id": "u1"}, {"phone": "+14155552671"}, {"anonymous_id": "a1"}):
        assert world.who(**key) == first


def test_the_spelling_of_an_address_makes_no_other_person(world: World) -> None:
    assert world.who(email=" ANN@example.COM") == world.who(email="ann@example.com")
    assert world.who(phone="(415) 555-2671") == world.who(phone="+1-415-555-2671")


def test_an_order_leads_to_the_customer_who_placed_it(world: World) -> None:
    customer = world.who(user_id="u1", order_id="5")
    assert world.who("order.picked_up", order_id="5") == customer


def test_the_strongest_key_decides_and_the_weaker_one_is_a_conflict(world: World) -> None:
    ann = world.who(user_id="ann", email="ann@example.com")
    bob = world.who(user_id="bob", email="bob@example.com")
    assert world.who(user_id="ann", email="bob@example.com") == ann
    [conflict] = world.all(IdentityConflict)
    assert (conflict.customer_id, conflict.other_id) == (ann, bob)
    assert (conflict.kind, conflict.value) == ("email", "bob@example.com")
    assert world.all(Merge) == []


def test_a_conflict_that_is_open_is_recorded_once(world: World) -> None:
    world.who(user_id="ann", email="shared@example.com")
    for _ in range(2):
        world.send(*[world.signal(user_id="bob", email="shared@example.com") for _ in range(2)])
    assert len(world.all(IdentityConflict)) == 1


@pytest.mark.parametrize("together", [True, False])
def test_a_shared_email_joins_no_two_users_even_by_identify(world: World, together: bool) -> None:
    sent = [
        world.signal("customer.identified", user_id=user, email="family@example.com")
        for user in ("ann", "bob")
    ]
    answers = world.send(*sent) if together else [world.send(s)[0] for s in sent]
    assert answers[0].customer_id != answers[1].customer_id
    assert world.all(Merge) == []
    [conflict] = world.all(IdentityConflict)
    assert conflict.customer_id == answers[1].customer_id
    emails = [p.customer_id for p in world.all(ContactPoint) if p.channel == "email"]
    assert set(emails) == {answers[0].customer_id, answers[1].customer_id}


def test_a_visitor_and_a_user_are_joined_by_identify_and_not_by_track(world: World) -> None:
    visitor = world.who(anonymous_id="a1")
    user = world.who(user_id="u1")
    world.who("page.viewed", user_id="u1", anonymous_id="a1")
    assert world.root(visitor) == visitor
    world.who("customer.identified", user_id="u1", anonymous_id="a1")
    assert world.root(visitor) == user
    assert world.who(anonymous_id="a1") == user
    [conflict] = world.all(IdentityConflict)
    assert conflict.resolved_at == NOW


def test_a_visitor_who_is_a_user_already_is_not_joined_to_another(world: World) -> None:
    ann = world.who("customer.identified", user_id="ann", anonymous_id="kiosk")
    bob = world.who("customer.identified", user_id="bob", anonymous_id="kiosk")
    assert world.root(ann) != world.root(bob)
    assert len(world.all(IdentityConflict)) == 1


@pytest.mark.parametrize("known", [True, False])
def test_alias_joins_what_it_names(world: World, known: bool) -> None:
    before = world.who(anonymous_id="old") if known else None
    world.who("customer.aliased", user_id="new", previous_id="old")
    now = world.who(user_id="new")
    assert world.who(anonymous_id="old") == now
    assert before is None or world.root(before) == now


def test_alias_joins_two_users_since_the_sender_says_so(world: World) -> None:
    old, new = world.who(user_id="old"), world.who(user_id="new")
    world.who("customer.aliased", user_id="new", previous_id="old")
    assert world.root(old) == new
    [merge] = world.all(Merge)
    assert merge.reason == "alias"
    assert [e.name for e in world.all(Event)].count("customer.merged") == 1


def test_in_one_batch_later_events_see_what_earlier_ones_said(world: World) -> None:
    answers = world.send(
        world.signal(anonymous_id="a1"),
        world.signal("customer.identified", anonymous_id="a1", user_id="u1"),
        world.signal(user_id="u2"),
        world.signal("customer.aliased", user_id="u2", previous_id="u1"),
        world.signal(anonymous_id="a1"),
    )
    assert answers[0].customer_id == answers[1].customer_id != answers[2].customer_id
    assert answers[4].customer_id == answers[2].customer_id
    assert {a.customer_id for a in world.arrivals} == {answers[2].customer_id}


@pytest.mark.parametrize("value", ["x" * 256, "u\r\nBcc: a", "u\x7f"])
def test_a_key_that_no_system_makes_is_no_identity(world: World, value: str) -> None:
    [answer] = world.send(world.signal(user_id=value))
    assert answer.status == "guest"
    assert "user_id" in (answer.reason or "")
    assert world.all(Identity) == []


def test_a_user_has_an_inbox_in_the_app_and_a_visitor_has_none(world: World) -> None:
    world.who(anonymous_id="a1")
    user = world.who(user_id="u1")
    assert [(p.channel, p.address) for p in world.all(ContactPoint)] == [("in_app", user)]


def test_many_writers_at_once_make_one_customer_of_one_person(
    world: World, database: Database
) -> None:
    """Eight connections send the same new person at the same moment."""
    failures: list[BaseException] = []
    start = threading.Barrier(8)
    batches = [
        [world.signal(user_id=f"u{i}", email=f"u{i}@example.com", order_id=f"{i}") for i in order]
        for order in ([*range(5)], [*reversed(range(5))]) * 4
    ]

    def write(batch: list[Signal]) -> None:
        try:
            start.wait()
            world.send(*batch)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(world.all(Customer)) == 5
    assert len(world.all(Identity)) == 15
    assert world.all(IdentityConflict) == []


def test_the_same_signal_from_many_writers_is_kept_once(world: World) -> None:
    signal = world.signal("order.updated", user_id="u1", order_id="1")
    start = threading.Barrier(6)
    answers: list[Accepted] = []

    def write() -> None:
        start.wait()
        answers.extend(world.send(signal))

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status for a in answers) == ["accepted"] + ["duplicate"] * 5
    assert len({a.event_id for a in answers}) == len(world.all(Event)) == len(world.arrivals) == 1


def test_a_key_can_be_looked_up_by_other_rooms(world: World) -> None:
    first = world.who(email="a@example.com")
    with world.database.writing() as session:
        found = identity.find(session, kind="email", value="a@example.com")
    assert found == first
