"""What Twilio calls us with: signatures, status callbacks and messages from customers."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from twilio.request_validator import (
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    add_port,
    get_signature_algorithm,
    remove_port,
)
from twilio.twiml.messaging_response import MessagingResponse

from signalpost.domain.delivery import Inbound, Receipt
from signalpost.domain.vocabulary import Channel, ReceiptKind
from signalpost.providers.twilio.callbacks import callback_is_ours
from signalpost.providers.twilio.faults import FAULTS
from signalpost.providers.twilio.settings import PREFIX

__all__ = ["answer", "callback_is_ours", "is_whole", "parse_inbound", "parse_status", "verify"]

KINDS: Mapping[str, ReceiptKind] = {
    "accepted": ReceiptKind.QUEUED,
    "scheduled": ReceiptKind.QUEUED,
    "queued": ReceiptKind.QUEUED,
    "sending": ReceiptKind.QUEUED,
    "sent": ReceiptKind.SENT,
    "partially_delivered": ReceiptKind.SENT,
    "delivered": ReceiptKind.DELIVERED,
    "undelivered": ReceiptKind.BLOCKED,
    "failed": ReceiptKind.FAILED,
    "canceled": ReceiptKind.FAILED,
    "read": ReceiptKind.READ,
}
"""Twilio's words in ours; a word that is missing here becomes ``UNKNOWN`` and its raw is kept."""

_MOST_FIELDS = 1000
_ANSWERED = frozenset({"STOP", "START", "HELP"})
#: Twilio's ids are SM or MM and 32 hexadecimal digits; nothing that follows one in a form is like that.
_SID = re.compile(r"(?:SM|MM)[0-9a-f-]{1,36}", re.ASCII)
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class _Form(dict[str, list[str]]):
    """A form with repeated keys, in the shape that the SDK's validator asks for."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def verify(url: str, raw_body: bytes, headers: Mapping[str, str], tokens: Sequence[str]) -> bool:
    """Whether Twilio signed this request; ``url`` is our public address with its query.

    ``tokens`` are the auth tokens in use, two while one is replaced. Never raises: what cannot be
    understood is not signed. The signature has no time in it, so repeats are found by their keys.
    """
    try:
        return _verify(url, raw_body, headers, tokens)
    except (ValueError, UnicodeError, LookupError, TypeError, AttributeError):
        return False


def _verify(url: str, raw_body: bytes, headers: Mapping[str, str], tokens: Sequence[str]) -> bool:
    lower = {str(name).lower(): value for name, value in headers.items()}
    given = str(lower.get(SIGNATURE_HEADER.lower()) or "")
    if not given or not given.isascii():
        return False
    form = _signed_form(url, raw_body, str(lower.get("content-type") or ""))
    if form is None:
        return False
    algorithm = get_signature_algorithm(lower.get(SIGNATURE_SETTINGS_HEADER.lower()))
    parts = urlsplit(url)
    matches = [
        hmac.compare_digest(
            RequestValidator(token).compute_signature(form_url, form, algorithm), given
        )
        for token in tokens
        if token
        for form_url in {url, add_port(parts), remove_port(parts)}
    ]
    return any(matches)


def _signed_form(url: str, raw_body: bytes, content_type: str) -> _Form | None:
    """The fields that the signature covers, or ``None`` when the body is not covered by it."""
    hashes = parse_qs(urlsplit(url).query).get("bodySHA256")
    if hashes:
        body_hash = hashlib.sha256(raw_body).hexdigest()
        if not hmac.compare_digest(body_hash.encode(), hashes[0].lower().encode()):
            return None
    form = _Form()
    if content_type.lower().startswith("application/x-www-form-urlencoded"):
        fields = parse_qsl(
            raw_body.decode(),
            keep_blank_values=True,
            max_num_fields=_MOST_FIELDS,
            errors="strict",
        )
        for name, value in fields:
            form.setdefault(name, []).append(value)
        return form
    return form if hashes or not raw_body else None


def is_whole(form: Mapping[str, Any]) -> bool:
    """Whether a form carries its id, written as Twilio writes them.

    Twilio signs names and values in a row, with nothing between them. Whoever captured a call could
    move a letter from one to the next and keep the signature: an id that is longer, or gone, and the
    repeat would pass for a new message.
    """
    return _SID.fullmatch(_field(form, "MessageSid")) is not None


def parse_status(
    form: Mapping[str, Any], *, query: Mapping[str, str] | None = None, now: datetime
) -> Receipt:
    """A status callback in our words. ``query`` is ours (see ``callbacks``), checked by the caller.

    Twilio sends no usable time, so the receipt's time is ``now``. Never raises.
    """
    status = _field(form, "MessageStatus", "SmsStatus").lower()
    error = _field(form, "ErrorCode")
    known = FAULTS.get(int(error)) if error.isdecimal() and len(error) < 9 else None
    kind = KINDS.get(status, ReceiptKind.UNKNOWN)
    suppress = known.suppress if known and kind in _UNDELIVERED else None
    sid = _sid(form)
    return Receipt(
        provider="twilio",
        keys=(f"{sid}:{status}",),
        kind=_UNDELIVERED[kind].get(suppress, kind) if kind in _UNDELIVERED else kind,
        at=now,
        message_id=(query or {}).get("m") or None,
        provider_id=sid,
        address=_address(_field(form, "To"))[1] or None,
        code=error or None,
        suppress=suppress,
        raw=dict(form),
    )


_UNDELIVERED: Mapping[ReceiptKind, Mapping[str | None, ReceiptKind]] = {
    kind: {"bad_address": ReceiptKind.BOUNCED, "stop": ReceiptKind.REJECTED}
    for kind in (ReceiptKind.BLOCKED, ReceiptKind.FAILED)
}
"""A message that failed because of its recipient is told apart from one that failed this time."""


def parse_inbound(form: Mapping[str, Any], *, now: datetime) -> Inbound:
    """A message from a customer, with the channel told by the address. Never raises."""
    channel, sender = _address(_field(form, "From"))
    answered = _field(form, "OptOutType").upper()
    return Inbound(
        provider="twilio",
        provider_id=_sid(form),
        channel=channel,
        sender=sender,
        recipient=_address(_field(form, "To"))[1],
        body=_field(form, "Body"),
        at=now,
        answered_by_provider=answered if answered in _ANSWERED else None,
        raw=dict(form),
    )


def answer(text: str | None) -> str:
    """The TwiML that answers an inbound message; ``None`` is silence."""
    response = MessagingResponse()
    if text:
        response.message(_NOT_XML.sub("", text))
    return str(response)


def _field(form: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = form.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _sid(form: Mapping[str, Any]) -> str:
    """Twilio's id; a form without one is known by its content, so that a repeat is still found."""
    sid = _field(form, "MessageSid", "SmsSid", "SmsMessageSid")
    if sid:
        return sid
    content = repr(sorted((str(name), str(value)) for name, value in form.items()))
    return "form-" + hashlib.sha256(content.encode(errors="replace")).hexdigest()[:32]


def _address(text: str) -> tuple[Channel, str]:
    for channel, prefix in PREFIX.items():
        if prefix and text.lower().startswith(prefix):
            return channel, text[len(prefix) :].strip()
    return Channel.SMS, text.strip()
