"""Canonical facts of events: how each is read from what a sender wrote, and its other names."""

import contextlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CURRENCY = re.compile(r"[A-Z]{3}")

#: Currencies (ISO 4217) whose smallest unit is not a hundredth.
_NO_DECIMALS = ("JPY", "KRW", "VND", "CLP", "ISK", "UGX", "XAF", "XOF", "PYG")
_THREE_DECIMALS = ("BHD", "JOD", "KWD", "OMR", "TND", "IQD", "LYD")
#: Digits after the point; every other currency has two.
DIGITS: dict[str, int] = {**dict.fromkeys(_NO_DECIMALS, 0), **dict.fromkeys(_THREE_DECIMALS, 3)}
_LARGEST = Decimal(10) ** 12
_LONGEST_ID = 200
LONGEST_TEXT = 500


class Wrong(Exception):  # noqa: N818  a reader's way to say why, without knowing the event's name
    """A value is not what its field holds; says what it should be."""


@lru_cache(maxsize=4_096)
def snake(key: str) -> str:
    """Return a key in snake_case: ``orderId`` and ``Order ID`` become ``order_id``."""
    if key.islower() and key.isidentifier():
        return key
    return re.sub(r"[\s\-.]+", "_", _HUMP.sub("_", key.strip())).lower()


def plain(text: str) -> str:
    """Return a text without control characters, which could forge a header or a line."""
    return _CONTROL.sub(" ", text).strip()


def moment(value: object) -> datetime:
    """Read an ISO 8601 time or a Unix time (seconds or milliseconds); no zone means UTC.

    Raises:
        ValueError: it is neither.
    """
    try:
        if isinstance(value, datetime):
            read = value
        elif isinstance(value, str):
            read = datetime.fromisoformat(value.strip())
        else:
            seconds = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
            read = datetime.fromtimestamp(seconds / 1000 if abs(seconds) > 1e11 else seconds, UTC)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise ValueError("not a time; write it as 2026-03-01T10:00:00Z") from error


def money(value: object, currency: str) -> dict[str, str]:
    """Read an amount: a number, a text, or an object with ``amount`` and ``currency``.

    Raises:
        ValueError: it is not an amount that somebody could pay.
    """
    if isinstance(value, Mapping):
        currency = str(value.get("currency") or currency)
        value = value.get("amount", value.get("value"))
    currency = currency.strip().upper()
    if not _CURRENCY.fullmatch(currency):
        raise ValueError("its currency is no ISO 4217 code such as USD")
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError('not an amount; write 12.50 or {"amount": "12.50", "currency": "USD"}')  # noqa: TRY004
    try:
        amount = Decimal(str(value).strip())
        if not amount.is_finite() or not 0 <= amount < _LARGEST:
            raise ValueError("an amount must be between 0 and 10^12")
        unit = Decimal(1).scaleb(-DIGITS.get(currency, 2))
        return {"amount": str(amount.quantize(unit, ROUND_HALF_UP)), "currency": currency}
    except InvalidOperation as error:
        raise ValueError("not an amount; write digits with a point, such as 12.50") from error


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader may look at besides its value."""

    properties: Mapping[str, Any]
    occurred_at: datetime
    currency: str
    forgiving: bool = False


def _id(value: object, _: Reading) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Wrong("must be a text or a number")
    text = str(value).strip()
    if not text or len(text) > _LONGEST_ID or _CONTROL.search(text):
        raise Wrong(f"must have 1 to {_LONGEST_ID} characters and no line breaks")
    return text


def _text(value: object, _: Reading) -> str:
    if isinstance(value, Mapping):
        value = value.get("name")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Wrong("must be a text")
    text = plain(str(value))
    if not _visible(text) or len(text) > LONGEST_TEXT:
        raise Wrong(f"must have 1 to {LONGEST_TEXT} characters that can be seen")
    return text


def _visible(text: str) -> bool:
    return any(character.isprintable() and not character.isspace() for character in text)


def _money(value: object, reading: Reading) -> dict[str, str]:
    try:
        return money(value, reading.currency)
    except ValueError as error:
        raise Wrong(str(error)) from error


def _moment(value: object, _: Reading) -> str:
    try:
        return moment(value).isoformat()
    except ValueError as error:
        raise Wrong(str(error)) from error


def _date(value: object, _: Reading) -> str:
    """Keep the sender's own day: a time is cut to its date where it was written."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value):
        try:
            return datetime.fromisoformat(value).date().isoformat()
        except ValueError as error:
            raise Wrong("not a date; write it as 2026-03-01") from error
    return _moment(value, _)[:10]


def _flag(value: object, _: Reading) -> bool:
    if not isinstance(value, bool):
        raise Wrong("must be true or false")
    return value


def _words(value: object, reading: Reading) -> str:
    """Read what somebody said; of a long speech the beginning."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        value = value[: LONGEST_TEXT - 1] + "…"
    return _text(value, reading)


def _item(value: object, reading: Reading) -> dict[str, Any]:
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise Wrong("must be a list of objects with name, quantity and price")
    fields = {snake(str(key)): part for key, part in value.items()}
    name = next((fields[k] for k in ("name", "title", "sku", "product_id") if fields.get(k)), None)
    if name is None:
        raise Wrong("holds an item without a name")
    quantity = fields.get("quantity", 1)
    try:
        count = Decimal(str(quantity))
    except InvalidOperation as error:
        raise Wrong("holds an item whose quantity is no number") from error
    if not count.is_finite() or not 0 <= count < _LARGEST:
        raise Wrong("holds an item whose quantity is no count")
    item: dict[str, Any] = {"name": _text(name, reading)}
    item["quantity"] = int(count) if count == count.to_integral_value() else float(count)
    if fields.get("price") is not None:
        item["price"] = _money(fields["price"], reading)
    return item


def _items(value: object, reading: Reading) -> list[dict[str, Any]]:
    if isinstance(value, Mapping | str):
        value = [value]
    if not isinstance(value, list | tuple):
        raise Wrong("must be a list of objects with name, quantity and price")
    if not reading.forgiving:
        return [_item(one, reading) for one in value]
    kept = []
    for one in value:
        with contextlib.suppress(Wrong):
            kept.append(_item(one, reading))
    return kept


Reader = Callable[[object, Reading], Any]


@dataclass(frozen=True, slots=True)
class Fact:
    """One canonical fact: how it is read, and the other names it comes by, best first."""

    read: Reader
    also: tuple[str, ...] = ()


FACTS: dict[str, Fact] = {
    "order_id": Fact(_id, ("order", "order_number")),
    "total": Fact(_money, ("revenue", "value", "amount", "subtotal")),
    "items": Fact(_items, ("products", "line_items")),
    "product": Fact(_text, ("product_name",)),
    "cart_id": Fact(_id, ("cart",)),
    "added": Fact(_item),
    "removed": Fact(_item),
    "question": Fact(_words, ("open_question",)),
    "unresolved": Fact(_flag),
    "placed_at": Fact(_moment, ("ordered_at",)),
    "store": Fact(_text, ("store_name", "pickup_store", "shop")),
    "coupon": Fact(_text, ("coupon_code",)),
    "ready_since": Fact(_date, ("ready_at",)),
    "keep_until": Fact(_date, ("pickup_by", "held_until")),
    "opening_hours": Fact(_text, ("hours",)),
    "transaction_id": Fact(_id, ("transaction", "charge_id", "payment_id")),
    "merchant": Fact(_text, ("merchant_name",)),
    "amount": Fact(_money, ("total", "value")),
    "occurred_at": Fact(
        _moment,
        ("transaction_time", "transaction_at", "transaction_date", "time", "date", "timestamp"),
    ),
    "promotion_id": Fact(_id, ("promotion", "coupon_id")),
    "code": Fact(_text, ("coupon", "coupon_code", "coupon_name", "promo_code")),
    "payment_id": Fact(_id, ("payment", "charge_id")),
    "channel": Fact(_id),
    "topic": Fact(_id),
    "wording": Fact(_text, ("text",)),
    "group_id": Fact(_id),
    "expected_at": Fact(_moment, ("delivery_date", "eta")),
}
