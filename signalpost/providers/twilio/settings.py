"""What the Twilio adapter needs to know, given by the composition root."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from signalpost.domain.vocabulary import Channel

PREFIX: Mapping[Channel, str] = {
    Channel.SMS: "",
    Channel.WHATSAPP: "whatsapp:",
    Channel.MESSENGER: "messenger:",
}
"""The three channels are one API; only the address differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioSettings:
    """Account, senders and limits. Secrets are kept out of ``repr``."""

    account_sid: str
    api_key: str  #: ``SK…``, or the account sid when ``api_secret`` is the auth token
    api_secret: str = field(repr=False)
    auth_tokens: tuple[str, ...] = field(default=(), repr=False)  #: two while one is replaced
    base_url: str | None = None  #: another host that speaks Twilio, such as the local post office
    sender: str | None = None  #: an E.164 number or short code
    messaging_service_sid: str | None = None
    whatsapp_sender: str | None = None  #: an E.164 number, without the prefix
    messenger_sender: str | None = None  #: a page id, without the prefix
    status_callback: str | None = None  #: public address of our status webhook, without a query
    callback_secret: str = field(default="", repr=False)
    timeout: timedelta = timedelta(seconds=30)  #: for a whole call, connection included
    concurrency: int = 20  #: calls in flight at once
