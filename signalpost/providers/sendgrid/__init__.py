"""Twilio SendGrid: email."""

from signalpost.providers.sendgrid.erasing import SendGridEraser
from signalpost.providers.sendgrid.provider import SendGrid
from signalpost.providers.sendgrid.settings import From, SendGridSettings
from signalpost.providers.sendgrid.webhooks import parse_events, verify_events

__all__ = [
    "From",
    "SendGrid",
    "SendGridEraser",
    "SendGridSettings",
    "parse_events",
    "verify_events",
]
