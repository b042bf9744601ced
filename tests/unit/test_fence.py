"""The fence lapses with the lease, by whichever clock says so first, and never comes back once lost."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from signalpost.services.protocol import Fence

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=45)


class Clock:
    """A clock that stands where it is set."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_it_holds_while_the_lease_runs_and_not_in_its_last_tenth(clock):
    fence = Fence(clock=clock, lease=LEASE)
    clock.now = NOON + timedelta(seconds=40)
    assert fence.holds()
    clock.now = NOON + timedelta(seconds=41)
    assert not fence.holds()


def test_a_process_that_stood_still_knows_by_its_own_clock(clock):
    """The wall clock may be set back meanwhile; the monotonic one goes on."""
    fence = Fence(clock=clock, lease=LEASE)
    fence.renewed(now=NOON, began=time.monotonic() - 41)
    assert not fence.holds()


def test_extending_counts_from_before_the_transaction(clock):
    """What the transaction took is taken off: it may lapse early, never late."""
    fence = Fence(clock=clock, lease=LEASE)
    asked = []

    def slowly(until):
        asked.append(until)
        clock.now += timedelta(seconds=30)
        return True

    assert fence.extend(slowly)
    assert asked == [NOON + LEASE]
    clock.now = NOON + timedelta(seconds=41)
    assert not fence.holds()


def test_a_claim_that_somebody_else_has_is_lost_for_good(clock):
    fence = Fence(clock=clock, lease=LEASE)
    assert not fence.extend(lambda _: False)
    assert not fence.holds()
    fence.renewed(now=clock(), began=time.monotonic())
    assert not fence.holds()


def test_an_extension_that_fails_leaves_what_was(clock):
    fence = Fence(clock=clock, lease=LEASE)

    def fails(_):
        raise OSError

    with pytest.raises(OSError):
        fence.extend(fails)
    assert fence.holds()
    clock.now = NOON + timedelta(seconds=41)
    assert not fence.holds()
