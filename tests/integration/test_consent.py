"""Consent is append-only; the latest statement that covers a channel and topic counts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from signalpost.record.consents import Consent
from signalpost.record.database import Database
from signalpost.services.intake import consent, signals
from signalpost.services.intake.signals import Signal, SignalPolicy

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.writing() as opened:
        yield opened


class Say:
    """Sends events of one customer, an hour apart."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.count = 0

    def __call__(self, name: str, properties: Any = None, **traits: Any) -> str:
        self.count += 1
        at = NOW + timedelta(hours=self.count)
        [answer] = signals.accept(
            self.session,
            signals=[
                Signal(
                    message_id=f"t:{self.count}",
                    source="shop",
                    name=name,
                    occurred_at=at,
                    body_hash="",
                    identities={"user_id": "u1"},
                    traits=traits,
                    properties=properties or {},
                )
            ],
            now=at,
            react=lambda *_: None,
            policy=SignalPolicy(fingerprints=None),
        )
        assert answer.customer_id
        return answer.customer_id

    def rows(self) -> list[Consent]:
        return list(self.session.exec(select(Consent).order_by(Consent.id)))

    def standing(self, who: str, channel: str, topic: str = "offers") -> str | None:
        return consent.state(self.session, customer_ids=[who], channel=channel, topic=topic)[who]


@pytest.fixture
def say(session: Session) -> Say:
    return Say(session)


@pytest.mark.parametrize(
    ("traits", "channel", "status"),
    [
        ({"marketing_consent": True}, "*", "granted"),
        ({"marketingConsent": False}, "*", "denied"),
        ({"email_marketing": True}, "email", "granted"),
        ({"smsMarketing": False}, "sms", "denied"),
        ({"in_app_marketing": True}, "in_app", "granted"),
    ],
)
def test_a_trait_states_consent_with_its_source_and_time(
    say: Say, traits: Any, channel: str, status: str
) -> None:
    say("customer.identified", **traits)
    [row] = say.rows()
    assert (row.channel, row.topic, row.status) == (channel, "*", status)
    assert row.source.startswith("traits.")
    assert row.at == NOW + timedelta(hours=1)


def test_a_consent_event_keeps_the_wording(say: Say) -> None:
    said = {"channel": "sms", "topic": "offers", "wording": "Yes, text me", "source": "checkout"}
    who = say("consent.granted", said)
    [row] = say.rows()
    assert (row.wording, row.source, row.status) == ("Yes, text me", "checkout", "granted")
    assert say.standing(who, "sms") == "granted"
    assert say.standing(who, "sms", "news") is None
    assert say.standing(who, "email") is None


def test_what_changes_nothing_is_not_repeated(say: Say) -> None:
    for _ in range(3):
        say("customer.identified", marketing_consent=True)
        say("consent.granted", {"channel": "sms", "topic": "*"})
    assert [(r.channel, r.status) for r in say.rows()] == [("*", "granted"), ("sms", "granted")]


def test_a_repeated_trait_never_lifts_what_the_customer_withdrew(say: Say) -> None:
    say("customer.identified", marketing_consent=True, email_marketing=True)
    who = say("consent.withdrawn", {"channel": "email"})
    say("customer.identified", marketing_consent=True, email_marketing=True)
    assert say.standing(who, "email") == "denied"
    assert say.standing(who, "sms") == "granted"
    say("customer.identified", email_marketing=False)
    say("customer.identified", email_marketing=True)
    assert say.standing(who, "email") == "denied"
    say("consent.granted", {"channel": "email"})
    assert say.standing(who, "email") == "granted"


def test_a_consent_event_for_all_overrules_an_older_one_for_some(say: Say) -> None:
    say("consent.withdrawn", {"channel": "sms"})
    who = say("consent.granted", {})
    assert say.standing(who, "sms") == "granted"
    say("consent.withdrawn", {})
    assert say.standing(who, "email") == "denied"


def test_no_consent_is_not_a_denial(say: Say) -> None:
    who = say("page.viewed")
    assert say.standing(who, "email") is None
    assert say.rows() == []


def test_a_consent_that_is_no_yes_or_no_is_noted_and_ignored(say: Say) -> None:
    say("customer.identified", marketing_consent="maybe")
    assert say.rows() == []
