"""Twilio Programmable Messaging: SMS, WhatsApp and Messenger through one API."""

from signalpost.providers.twilio.erasing import TwilioEraser
from signalpost.providers.twilio.provider import Twilio
from signalpost.providers.twilio.settings import TwilioSettings
from signalpost.providers.twilio.webhooks import (
    answer,
    callback_is_ours,
    is_whole,
    parse_inbound,
    parse_status,
    verify,
)

__all__ = [
    "Twilio",
    "TwilioEraser",
    "TwilioSettings",
    "answer",
    "callback_is_ours",
    "is_whole",
    "parse_inbound",
    "parse_status",
    "verify",
]
