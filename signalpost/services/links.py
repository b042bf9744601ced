"""Signed links: for one purpose, one customer and a limited time; a changed one opens nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

from signalpost.content import WebLinks, is_web_address
from signalpost.errors import PermanentError
from signalpost.services import tokens


class BadLinkError(PermanentError):
    """The link is not one of ours, was changed, or is too old."""


#: How long a link of each purpose works. CAN-SPAM asks 30 days of an unsubscribe link; ours is longer.
LIFETIME: Mapping[str, timedelta] = {
    "agent": timedelta(days=14),
    "answer": timedelta(days=30),
    "confirm": timedelta(days=7),
    "unsubscribe": timedelta(days=400),
    "preferences": timedelta(days=400),
    "inbox": timedelta(days=30),
    "go": timedelta(days=400),
}
#: Where a click link may lead: pages of the brand's own website, each by a name.
PAGES: Mapping[str, str] = {"home": "", "inbox": "/inbox", "order": "/orders/{}"}


@lru_cache(maxsize=1024)
def page_of(website: str, name: str, order_id: str | None) -> str:
    """Give the address of one of the brand's own pages.

    Raises:
        KeyError: there is no such page, it needs an order and there is none, or the brand's website
            is no web address.
    """
    if name == "order" and order_id is None:
        raise KeyError(name)
    page = website + PAGES[name].format(quote(order_id or "", safe=""))
    if not is_web_address(page):
        raise KeyError(name)
    return page


@dataclass(frozen=True)
class Links:
    """Makes and reads signed links. ``secrets``: the newest last; any of them is accepted."""

    base_url: str
    secrets: tuple[str, ...]

    def token(self, purpose: str, *, now: datetime, **claims: str) -> str:
        """Make an opaque token that says ``claims``, for this purpose only."""
        return self.sign(purpose, tokens.body(claims, now))

    def sign(self, purpose: str, said: bytes) -> str:
        """Make the token of a body (``services.tokens``), for this purpose only."""
        return tokens.signed(said, self._keys[purpose])

    def read(self, purpose: str, token: str, *, now: datetime) -> dict[str, Any]:
        """Give the claims of a token.

        Raises:
            BadLinkError: forged, altered, made for another purpose, or expired.
        """
        try:
            claims = tokens.read(self.secrets, purpose, token)
        except ValueError as error:
            raise BadLinkError from error
        if not _is_fresh(claims.pop("at", None), purpose, now):
            raise BadLinkError
        return claims

    def url(self, purpose: str, *, now: datetime, **claims: str) -> str:
        """Give the full address of a link, ``https://…/links/<purpose>/<token>``."""
        return self.signed_url(purpose, tokens.body(claims, now))

    def signed_url(self, purpose: str, said: bytes) -> str:
        """Give the full address of a link whose token's body is written already."""
        return f"{self.base_url}/links/{purpose}/{self.sign(purpose, said)}"

    def for_message(
        self,
        *,
        customer_id: str,
        message_id: str,
        topic: str,
        website: str,
        order_id: str | None,
        now: datetime,
        counted: bool = False,
    ) -> "MessageLinks":
        """Give the links a template may use; each is signed only when the template asks for it.

        ``website``: the brand's own, where a customer's account and orders are. ``counted``: links to
        it lead there by way of us, so that we know of the click.
        """
        own = self.head(customer_id, message_id, now)
        return MessageLinks(self, own, topic, website, order_id, counted)

    def head(self, customer_id: str, message_id: str, now: datetime) -> bytes:
        """Write what only this message's tokens say, the beginning of their bodies."""
        return tokens.head(customer_id, message_id, now)

    @cached_property
    def _keys(self) -> dict[str, blake2b]:
        """For each purpose a signature that has been begun with its key."""
        return {purpose: tokens.key(self.secrets, purpose) for purpose in LIFETIME}


def _is_fresh(made_at: Any, purpose: str, now: datetime) -> bool:
    return (
        isinstance(made_at, int)
        and now.timestamp() < made_at + LIFETIME[purpose].total_seconds() + 1
    )


class MessageLinks(WebLinks):
    """The links of one message, each made when it is first asked for: a template asks for few."""

    __slots__ = ("_counted", "_links", "_made", "_order_id", "_own", "_topic", "_website")

    _SIGNED = frozenset({"agent", "answer", "confirm", "unsubscribe", "preferences"})
    _ABOUT_TOPIC = frozenset({"confirm", "unsubscribe"})

    def __init__(
        self,
        links: Links,
        own: bytes,
        topic: str,
        website: str,
        order_id: str | None,
        counted: bool = False,
    ) -> None:
        """``own``: what only this message's tokens say."""
        self._links, self._own, self._topic = links, own, topic
        self._website, self._order_id, self._counted = website, order_id, counted
        self._made: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        found = self._made.get(name)
        if found is None:
            if name in self._SIGNED:
                about = tokens.rest("t", self._topic) if name in self._ABOUT_TOPIC else b""
                found = self._links.signed_url(name, self._own + about)
            else:
                found = self._page(name)
            self._made[name] = found
        return found

    def _page(self, name: str) -> str:
        page = page_of(self._website, name, self._order_id)
        if not self._counted or not page.startswith("https://"):
            return page  # by way of us nobody is led to a page that is not https
        if name == "order" and self._order_id is not None:
            said = tokens.more({"to": name, "o": self._order_id})
        else:
            said = tokens.rest("to", name)
        return self._links.signed_url("go", self._own + said)

    def __iter__(self) -> Iterator[str]:
        yield from (*sorted(self._SIGNED), "home", "inbox")
        if self._order_id is not None:
            yield "order"

    def __len__(self) -> int:
        return len(list(iter(self)))
