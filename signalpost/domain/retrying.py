"""What failed is tried again by these rules: classes, growing waits with jitter, bounded tries.

The classes are those of the vendors' error tables (twilio.com/docs/api/errors; SendGrid's mail/send).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from signalpost.domain.assignment import share
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass, Purpose

#: A provider is asked for one message at most this often; then an operator looks at it.
MOST_TRIES = 6
#: 5 s, 20 s, 80 s, 5 min, 21 min, each shortened by up to a half: an outage of a quarter of an hour is
#: outlived, and those who failed together do not come back together.
FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(hours=1)
_GROWTH = 4
_LATER_THAN_ASKED = 0.25

#: What was taken and did not arrive gets one more attempt while this young: an alert of last night
#: alarms for nothing. Marketing gets none.
TIMELY: Mapping[Purpose, timedelta] = {
    Purpose.SECURITY: timedelta(minutes=10),
    Purpose.TRANSACTIONAL: timedelta(hours=4),
    Purpose.MARKETING: timedelta(0),
}


class RetryClass(StrEnum):
    """What to do about a failure."""

    SAFE = "safe"  #: surely not processed: the same message again, later
    UNKNOWN = "unknown"  #: nobody knows: reconciled, never blindly sent again
    PERSON = "person"  #: this address or message will never work: it ends here
    OURS = "ours"  #: account or request is wrong: stop, tell the operator, blame nobody
    ONCE_MORE = "once_more"  #: it was taken and did not arrive: one more attempt, if still timely


_FAULTS: Mapping[FaultClass | None, RetryClass] = {
    FaultClass.TRANSIENT: RetryClass.ONCE_MORE,
    FaultClass.OURS: RetryClass.OURS,
}


def class_of(status: DeliveryStatus, fault: FaultClass | None) -> RetryClass | None:
    """Give the class of a failure; None: it is none."""
    if status in (DeliveryStatus.ACCEPTED, DeliveryStatus.SENDING):
        return None
    if fault is FaultClass.OURS:
        return RetryClass.OURS
    if status is DeliveryStatus.RETRY:
        return RetryClass.SAFE
    if status is DeliveryStatus.UNKNOWN:
        return RetryClass.UNKNOWN
    return _FAULTS.get(fault, RetryClass.PERSON)


def wait(*, tries: int, seed: str, asked: timedelta | None = None) -> timedelta:
    """How long to wait after so many tries, the same for the same ``seed`` (the message's id).

    ``asked``: the provider's Retry-After. Never less than that, somewhat later for some, and later
    still when it has asked for patience before.
    """
    place = share(f"wait:{tries}", seed)
    full = min(FIRST_WAIT * _GROWTH ** min(max(tries - 1, 0), 20), LONGEST_WAIT)
    grown = full * (0.5 + 0.5 * place)
    if asked is None:
        return grown
    return max(grown, asked * (1 + _LATER_THAN_ASKED * place))


def may_once_more(
    *, purpose: Purpose, created_at: datetime, expires_at: datetime | None, now: datetime
) -> bool:
    """Whether a message that was taken and did not arrive is still timely."""
    return now - created_at < TIMELY[purpose] and (expires_at is None or now < expires_at)
