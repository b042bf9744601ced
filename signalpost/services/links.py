"""Signed links: for one purpose, one customer and a limited time; a changed one opens nothing."""

import hmac
import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote

import orjson
from itsdangerous import BadSignature, URLSafeSerializer

from signalpost.errors import PermanentError


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


def page_of(website: str, name: str, order_id: str | None) -> str:
    """Give the address of one of the brand's own pages.

    Raises:
        KeyError: there is no such page, or it needs an order and there is none.
    """
    if name == "order" and order_id is None:
        raise KeyError(name)
    return website + PAGES[name].format(quote(order_id or "", safe=""))


@dataclass(frozen=True)
class Links:
    """Makes and reads signed links. ``secrets``: the newest last; any of them is accepted."""

    base_url: str
    secrets: tuple[str, ...]

    def token(self, purpose: str, *, now: datetime, **claims: str) -> str:
        """Make an opaque token that says ``claims``, for this purpose only."""
        return self.sign(purpose, payload(claims, now))

    def sign(self, purpose: str, said: bytes) -> str:
        """Make the token of a payload, for this purpose only.

        It is what the serializer would write (without its zlib, which gains nothing on ids); a campaign
        signs three links a person, and this takes a tenth of the time.
        """
        signing = self._keys[purpose].copy()
        signing.update(said)
        return f"{said.decode()}.{_base64(signing.digest()).decode()}"

    def read(self, purpose: str, token: str, *, now: datetime) -> dict[str, Any]:
        """Give the claims of a token.

        Raises:
            BadLinkError: forged, altered, made for another purpose, or expired.
        """
        try:
            claims = _serializer(self.secrets, purpose).loads(token)
        except BadSignature as error:
            raise BadLinkError from error
        if not isinstance(claims, dict) or not _is_fresh(claims.pop("at", None), purpose, now):
            raise BadLinkError
        return {name: _long(value) for name, value in claims.items()}

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
        counted: bool = False,
    ) -> "MessageLinks":
        """Give the links a template may use; each is signed only when the template asks for it.

        ``website``: the brand's own, where a customer's account and orders are. ``counted``: links to
        it lead there by way of us, so that we know of the click.
        """
        claims = {"c": _short(customer_id), "m": _short(message_id)}
        return MessageLinks(self, claims, topic, website, order_id, now, counted)

    @cached_property
    def _keys(self) -> dict[str, hmac.HMAC]:
        """For each purpose a signature that has been begun with its key, of the newest secret."""
        keys = {p: _serializer(self.secrets, p).make_signer().derive_key() for p in LIFETIME}
        return {purpose: hmac.new(key, digestmod="sha1") for purpose, key in keys.items()}


def _serializer(secrets: tuple[str, ...], purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(list(secrets), salt=f"signalpost.link.{purpose}")


_SHORT = re.compile(r"~[\w-]{22}", re.ASCII)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _base64(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=")


def payload(claims: Mapping[str, str], now: datetime) -> bytes:
    """Write what a token says: the claims, and when it was made; its purpose says how long it lasts."""
    said = {name: _short(value) for name, value in claims.items()}
    return _payload(said, now)


def _payload(short: Mapping[str, str], now: datetime) -> bytes:
    return _base64(orjson.dumps({**short, "at": int(now.timestamp())}))


def _is_fresh(made_at: Any, purpose: str, now: datetime) -> bool:
    return (
        isinstance(made_at, int)
        and now.timestamp() < made_at + LIFETIME[purpose].total_seconds() + 1
    )


def _short(value: str) -> str:
    """Write an id in 23 letters instead of 36: in a text message every letter is paid for."""
    if len(value) != 36 or value[8::5][:4] != "----" or value != value.lower():
        return value
    try:
        return "~" + _base64(bytes.fromhex(value.replace("-", ""))).decode()
    except ValueError:
        return value


def _long(value: Any) -> Any:
    if not isinstance(value, str) or not _SHORT.fullmatch(value):
        return value
    raw = urlsafe_b64decode(value[1:] + "==").hex()
    return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"


class MessageLinks(Mapping[str, str]):
    """The links of one message, each made when it is first asked for: a template asks for few."""

    __slots__ = (
        "_claims", "_counted", "_links", "_made", "_now", "_order_id", "_said", "_topic", "_website",
    )  # fmt: skip

    _SIGNED = frozenset({"agent", "answer", "confirm", "unsubscribe", "preferences"})

    def __init__(
        self,
        links: Links,
        claims: dict[str, str],
        topic: str,
        website: str,
        order_id: str | None,
        now: datetime,
        counted: bool = False,
    ) -> None:
        self._counted = counted
        self._links, self._claims, self._topic = links, claims, topic
        self._website, self._order_id, self._now = website, order_id, now
        self._said = _payload(claims, now)
        self._made: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = self._make(name)
        return found

    def _make(self, name: str) -> str:
        if name in self._SIGNED:
            said = self._said
            if name in ("unsubscribe", "confirm"):
                said = _payload({**self._claims, "t": self._topic}, self._now)
            return f"{self._links.base_url}/links/{name}/{self._links.sign(name, said)}"
        page = page_of(self._website, name, self._order_id)
        if not self._counted or not page.startswith("https://"):
            return page  # by way of us nobody is led to a page that is not https
        order = {"o": self._order_id} if name == "order" and self._order_id is not None else {}
        said = _payload({**self._claims, "to": name, **order}, self._now)
        return f"{self._links.base_url}/links/go/{self._links.sign('go', said)}"

    def __iter__(self) -> Iterator[str]:
        yield from (*sorted(self._SIGNED), "home", "inbox")
        if self._order_id is not None:
            yield "order"

    def __len__(self) -> int:
        return len(list(iter(self)))
