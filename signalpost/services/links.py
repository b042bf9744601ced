"""Signed links: for one purpose, one customer and a limited time; a changed one opens nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from itsdangerous import BadSignature, URLSafeSerializer

from signalpost.errors import PermanentError


class BadLinkError(PermanentError):
    """The link is not one of ours, was changed, or is too old."""


#: How long a link of each purpose works. CAN-SPAM asks 30 days of an unsubscribe link; ours is longer.
LIFETIME: Mapping[str, timedelta] = {
    "agent": timedelta(days=14),
    "answer": timedelta(days=30),
    "unsubscribe": timedelta(days=400),
    "preferences": timedelta(days=400),
    "inbox": timedelta(days=30),
}


@dataclass(frozen=True)
class Links:
    """Makes and reads signed links. ``secrets``: the newest last; any of them is accepted."""

    base_url: str
    secrets: tuple[str, ...]

    def token(self, purpose: str, *, now: datetime, **claims: str) -> str:
        """Make an opaque token that says ``claims``, for this purpose only."""
        expires = int((now + LIFETIME[purpose]).timestamp())
        return self._signer(purpose).dumps({**claims, "exp": expires})  # type: ignore[return-value]

    def read(self, purpose: str, token: str, *, now: datetime) -> dict[str, Any]:
        """Give the claims of a token.

        Raises:
            BadLinkError: forged, altered, made for another purpose, or expired.
        """
        try:
            claims = self._signer(purpose).loads(token)
        except BadSignature as error:
            raise BadLinkError from error
        if not isinstance(claims, dict) or claims.pop("exp", 0) < now.timestamp():
            raise BadLinkError
        return claims

    def url(self, purpose: str, *, now: datetime, **claims: str) -> str:
        """Give the full address of a link, ``https://…/links/<purpose>/<token>``."""
        return f"{self.base_url}/links/{purpose}/{self.token(purpose, now=now, **claims)}"

    def for_message(
        self,
        *,
        customer_id: str,
        message_id: str,
        topic: str,
        website: str,
        order_id: str | None,
        now: datetime,
    ) -> "Lazy":
        """Give the links a template may use; each is signed only when the template asks for it.

        ``website``: the brand's own, where a customer's account and orders are.
        """
        claims = {"c": customer_id, "m": message_id}
        makers = {
            "agent": lambda: self.url("agent", now=now, **claims),
            "answer": lambda: self.url("answer", now=now, **claims),
            "unsubscribe": lambda: self.url("unsubscribe", now=now, **claims, t=topic),
            "preferences": lambda: self.url("preferences", now=now, **claims),
            "home": lambda: website,
            "inbox": lambda: f"{website}/inbox",
        }
        if order_id is not None:
            makers["order"] = lambda: f"{website}/orders/{quote(order_id, safe='')}"
        return Lazy(makers)

    def _signer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(list(self.secrets), salt=f"signalpost.link.{purpose}")


class Lazy(Mapping[str, str]):
    """A mapping whose values are made when they are asked for."""

    def __init__(self, makers: Mapping[str, Any]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> str:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)
