"""What Twilio refuses in a Messages request, with its codes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import orjson

from signalpost.postoffice import magic

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_ADDRESS = re.compile(r"(?:whatsapp:\+[1-9]\d{6,14}|messenger:[\w.-]{1,64}|\+[1-9]\d{6,14})")
_SENDER = re.compile(
    r"(?:whatsapp:\+[1-9]\d{6,14}|messenger:[\w.-]{1,64}|\+[1-9]\d{6,14}|\d{3,8}"
    r"|(?=.*[A-Za-z])[A-Za-z0-9 &._-]{1,11})"
)
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_CONTENT = re.compile(r"HX[0-9a-fA-F]{32}")

_MESSAGES = {
    20009: "Cannot delete this Message: it is still under way",
    20003: "Authenticate",
    20404: "The requested resource was not found",
    20429: "Too Many Requests",
    20500: "Internal Server Error",
    21211: "Invalid 'To' Phone Number: {to}",
    21212: "Invalid From Number (caller ID): {sender}",
    21266: "'To' and 'From' number cannot be the same",
    21408: "Permission to send an SMS has not been enabled for the region indicated by the 'To' "
    "number: {to}",
    21602: "Message body is required.",
    21603: "A 'From' or 'MessagingServiceSid' parameter is required.",
    21604: "A 'To' phone number is required.",
    21609: "The 'StatusCallback' URL is not a valid URL.",
    21610: "Attempt to send to unsubscribed recipient",
    21612: "Message cannot be sent with the current combination of 'To' and/or 'From' parameters",
    21614: "'To' number is not a valid mobile number",
    21617: "The concatenated message body exceeds the 1600 character limit",
    21623: "Number of media files exceeds allowed limit",
    21624: "The ValidityPeriod must be an integer between 1 and 36000 seconds",
    21656: "The ContentVariables Parameter is invalid",
    21655: "The ContentSid is Invalid",
    21701: "The Messaging Service does not exist",
    21910: "Invalid 'From' and 'To' pair. 'From' and 'To' should be of the same channel",
    30409: "Message cannot be changed in its current status",
    35111: "SendAt cannot be empty for ScheduleType 'fixed'",
    35114: "SendAt must be between 15 minutes and 35 days in the future",
    35118: "MessagingServiceSid is required to schedule a message",
}
_STATUSES = {20003: 401, 20009: 409, 20404: 404, 20429: 429, 20500: 500, 30409: 409}


@dataclass(frozen=True, slots=True)
class SmsRefusal:
    """Why Twilio would not take a request."""

    code: int
    to: str = ""
    sender: str = ""

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return _STATUSES.get(self.code, 400)

    def body(self) -> dict[str, str | int]:
        """Return Twilio's error object."""
        return {
            "code": self.code,
            "message": _MESSAGES.get(self.code, "Bad Request").format(
                to=self.to, sender=self.sender
            ),
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }


def check_sms(fields: Mapping[str, str], media: list[str], *, now: datetime) -> SmsRefusal | None:
    """Return the first reason to refuse these parameters, or None."""
    code = (
        _check_parties(fields)
        or _check_words(fields, media)
        or _check_options(fields)
        or _check_schedule(fields, now)
    )
    if code is None:
        return None
    return SmsRefusal(code, fields.get("To", ""), fields.get("From", ""))


def channel_of(address: str) -> str:
    """Return ``sms``, ``whatsapp`` or ``messenger``."""
    return address.partition(":")[0] if ":" in address else "sms"


def _check_parties(fields: Mapping[str, str]) -> int | None:
    to, sender = fields.get("To", ""), fields.get("From", "")
    service = fields.get("MessagingServiceSid", "")
    if not to:
        return 21604
    if not _ADDRESS.fullmatch(to):
        return 21211
    if not sender and not service:
        return 21603
    if sender and not _SENDER.fullmatch(sender):
        return 21212
    if sender and channel_of(sender) != channel_of(to):
        return 21910
    if service and not _SERVICE.fullmatch(service):
        return 21701
    return 21266 if sender == to else magic.refusal_code(to)


def _check_words(fields: Mapping[str, str], media: list[str]) -> int | None:
    body, content = fields.get("Body", ""), fields.get("ContentSid", "")
    if content and not _CONTENT.fullmatch(content):
        return 21655
    if not body and not media and not content:
        return 21602
    if len(body) > 1600:
        return 21617
    if len(media) > 10:
        return 21623
    return None if _is_json_object(fields.get("ContentVariables")) else 21656


def _check_options(fields: Mapping[str, str]) -> int | None:
    callback = fields.get("StatusCallback")
    if callback and not is_web_address(callback):
        return 21609
    validity = fields.get("ValidityPeriod")
    if validity and not (validity.isdecimal() and 1 <= int(validity) <= 36_000):
        return 21624
    return None


def _check_schedule(fields: Mapping[str, str], now: datetime) -> int | None:
    if fields.get("ScheduleType") != "fixed":
        return None
    if not fields.get("MessagingServiceSid"):
        return 35118
    if not fields.get("SendAt"):
        return 35111
    at = parse_time(fields["SendAt"])
    ahead = (at - now).total_seconds() if at else 0
    return None if 900 <= ahead <= 35 * 86_400 else 35114


def parse_time(text: str) -> datetime | None:
    """Return an aware ISO 8601 time, or None when it is not one."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None


def is_web_address(url: str) -> bool:
    """Say whether this is an http(s) URL with a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_address(text: str) -> bool:
    """Say whether this is a phone number or a channel address a message can go to."""
    return _ADDRESS.fullmatch(text) is not None


def is_phone(address: str) -> bool:
    """Say whether this is a bare E.164 number, that is, plain SMS."""
    return _E164.fullmatch(address) is not None


def _is_json_object(text: str | None) -> bool:
    if not text:
        return True
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
