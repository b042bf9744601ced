"""What the post office is told when it opens."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from signalpost.clock import wall_clock

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, kw_only=True)
class PostOfficeConfig:
    """Addresses, keys and pace of one post office."""

    log_path: Path  #: append-only JSON lines, fsynced; nobody else writes it
    port: int = 8025
    host: str = "127.0.0.1"
    twilio_account_sid: str
    twilio_auth_token: str = field(repr=False)  #: Basic password; signs the Twilio webhooks
    sendgrid_api_key: str = field(repr=False)  #: expected as Bearer
    sendgrid_webhook_private_key: str = field(repr=False)  #: PEM, EC P-256; signs the events
    sendgrid_events_url: str | None = None  #: where batches of mail events go
    twilio_inbound_url: str | None = None  #: where a reply typed on the phone goes
    inbox_url: str | None = None  #: the product's base URL, for the app inbox on the page
    api_key: str | None = field(default=None, repr=False)  #: the product's read key
    hook_secret: str | None = field(default=None, repr=False)  #: whsec_…, for the block-card hook
    delay: float = 0.2  #: seconds between two steps of a message's life; 0 in tests
    clock: Callable[[], datetime] = wall_clock  #: dates the log and the events
    keep: bool = True  #: False: answer as usual, but log nothing and send no webhook (benchmarks)


def new_sendgrid_keypair() -> tuple[str, str]:
    """Return a fresh key pair for the event webhook: private PEM, public base64 as SendGrid shows."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem.decode(), base64.b64encode(public).decode()
