"""What SendGrid tells us later: the event webhook, signed, repeated and in any order."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sendgrid.helpers.eventwebhook import EventWebhook
from sendgrid.helpers.eventwebhook.eventwebhook_header import EventWebhookHeader

from signalpost.domain.delivery import Receipt
from signalpost.domain.vocabulary import ReceiptKind
from signalpost.errors import BadInputError

KINDS: Mapping[str, ReceiptKind] = {
    "processed": ReceiptKind.QUEUED,
    "deferred": ReceiptKind.DEFERRED,
    "delivered": ReceiptKind.DELIVERED,
    "bounce": ReceiptKind.BOUNCED,
    "blocked": ReceiptKind.BLOCKED,
    "dropped": ReceiptKind.REJECTED,
    "open": ReceiptKind.OPENED,
    "click": ReceiptKind.CLICKED,
    "spamreport": ReceiptKind.COMPLAINED,
    "unsubscribe": ReceiptKind.UNSUBSCRIBED,
    "group_unsubscribe": ReceiptKind.UNSUBSCRIBED,
}
"""SendGrid's words in ours. Any other, ``group_resubscribe`` among them, is ``UNKNOWN`` with its raw
kept: a resubscription there is no consent given to us."""

DROPPED: Mapping[str, tuple[str, str | None]] = {
    "invalid smtpapi header": ("invalid_header", None),
    "spam content": ("spam_content", None),
    "spam content (if spam checker app enabled)": ("spam_content", None),
    "unsubscribed address": ("unsubscribed_address", "stop"),
    "bounced address": ("bounced_address", "bad_address"),
    "spam reporting address": ("spam_reporting_address", "complaint"),
    "invalid": ("invalid_address", "bad_address"),
    "recipient list over package quota": ("over_quota", None),
}
"""Why SendGrid dropped a message: our code, and the suppression that it tells us of."""

_SUPPRESS: Mapping[ReceiptKind, str] = {
    ReceiptKind.BOUNCED: "bad_address",
    ReceiptKind.COMPLAINED: "complaint",
}
_SECOND_KEY = (
    "sg_message_id", "smtp-id", "x_delivery_id", "event", "type", "timestamp", "email", "url",
    "attempt",
)  # fmt: skip


def verify_events(raw_body: bytes, headers: Mapping[str, str], keys: Sequence[str]) -> bool:
    """Whether SendGrid signed exactly these bytes; ``keys`` are public keys, two while one changes.

    ECDSA over timestamp and raw body, line end included. Never raises. A timestamp may be old:
    SendGrid repeats for 24 hours, so repeats are found by their keys and not by time. Both are signed in
    a row: a digit that wandered from the timestamp to the body would keep the signature.
    """
    lower = {str(name).lower(): value for name, value in headers.items()}
    try:
        signature = str(lower[EventWebhookHeader.SIGNATURE.lower()])
        timestamp = str(lower[EventWebhookHeader.TIMESTAMP.lower()])
        signed = timestamp.encode("ascii") + raw_body
        der = base64.b64decode(signature, validate=True)
    except (LookupError, ValueError, TypeError):
        return False
    if not timestamp.isdecimal() or raw_body[:1].isdigit():
        return False
    return any(_signed_by(key, der, signed) for key in keys if key)


def _signed_by(key: str, signature: bytes, signed: bytes) -> bool:
    try:
        public_key = EventWebhook(key.strip()).public_key
        if not isinstance(public_key, ec.EllipticCurvePublicKey):
            return False
        public_key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def parse_events(raw_body: bytes, *, now: datetime) -> list[Receipt]:
    """The events of one call in our words; ``now`` stands in for a time that is missing.

    Raises ``BadInputError`` when the body is not JSON. What is odd inside an event never raises: it
    becomes ``UNKNOWN`` and its raw is kept.
    """
    try:
        body = json.loads(raw_body, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise BadInputError(
            "The event webhook's body is not JSON; SendGrid sends an array of events."
        ) from error
    return [_receipt(event, now) for event in _events(body)]


def _events(body: Any) -> Iterator[dict[str, Any]]:
    for item in body if isinstance(body, list) else [body]:
        clean = _storable(item)
        yield clean if isinstance(clean, dict) else {"value": clean}


def _receipt(event: dict[str, Any], now: datetime) -> Receipt:
    word = _text(event, "event").lower()
    if word == "bounce" and _text(event, "type").lower() == "blocked":
        word = "blocked"
    kind = KINDS.get(word, ReceiptKind.UNKNOWN)
    code, suppress = _text(event, "status") or None, _SUPPRESS.get(kind)
    if kind is ReceiptKind.REJECTED:
        code, suppress = DROPPED.get(_text(event, "reason").lower(), ("other", None))
    return Receipt(
        provider="sendgrid",
        keys=_keys(event),
        kind=kind,
        at=_time(event.get("timestamp"), now),
        message_id=_text(event, "x_message_id") or None,
        provider_id=_message_id(_text(event, "sg_message_id")),
        address=_text(event, "email") or None,
        code=code,
        machine=str(event.get("sg_machine_open", "")).lower() in ("true", "1"),
        suppress=suppress,
        raw=event,
    )


def _keys(event: dict[str, Any]) -> tuple[str, ...]:
    """SendGrid's event id, and a second key: the id has been seen to change when a call is repeated.

    An event that has none of the fields of the second key is known by its whole content.
    """
    second: Any = [event.get(name) for name in _SECOND_KEY]
    if event.get("event") is None or event.get("timestamp") is None:
        second = event
    text = json.dumps(second, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    event_id = _text(event, "sg_event_id")
    return (f"id:{event_id[:100]}", f"same:{digest}") if event_id else (f"same:{digest}",)


def _message_id(text: str) -> str | None:
    """The ``X-Message-Id`` of our request, which begins each event's ``sg_message_id``."""
    return text.split(".filter")[0].split(".recv")[0] or None


def _time(value: Any, now: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return now


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


def _storable(value: Any) -> Any:
    """Without what a database cannot keep: NUL and lone surrogates."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode(errors="replace").decode()
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return value
