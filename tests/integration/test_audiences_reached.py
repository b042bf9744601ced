"""Audiences by what people agreed to, where they are reached, and what campaigns decided on them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from signalpost.domain.audience import (
    Consent,
    InCampaign,
    Not,
    Reachable,
)
from signalpost.record.database import Database
from tests.integration.audience_harness import NOW, Book, ago


@pytest.fixture
def book(database: Database) -> Iterator[Book]:
    with database.writing() as session:
        yield Book(session)


def test_the_latest_word_about_the_channel_and_topic_counts(book: Book) -> None:
    said = {
        "yes": [("granted", "email", "offers", 5)],
        "all": [("granted", "*", "*", 5)],
        "back": [("granted", "email", "*", 5), ("denied", "*", "offers", 4)],
        "again": [("denied", "*", "*", 5), ("granted", "email", "offers", 4)],
        "other": [("granted", "email", "news", 5), ("granted", "sms", "offers", 5)],
        "maybe": [("granted", "email", "offers", 5), ("pending", "email", "offers", 4)],
        "tied": [("granted", "email", "offers", 5), ("denied", "*", "*", 5)],
        "tied no": [("denied", "email", "*", 5), ("granted", "*", "offers", 5)],
        "twice": [("denied", "email", "offers", 5), ("granted", "email", "offers", 5)],
        "news no": [("granted", "email", "*", 5), ("denied", "email", "news", 4)],
        "never": [],
    }
    for name, statements in said.items():
        book.person(name)
        for status, channel, topic, days in statements:
            book.say(name, status, channel, topic, ago(days=days))
    agreed = {"yes", "all", "again", "tied", "twice", "news no"}
    assert book.who(Consent("email", "offers")) == agreed
    assert book.who(Not(Consent("email", "offers"))) == set(said) - agreed
    book.person("twice-2", into="twice")
    book.say("twice-2", "denied", "*", "*", ago(days=1))
    assert book.who(Consent("email", "offers")) == agreed - {"twice"}


def test_reachable_is_a_verified_address_in_use_without_a_block_for_everything(book: Book) -> None:
    for name in (
        "good",
        "raw",
        "stopped",
        "freed",
        "stopped twice",
        "offers only",
        "moved",
        "none",
    ):
        book.person(name)
    book.point("good", "sms", "+1")
    book.point("raw", "sms", "+2", verified_at=None)
    for number, name in enumerate(("stopped", "freed", "stopped twice", "offers only"), start=3):
        book.point(name, "sms", f"+{number}")
    book.block("sms", "+3", at=ago(days=2), active=False)
    book.block("sms", "+3", at=ago(days=1))
    book.block("sms", "+4", at=ago(days=2))
    book.block("sms", "+4", at=ago(days=1), active=False)
    book.block("sms", "+5", at=ago(days=2))
    book.block("sms", "+5", at=ago(days=1), reason="hard_bounce")
    book.block("sms", "+5", at=ago(hours=1), active=False)
    book.block("sms", "+6", at=ago(days=2), scope="marketing", reason="unsubscribe")
    book.block("email", "+1", at=ago(days=2))
    book.point("moved", "sms", "+7", replaced_at=NOW)
    reached = {"good", "freed", "offers only"}
    assert book.who(Reachable("sms")) == reached
    assert book.who(Not(Reachable("sms"))) == {"raw", "stopped", "stopped twice", "moved", "none"}
    assert book.who(Reachable("email")) == set()


def test_the_roots_own_address_is_the_one_in_use_then_the_newest(book: Book) -> None:
    for name in ("own good", "own bad", "newer bad", "lent"):
        book.person(name)
        book.person(f"{name}-2", into=name)
    book.point("own good", "sms", "+1", created_at=ago(days=9))
    book.point("own good-2", "sms", "+2", created_at=ago(days=1), verified_at=None)
    book.point("own bad", "sms", "+3", created_at=ago(days=9), verified_at=None)
    book.point("own bad-2", "sms", "+4", created_at=ago(days=1))
    book.point("newer bad", "sms", "+5", created_at=ago(days=9))
    book.point("newer bad", "sms", "+6", created_at=ago(days=1))
    book.block("sms", "+6", at=ago(days=1))
    book.point("lent-2", "sms", "+7")
    assert book.who(Reachable("sms")) == {"own good", "lent"}


def test_another_campaigns_decision_is_the_persons_own(book: Book) -> None:
    for name in ("sent", "held", "skipped", "open", "old", "none"):
        book.person(name)
    book.person("sent-2", into="sent")
    book.decided("sent-2", "win-back", "sent", ago(days=1))
    book.decided("held", "win-back", "held_out", ago(days=1))
    book.decided("skipped", "win-back", "skipped", ago(days=1))
    book.decided("open", "win-back", None, None)
    book.decided("old", "win-back", "sent", ago(days=40))
    book.decided("none", "other", "sent", ago(days=1))
    assert book.who(InCampaign("win-back")) == {"sent", "old"}
    assert book.who(InCampaign("win-back", within=timedelta(days=30))) == {"sent"}
    assert book.who(InCampaign("win-back", outcome="any")) == {"sent", "held", "skipped", "old"}
    assert book.who(InCampaign("win-back", outcome="held_out", series="outage-7")) == {"held"}
    assert book.who(InCampaign("win-back", series="outage-8")) == set()
    assert book.who(Not(InCampaign("win-back", outcome="any"))) == {"open", "none"}
