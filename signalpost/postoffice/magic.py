"""Addresses that make something happen, so that a test or a person can ask for it.

Email, by the part before ``@`` (a ``+tag`` is ignored, the domain does not matter):

===============  ==================================================================
``bounce``       processed, then a hard bounce (and dropped from then on)
``blocked``      processed, then a soft bounce of type ``blocked``
``deferred``     processed, deferred, then delivered
``dropped``      dropped with the reason ``Invalid``
``spamreport``   delivered, then reported as spam
``unsubscribe``  delivered, then unsubscribed
``invalid``      400 for the whole request
===============  ==================================================================

Phones (the first five are Twilio's own magic numbers):

=================  ================================================================
``+15005550001``   400, code 21211 (not a valid number)
``+15005550002``   400, code 21612 (cannot be reached from this sender)
``+15005550003``   400, code 21408 (country not enabled)
``+15005550004``   400, code 21610 (opted out)
``+15005550009``   400, code 21614 (not a mobile number)
``+15005553ddd``   accepted, later ``undelivered`` with ErrorCode ``30ddd``
                   (3003 is 30003; 30001 and 30002 are ``failed``)
``+15005554000``   accepted, stays ``sent`` for ever
=================  ================================================================
"""

from typing import Any

Step = tuple[str, dict[str, Any]]  #: event or status, and what it carries

PROCESSED: Step = ("processed", {})
DELIVERED: Step = ("delivered", {"response": "250 2.0.0 OK"})
BOUNCE: Step = (
    "bounce",
    {
        "type": "bounce",
        "status": "5.1.1",
        "reason": "550 5.1.1 The email account that you tried to reach does not exist.",
        "bounce_classification": "Invalid Address",
    },
)
BLOCKED: Step = (
    "bounce",
    {
        "type": "blocked",
        "status": "5.7.1",
        "reason": "550 5.7.1 Message blocked by the receiving server.",
        "bounce_classification": "Reputation",
    },
)
DEFERRED: Step = ("deferred", {"response": "451 4.7.1 Please try again later.", "attempt": "1"})

_MAIL_LIVES: dict[str, list[Step]] = {
    "bounce": [PROCESSED, BOUNCE],
    "blocked": [PROCESSED, BLOCKED],
    "deferred": [PROCESSED, DEFERRED, DELIVERED],
    "dropped": [("dropped", {"reason": "Invalid", "status": "5.1.3"})],
    "spamreport": [PROCESSED, DELIVERED, ("spamreport", {})],
    "unsubscribe": [PROCESSED, DELIVERED, ("unsubscribe", {})],
}
_REFUSED_NUMBERS = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
_FAILED_AT_ONCE = {30001, 30002}


def mail_life(address: str) -> list[Step]:
    """Return the events one mail to this address will have."""
    return _MAIL_LIVES.get(_local_part(address), [PROCESSED, DELIVERED])


def is_refused_address(address: str) -> bool:
    """Say whether SendGrid would refuse the whole request because of this address."""
    return _local_part(address) == "invalid"


def refusal_code(number: str) -> int | None:
    """Return the Twilio error with which a message to this number is refused, if any."""
    return _REFUSED_NUMBERS.get(_digits(number))


def sms_life(number: str) -> list[Step]:
    """Return the statuses a message to this number goes through after it was accepted."""
    bare = _digits(number)
    if bare == "+15005554000":
        return [("sent", {})]
    if bare.startswith("+15005553") and len(bare) == 12:
        code = 30_000 + int(bare[-3:])
        if code in _FAILED_AT_ONCE:
            return [("failed", {"error_code": code})]
        return [("sent", {}), ("undelivered", {"error_code": code})]
    return [("sent", {}), ("delivered", {})]


def _local_part(address: str) -> str:
    return address.partition("@")[0].partition("+")[0].lower()


def _digits(number: str) -> str:
    return number.rpartition(":")[2]
