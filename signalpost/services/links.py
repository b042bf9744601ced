"""Signed links: for one purpose, one customer and a limited time; a changed one opens nothing."""

import hmac
import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
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
        return self._signed(purpose, {n: _short(v) for n, v in claims.items()}, now)

    def _signed(self, purpose: str, claims: Mapping[str, str], now: datetime) -> str:
        payload = _base64(orjson.dumps({**claims, "exp": _expiry(purpose, now)}))
        # What the serializer would write (without its zlib, which gains nothing on ids); a campaign
        # signs three links a person, and this takes a sixth of the time.
        signing = self._keys[purpose].copy()
        signing.update(payload)
        return f"{payload.decode()}.{_base64(signing.digest()).decode()}"

    def read(self, purpose: str, token: str, *, now: datetime) -> dict[str, Any]:
        """Give the claims of a token.

        Raises:
            BadLinkError: forged, altered, made for another purpose, or expired.
        """
        try:
            claims = _serializer(self.secrets, purpose).loads(token)
        except BadSignature as error:
            raise BadLinkError from error
        if not isinstance(claims, dict) or claims.pop("exp", 0) < now.timestamp():
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
    ) -> "MessageLinks":
        """Give the links a template may use; each is signed only when the template asks for it.

        ``website``: the brand's own, where a customer's account and orders are.
        """
        claims = {"c": _short(customer_id), "m": _short(message_id)}
        return MessageLinks(self, claims, topic, website, order_id, now)

    def of(self, claims: Mapping[str, str], purpose: str, now: datetime) -> str:
        """Give the address of a link whose claims are shortened already."""
        return f"{self.base_url}/links/{purpose}/{self._signed(purpose, claims, now)}"

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


@lru_cache(maxsize=64)
def _expiry(purpose: str, now: datetime) -> int:
    return int((now + LIFETIME[purpose]).timestamp())


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

    __slots__ = ("_claims", "_links", "_made", "_now", "_order_id", "_topic", "_website")

    _SIGNED = frozenset({"agent", "answer", "unsubscribe", "preferences"})

    def __init__(
        self,
        links: Links,
        claims: dict[str, str],
        topic: str,
        website: str,
        order_id: str | None,
        now: datetime,
    ) -> None:
        self._links, self._claims, self._topic = links, claims, topic
        self._website, self._order_id, self._now = website, order_id, now
        self._made: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = self._make(name)
        return found

    def _make(self, name: str) -> str:
        if name in self._SIGNED:
            claims = {**self._claims, "t": self._topic} if name == "unsubscribe" else self._claims
            return self._links.of(claims, name, self._now)
        if name == "home":
            return self._website
        if name == "inbox":
            return f"{self._website}/inbox"
        if name == "order" and self._order_id is not None:
            return f"{self._website}/orders/{quote(self._order_id, safe='')}"
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from (*sorted(self._SIGNED), "home", "inbox")
        if self._order_id is not None:
            yield "order"

    def __len__(self) -> int:
        return len(list(iter(self)))
