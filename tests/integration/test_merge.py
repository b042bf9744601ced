"""Merging keeps both histories, takes the stricter consent, and can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, select

from signalpost.errors import ConflictError, NotFoundError
from signalpost.record import customers
from signalpost.record.consents import Consent
from signalpost.record.customers import ContactPoint, Customer, Merge
from signalpost.record.database import Database
from signalpost.record.events import Event
from signalpost.services.intake import consent, identity
from signalpost.services.intake.consent import Statement

T0 = datetime(2026, 1, 1, tzinfo=UTC)
T1, T2, T3 = (T0 + timedelta(days=n) for n in (1, 2, 3))


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.writing() as opened:
        yield opened


def customer(session: Session, name: str) -> str:
    session.add(
        Customer(id=name, root_id=name, attributes={"n": name}, created_at=T0, updated_at=T0)
    )
    session.flush()
    return name


def say(session: Session, who: str, channel: str, status: str, at: datetime) -> None:
    session.add(
        Consent(
            customer_id=who,
            channel=channel,
            topic="*",
            status=status,
            source="form",
            at=at,
            recorded_at=at,
        )
    )
    session.flush()


def standing(session: Session, who: str, channel: str = "email") -> str | None:
    return consent.state(session, customer_ids=[who], channel=channel, topic="*")[who]


def merge(session: Session, kept: str, merged: str, at: datetime = T3) -> Merge:
    row = identity.merge(session, kept=kept, merged=merged, reason="operator", now=at)
    assert row is not None
    return row


def test_a_merge_is_an_event_and_rewrites_no_history(session: Session) -> None:
    ann, anna = customer(session, "ann"), customer(session, "anna")
    row = merge(session, ann, anna)
    assert identity.roots(session, customer_ids=[ann, anna]) == {ann: ann, anna: ann}
    assert identity.family(session, root_ids=[ann]) == {ann: [ann, anna]}
    [event] = session.exec(select(Event))
    assert (event.name, event.customer_id) == ("customer.merged", ann)
    assert event.facts == {"merge_id": row.id, "kept": ann, "merged": anna, "reason": "operator"}
    profile = customers.profiles(session, [ann])[ann]
    assert profile["attributes"] == {"n": "ann"}


def test_merging_one_person_with_themselves_does_nothing(session: Session) -> None:
    ann, anna = customer(session, "ann"), customer(session, "anna")
    merge(session, ann, anna)
    again = identity.merge(session, kept=anna, merged=ann, reason="again", now=T3)
    assert again is None
    with pytest.raises(NotFoundError):
        identity.merge(session, kept=ann, merged="nobody", reason="", now=T3)


def test_a_chain_of_merges_has_one_root_and_comes_apart_in_any_order(session: Session) -> None:
    a, b, c = (customer(session, name) for name in "abc")
    first = merge(session, b, c)
    second = merge(session, a, b)
    assert set(identity.roots(session, customer_ids=[a, b, c]).values()) == {a}
    identity.unmerge(session, merge_id=first.id, now=T3)
    assert identity.roots(session, customer_ids=[a, b, c]) == {a: a, b: a, c: c}
    identity.unmerge(session, merge_id=second.id, now=T3)
    assert identity.roots(session, customer_ids=[a, b, c]) == {a: a, b: b, c: c}
    with pytest.raises(ConflictError):
        identity.unmerge(session, merge_id=second.id, now=T3)
    with pytest.raises(NotFoundError):
        identity.unmerge(session, merge_id="none", now=T3)


@pytest.mark.parametrize(
    ("one", "other", "strictest"),
    [
        ("granted", "denied", "denied"),
        ("denied", "granted", "denied"),
        ("granted", "pending", "pending"),
        ("granted", "granted", "granted"),
    ],
)
@pytest.mark.parametrize("later", [True, False])
def test_a_merge_takes_the_stricter_consent_whoever_spoke_last(
    session: Session, one: str, other: str, strictest: str, later: bool
) -> None:
    ann, anna = customer(session, "ann"), customer(session, "anna")
    say(session, ann, "email", one, T2 if later else T1)
    say(session, anna, "email", other, T1 if later else T2)
    row = merge(session, ann, anna)
    assert standing(session, ann) == strictest
    identity.unmerge(session, merge_id=row.id, now=T3 + timedelta(hours=1))
    assert standing(session, ann) == one
    assert standing(session, anna) == other


def test_where_both_agree_a_merge_adds_no_statement(session: Session) -> None:
    ann, anna = customer(session, "ann"), customer(session, "anna")
    say(session, ann, "email", "granted", T1)
    say(session, anna, "email", "granted", T2)
    merge(session, ann, anna)
    assert len(list(session.exec(select(Consent)))) == 2


def test_a_denial_of_one_channel_survives_a_grant_of_all(session: Session) -> None:
    ann, anna = customer(session, "ann"), customer(session, "anna")
    say(session, ann, "*", "granted", T2)
    say(session, anna, "sms", "denied", T1)
    row = merge(session, ann, anna)
    assert standing(session, ann, "sms") == "denied"
    assert standing(session, ann, "email") == "granted"
    identity.unmerge(session, merge_id=row.id, now=T3 + timedelta(hours=1))
    assert standing(session, ann, "sms") == "granted"
    assert standing(session, anna, "sms") == "denied"


def test_a_denial_of_all_leaves_what_both_granted(session: Session) -> None:
    ann, anna = customer(session, "ann"), customer(session, "anna")
    say(session, ann, "*", "denied", T1)
    for who in (ann, anna):
        say(session, who, "email", "granted", T2)
    say(session, anna, "*", "granted", T0)
    merge(session, ann, anna)
    assert standing(session, ann, "email") == "granted"
    assert standing(session, ann, "sms") == "denied"


def test_what_was_said_after_a_merge_outlives_its_undoing(session: Session) -> None:
    ann, anna = customer(session, "ann"), customer(session, "anna")
    say(session, ann, "email", "granted", T1)
    say(session, anna, "email", "denied", T2)
    row = merge(session, ann, anna, T2)
    said = Statement(channel="email", topic="*", status="pending", source="form", at=T3)
    assert consent.record_statements(session, said=[(ann, said)], now=T3) == 1
    identity.unmerge(session, merge_id=row.id, now=T3)
    assert standing(session, ann) == "pending"


def test_after_a_merge_the_kept_ones_address_is_in_use(session: Session) -> None:
    ann, anna = customer(session, "ann"), customer(session, "anna")
    for at, who in ((T1, ann), (T2, anna)):
        session.add(
            ContactPoint(
                customer_id=who,
                channel="email",
                address=f"{who}@example.com",
                verified_at=at,
                created_at=at,
            )
        )
    session.flush()
    merge(session, ann, anna)
    current = customers.current_contact_points(session, [ann])
    assert current[ann]["email"].address == "ann@example.com"
