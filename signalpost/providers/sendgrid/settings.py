"""What the SendGrid adapter needs to know, given by the composition root."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from signalpost.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class From:
    """The sender that customers see. Raises ``ConfigurationError`` on what SendGrid refuses."""

    email: str
    name: str = ""

    def __post_init__(self) -> None:
        if "@" not in self.email or not self.email.isascii() or set(self.email) & set("\r\n\0 "):
            raise ConfigurationError(
                f"The from address {self.email!r} is not valid: use plain ASCII, name@domain."
            )
        if set(self.name) & set("\r\n\0"):
            raise ConfigurationError("The from name holds a line break: write it on one line.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SendGridSettings:
    """Key, senders and limits. The key is kept out of ``repr``."""

    api_key: str = field(repr=False)
    senders: Mapping[str, From]  #: by stream: security, transactional, marketing
    base_url: str | None = None  #: another host that speaks SendGrid, such as the local post office
    timeout: timedelta = timedelta(seconds=30)  #: for a whole call, connection included
    webhook_public_keys: tuple[str, ...] = ()  #: of the event webhook; two while one is replaced
    asm_group: int | None = None  #: SendGrid's unsubscribe group for marketing
    concurrency: int = 8  #: calls in flight at once
