"""Twilio's error codes, as data: what each one means for us.

Source: twilio.com/docs/api/errors, read 2026-11-21. Twilio says not to program on the error's text.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from signalpost.domain.vocabulary import DeliveryStatus, FaultClass


@dataclass(frozen=True, slots=True)
class Fault:
    """What an error code means."""

    status: DeliveryStatus
    fault: FaultClass
    sentence: str
    suppress: str | None = None
    whole_account: bool = False  #: every message on this account would fail alike


def _retry(sentence: str) -> Fault:
    return Fault(DeliveryStatus.RETRY, FaultClass.TRANSIENT, sentence)


def _later(sentence: str) -> Fault:
    return Fault(DeliveryStatus.REJECTED, FaultClass.TRANSIENT, sentence)


def _permanent(sentence: str, suppress: str | None = None) -> Fault:
    return Fault(DeliveryStatus.REJECTED, FaultClass.PERMANENT, sentence, suppress)


def _ours(sentence: str) -> Fault:
    return Fault(DeliveryStatus.REJECTED, FaultClass.OURS, sentence)


def _account(sentence: str) -> Fault:
    return Fault(DeliveryStatus.REJECTED, FaultClass.OURS, sentence, whole_account=True)


FAULTS: Mapping[int, Fault] = {
    # answers to our call: not processed, safe to repeat
    20429: _retry("Too many requests; Twilio did not process this one."),
    20503: _retry("Twilio is in maintenance and did not process the request."),
    21611: _retry("The queue of this sender number is full."),
    21730: _retry("Twilio is in maintenance and did not process the request."),
    # the recipient: this address will not work
    21211: _permanent("The number is not valid.", "bad_address"),
    21214: _permanent("The number cannot be reached.", "bad_address"),
    21217: _permanent("The number does not look valid.", "bad_address"),
    21408: _permanent("Messages to this country are not enabled on the account."),
    21610: _permanent("The customer has opted out with the carrier or Twilio.", "stop"),
    21612: _permanent("This sender cannot reach this number."),
    21614: _permanent("The number is not a mobile number.", "bad_address"),
    # our account or request: stop, tell the operator, do not burn the list
    20003: _account("Twilio did not accept our credentials."),
    20404: _account("Twilio does not know the account or address that we called."),
    21601: _account("The sender number cannot send SMS."),
    21602: _ours("The message had no body."),
    21606: _ours("The sender number is not ours or cannot send to this number."),
    21617: _ours("The body was longer than 1,600 characters."),
    21618: _ours("The body could not be sent."),
    21619: _ours("The message had neither body nor media."),
    21620: _ours("The media address was not valid."),
    21623: _ours("The media could not be sent."),
    21624: _ours("The validity period was out of range."),
    21701: _account("The messaging service does not exist."),
    21703: _account("The messaging service has no sender number."),
    21704: _ours("The messaging service has no sender number for this message."),
    21705: _account("The messaging service is not valid."),
    90007: _ours("The validity period was out of range."),
    # later, in a callback, final
    30004: _permanent("The carrier or handset blocked the message."),
    30005: _permanent("The number is unknown or no longer in use.", "bad_address"),
    30006: _permanent("The number is a landline or out of reach of the carrier.", "bad_address"),
    30007: _permanent("The carrier filtered the message."),
    30032: _account("The toll-free sender is not verified."),
    30034: _account("The sender is not registered for A2P 10DLC."),
    30450: _permanent("Twilio blocked the message as suspected SMS pumping."),
    30610: _permanent("Twilio's compliance toolkit blocked the message."),
    30640: _permanent("Twilio's compliance toolkit blocked the message."),
    # later, in a callback: a new attempt may work, if the message is still timely
    30001: _later("The queue overflowed."),
    30003: _later("The handset is off or out of reach."),
    30008: _later("The carrier gave no reason."),
    30017: _later("The carrier's network is congested."),
    30022: _later("The carrier's limit for this sender is reached."),
    30023: _later("The carrier's daily limit for this sender is reached."),
    30027: _later("The carrier's limit for this campaign is reached."),
    30036: _later("The validity period ended before the message left."),
    30047: _later("The message could not be delivered this time."),
    30410: _later("The carrier did not answer in time."),
    30500: _later("Twilio had an internal fault."),
    63018: _later("The channel's limit for this sender is reached."),
}
"""Codes that are not here are judged by the HTTP status alone."""

FILTERED = frozenset({"30007"})
"""Carriers take our texts for spam: a spike of these is about the sender, not about the people."""
UNREGISTERED = frozenset({"30032", "30034"})
"""Carriers carry nothing of this sender until it is registered."""

ONCE_MORE = frozenset(
    str(code)
    for code, fault in FAULTS.items()
    if (fault.status, fault.fault) == (DeliveryStatus.REJECTED, FaultClass.TRANSIENT)
)
"""Of a text that was taken and did not arrive: another attempt may."""
