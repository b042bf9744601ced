"""What is tried again, when, and how often: the tables of the vendors, and the waits."""

from datetime import UTC, datetime, timedelta

import pytest

from signalpost.domain.retrying import (
    LONGEST_WAIT,
    MOST_TRIES,
    RetryClass,
    class_of,
    may_once_more,
    wait,
)
from signalpost.domain.vocabulary import DeliveryStatus, Purpose
from signalpost.providers.twilio.faults import FAULTS

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

#: twilio.com/docs/api/errors, by what is to be done about each.
TABLE = {
    RetryClass.SAFE: {20429, 20503, 21611, 21730},
    RetryClass.PERSON: {
        21211, 21214, 21217, 21408, 21610, 21612, 21614,
        30004, 30005, 30006, 30007, 30450, 30610, 30640,
    },
    RetryClass.OURS: {
        20003, 20404, 21601, 21602, 21606, 21617, 21618, 21619, 21620, 21623, 21624,
        21701, 21703, 21704, 21705, 30032, 30034, 90007,
    },
    RetryClass.ONCE_MORE: {
        30001, 30003, 30008, 30017, 30022, 30023, 30027, 30036, 30047, 30410, 30500, 63018,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "kind"), [(code, kind) for kind, codes in TABLE.items() for code in sorted(codes)]
)
def test_every_code_of_the_table_is_in_its_class(code, kind):
    known = FAULTS[code]
    assert class_of(known.status, known.fault) is kind


def test_no_code_is_known_that_the_table_does_not_have():
    assert set(FAULTS) == set().union(*TABLE.values())


@pytest.mark.parametrize("code", [21211, 21214, 21217, 21614, 30005, 30006])
def test_a_number_that_does_not_exist_is_marked_bad(code):
    assert FAULTS[code].suppress == "bad_address"


def test_only_what_the_customer_said_is_kept_as_a_stop():
    assert [code for code, known in FAULTS.items() if known.suppress == "stop"] == [21610]


def test_a_wrong_key_concerns_the_whole_account_and_a_text_without_a_body_does_not():
    assert FAULTS[20003].whole_account
    assert not FAULTS[21602].whole_account


def test_a_timeout_is_unknown_and_an_accepted_message_no_failure():
    assert class_of(DeliveryStatus.UNKNOWN, None) is RetryClass.UNKNOWN
    assert class_of(DeliveryStatus.ACCEPTED, None) is None


def test_waits_grow_and_never_pass_an_hour():
    waits = [wait(tries=n, seed="m1") for n in range(1, 40)]
    assert waits[:5] == sorted(waits[:5])
    assert max(waits) <= LONGEST_WAIT
    assert timedelta(seconds=2.5) <= waits[0] <= timedelta(seconds=5)


def test_all_tries_together_outlive_an_outage_of_ten_minutes():
    for seed in map(str, range(200)):
        waits = [wait(tries=n, seed=seed) for n in range(1, MOST_TRIES)]
        assert sum(waits, timedelta()) > timedelta(minutes=10)


def test_those_who_failed_together_come_back_spread_out_and_each_at_the_same_moment_again():
    waits = [wait(tries=3, seed=str(n)).total_seconds() for n in range(1000)]
    assert len(set(waits)) == 1000
    assert 58 < sum(waits) / 1000 < 62
    assert wait(tries=3, seed="7") == wait(tries=3, seed="7")


def test_nobody_comes_back_sooner_than_the_provider_asked():
    asked = timedelta(seconds=90)
    waits = [wait(tries=1, seed=str(n), asked=asked) for n in range(1000)]
    assert min(waits) >= asked
    assert max(waits) <= asked * 1.25


@pytest.mark.parametrize(
    ("purpose", "age", "expires", "may"),
    [
        (Purpose.SECURITY, timedelta(minutes=9), None, True),
        (Purpose.SECURITY, timedelta(minutes=11), None, False),
        (Purpose.TRANSACTIONAL, timedelta(hours=3), None, True),
        (Purpose.TRANSACTIONAL, timedelta(hours=3), timedelta(minutes=-1), False),
        (Purpose.TRANSACTIONAL, timedelta(hours=5), None, False),
    ],
)
def test_one_more_attempt_is_made_only_while_it_is_timely(purpose, age, expires, may):
    found = may_once_more(
        purpose=purpose,
        created_at=NOW - age,
        expires_at=NOW + expires if expires else None,
        now=NOW,
    )
    assert found is may
