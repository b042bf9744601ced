"""The gate: which rules a purpose must pass, and what each of them says."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from signalpost.domain.gate import Address, Policy, Proposal, Sent, Standing, judge
from signalpost.domain.vocabulary import Channel, Decision, Purpose

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NIGHT = datetime(2026, 3, 2, 23, 0, tzinfo=UTC)
NUMBER = "+12065550100"


def proposal(purpose=Purpose.MARKETING, channel=Channel.SMS, **more) -> Proposal:
    return Proposal(message="offer", purpose=purpose, topic="offers", channel=channel, **more)


def standing(**more) -> Standing:
    known = {
        "addresses": {Channel.SMS: Address(NUMBER, verified=True)},
        "consents": {("sms", "offers"): ("granted", NOON - timedelta(days=9))},
        "zones": (ZoneInfo("UTC"),),
    }
    return Standing(**{**known, **more})


def reason(purpose=Purpose.MARKETING, now=NOON, *, policy=None, more=None, **known) -> str:
    return judge(
        proposal(purpose, **(more or {})), standing(**known), policy or Policy(), now
    ).reason


def test_what_nothing_speaks_against_is_sent_to_the_address_that_was_judged():
    verdict = judge(proposal(), standing(), Policy(), NOON)
    assert (verdict.decision, verdict.address) == (Decision.SEND, NUMBER)


@pytest.mark.parametrize("purpose", Purpose)
def test_stop_holds_for_every_purpose(purpose):
    """A security message does not break through STOP; it goes to the next channel."""
    blocks = {("sms", NUMBER): {"all": "stop"}}
    assert reason(purpose, blocks=blocks) == "suppressed_stop"


def test_an_unsubscribe_stops_marketing_and_nothing_else():
    blocks = {("sms", NUMBER): {"marketing": "unsubscribe"}}
    assert reason(blocks=blocks) == "suppressed_unsubscribe"
    assert reason(Purpose.TRANSACTIONAL, blocks=blocks) == "allowed"


def test_a_topic_that_was_left_stops_that_topic_only():
    blocks = {("sms", NUMBER): {"news": "unsubscribe"}}
    assert reason(blocks=blocks) == "allowed"


@pytest.mark.parametrize("purpose", Purpose)
def test_an_address_must_be_there_and_known_to_be_theirs(purpose):
    assert reason(purpose, addresses={}) == "no_contact_point"
    unverified = {Channel.SMS: Address(NUMBER, verified=False)}
    assert reason(purpose, addresses=unverified) == "unverified_contact_point"


def test_marketing_needs_a_standing_yes_and_the_latest_word_counts():
    assert reason(consents={}) == "no_consent"
    said = {
        ("sms", "offers"): ("granted", NOON - timedelta(days=9)),
        ("sms", "*"): ("denied", NOON - timedelta(days=1)),
    }
    assert reason(consents=said) == "consent_denied"
    said["*", "*"] = ("granted", NOON - timedelta(hours=1))
    assert reason(consents=said) == "allowed"
    assert reason(consents={("sms", "offers"): ("pending", NOON)}) == "consent_pending"


@pytest.mark.parametrize("purpose", [Purpose.SECURITY, Purpose.TRANSACTIONAL])
def test_only_marketing_asks_for_consent_or_honours_a_holdout(purpose):
    assert reason(purpose, consents={}, held_out=True) == "allowed"
    assert reason(held_out=True) == "holdout"


def test_caps_count_rolling_periods_not_calendar_days():
    """Two at 22:00 and 23:00 yesterday use up today's noon, though a new day began."""
    sent = [Sent("m1", NOON - timedelta(hours=14)), Sent("m2", NOON - timedelta(hours=13))]
    verdict = judge(proposal(), standing(recent={Channel.SMS: sent}), Policy(), NOON)
    assert verdict.reason == "frequency_cap"
    assert verdict.detail["used_by"] == ["m1", "m2"]
    later = NOON + timedelta(hours=10, seconds=1)
    assert judge(proposal(), standing(recent={Channel.SMS: sent}), Policy(), later).reason != (
        "frequency_cap"
    )


def test_caps_are_counted_for_each_channel_and_for_marketing_only():
    sent = [Sent("m1", NOON), Sent("m2", NOON)]
    assert reason(recent={Channel.EMAIL: sent}) == "allowed"
    assert reason(Purpose.SECURITY, recent={Channel.SMS: sent}) == "allowed"


def test_quiet_hours_hold_marketing_until_morning():
    verdict = judge(proposal(), standing(), Policy(), NIGHT)
    assert verdict.decision is Decision.HOLD
    assert verdict.until == datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
    assert verdict.detail["zone_source"] == "default"


def test_security_ignores_the_night_and_transactional_asks_for_it_by_itself():
    assert reason(Purpose.SECURITY, NIGHT) == "allowed"
    assert reason(Purpose.TRANSACTIONAL, NIGHT) == "allowed"
    assert reason(Purpose.TRANSACTIONAL, NIGHT, more={"quiet_hours": True}) == "quiet_hours"


def test_a_row_in_an_inbox_wakes_nobody():
    known = {Channel.IN_APP: Address("c1", verified=True)}
    said = {("*", "*"): ("granted", NOON)}
    inbox = proposal(channel=Channel.IN_APP)
    verdict = judge(inbox, standing(addresses=known, consents=said), Policy(), NIGHT)
    assert verdict.reason == "allowed"


def test_what_would_expire_before_morning_is_not_held_for_it():
    more = {"expires_at": NIGHT + timedelta(hours=2)}
    assert reason(now=NIGHT, more=more) == "expires_before_morning"
    assert reason(now=NOON, more={"expires_at": NOON}) == "expired"


def test_a_message_does_not_come_again_within_its_window():
    more = {"repeat_window": timedelta(days=14)}
    assert reason(more=more, repeats={"e1": NOON - timedelta(days=13)}) == "duplicate"
    assert reason(more=more, repeats={"e1": NOON - timedelta(days=15)}) == "allowed"


def test_another_channel_of_the_same_cause_is_no_repetition():
    """In-app went at night; the email that was held until morning still goes."""
    more = {"repeat_window": timedelta(days=14), "cause": "e1"}
    assert reason(more=more, repeats={"e1": NOON - timedelta(hours=9)}) == "allowed"
