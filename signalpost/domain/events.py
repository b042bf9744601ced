"""Events by their names: what each known one needs, and its facts in our own words.

Names are dotted and past tense (``order.placed``). A known event has *canonical facts*: whatever the
shop called them, templates and journeys read one set of names. An unknown but well-formed name is
kept with its properties as they came.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from signalpost.errors import BadInputError

_NAME = re.compile(r"\w+(\.\w+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CURRENCY = re.compile(r"[A-Z]{3}")

#: Currencies (ISO 4217) whose smallest unit is not a hundredth.
_NO_DECIMALS = ("JPY", "KRW", "VND", "CLP", "ISK", "UGX", "XAF", "XOF", "PYG")
_THREE_DECIMALS = ("BHD", "JOD", "KWD", "OMR", "TND", "IQD", "LYD")
_DIGITS: dict[str, int] = {**dict.fromkeys(_NO_DECIMALS, 0), **dict.fromkeys(_THREE_DECIMALS, 3)}
_LARGEST = Decimal(10) ** 12
_LONGEST_NAME = 100
_LONGEST_ID = 200
_LONGEST_TEXT = 500


class _Wrong(Exception):  # noqa: N818  a reader's way to say why, without knowing the event's name
    """A value is not what its field holds; says what it should be."""


@lru_cache(maxsize=4_096)
def snake(key: str) -> str:
    """Return a key in snake_case: ``orderId`` and ``Order ID`` become ``order_id``."""
    if key.islower() and key.isidentifier():
        return key
    return re.sub(r"[\s\-.]+", "_", _HUMP.sub("_", key.strip())).lower()


def well_formed(name: str) -> bool:
    """Tell whether a name may be an event's: dotted words, at most 100 characters."""
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


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
        unit = Decimal(1).scaleb(-_DIGITS.get(currency, 2))
        return {"amount": str(amount.quantize(unit, ROUND_HALF_UP)), "currency": currency}
    except InvalidOperation as error:
        raise ValueError("not an amount; write digits with a point, such as 12.50") from error


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a reader may look at besides its value."""

    properties: Mapping[str, Any]
    occurred_at: datetime
    currency: str


def _id(value: object, _: _Reading) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Wrong("must be a text or a number")
    text = str(value).strip()
    if not text or len(text) > _LONGEST_ID or _CONTROL.search(text):
        raise _Wrong(f"must have 1 to {_LONGEST_ID} characters and no line breaks")
    return text


def _text(value: object, _: _Reading) -> str:
    if isinstance(value, Mapping):
        value = value.get("name")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Wrong("must be a text")
    text = plain(str(value))
    if not _visible(text) or len(text) > _LONGEST_TEXT:
        raise _Wrong(f"must have 1 to {_LONGEST_TEXT} characters that can be seen")
    return text


def _visible(text: str) -> bool:
    return any(character.isprintable() and not character.isspace() for character in text)


def _money(value: object, reading: _Reading) -> dict[str, str]:
    try:
        return money(value, reading.currency)
    except ValueError as error:
        raise _Wrong(str(error)) from error


def _moment(value: object, _: _Reading) -> str:
    try:
        return moment(value).isoformat()
    except ValueError as error:
        raise _Wrong(str(error)) from error


def _date(value: object, _: _Reading) -> str:
    """Keep the sender's own day: a time is cut to its date where it was written."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value):
        try:
            return datetime.fromisoformat(value).date().isoformat()
        except ValueError as error:
            raise _Wrong("not a date; write it as 2026-03-01") from error
    return _moment(value, _)[:10]


def _item(value: object, reading: _Reading) -> dict[str, Any]:
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise _Wrong("must be a list of objects with name, quantity and price")
    fields = {snake(str(key)): part for key, part in value.items()}
    name = next((fields[k] for k in ("name", "title", "sku", "product_id") if fields.get(k)), None)
    if name is None:
        raise _Wrong("holds an item without a name")
    quantity = fields.get("quantity", 1)
    try:
        count = Decimal(str(quantity))
    except InvalidOperation as error:
        raise _Wrong("holds an item whose quantity is no number") from error
    if not count.is_finite() or not 0 <= count < _LARGEST:
        raise _Wrong("holds an item whose quantity is no count")
    item: dict[str, Any] = {"name": _text(name, reading)}
    item["quantity"] = int(count) if count == count.to_integral_value() else float(count)
    if fields.get("price") is not None:
        item["price"] = _money(fields["price"], reading)
    return item


def _items(value: object, reading: _Reading) -> list[dict[str, Any]]:
    if isinstance(value, Mapping | str):
        value = [value]
    if not isinstance(value, list | tuple):
        raise _Wrong("must be a list of objects with name, quantity and price")
    return [_item(one, reading) for one in value]


Reader = Callable[[object, _Reading], Any]


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


@dataclass(frozen=True, slots=True)
class EventType:
    """A known event: the facts it must have, those it may have, and sets of which one is enough."""

    name: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


EVENT_TYPES: dict[str, EventType] = {
    known.name: known
    for known in (
        # orders
        EventType(
            "order.placed",
            ("order_id",),  # Segment's specification lets an order come without a total
            ("total", "items", "product", "placed_at", "store", "coupon"),
        ),
        EventType("order.updated", ("order_id",), ("total", "items", "product", "store", "coupon")),
        EventType(
            "order.ready_for_pickup",
            ("order_id",),
            ("store", "ready_since", "keep_until", "opening_hours"),
        ),
        EventType("order.picked_up", ("order_id",), ("store",)),
        EventType("order.cancelled", ("order_id",), ("store", "total", "items")),
        EventType("order.returned", ("order_id",), ("store", "total", "items")),
        EventType("payment.approved", (), ("order_id", "payment_id", "amount")),
        EventType("delivery.late", ("order_id",), ("store", "expected_at")),
        EventType(
            "promotion.redeemed", (), ("promotion_id", "code", "order_id"), ("promotion_id", "code")
        ),
        # risk
        EventType("fraud.signalled", ("transaction_id", "merchant", "amount", "occurred_at")),
        # browsing
        EventType("cart.updated", (), ("items", "product", "total")),
        EventType("product.viewed", (), ("product",)),
        EventType("page.viewed"),
        EventType("screen.viewed"),
        # the customer
        EventType("consent.granted", (), ("channel", "topic", "wording")),
        EventType("consent.withdrawn", (), ("channel", "topic", "wording")),
        EventType("customer.identified"),
        EventType("customer.grouped", ("group_id",)),
        EventType("customer.aliased"),
    )
}

_REMEDY = {
    "occurred_at": 'give "occurred_at", the time of the transaction, such as 2026-03-01T10:00:00Z',
    "amount": 'give "amount", such as 12.50, and "currency"',
}


def canonical(
    name: str,
    properties: Mapping[str, Any],
    occurred_at: datetime,
    currency: str = "USD",
    *,
    store: str = "our store",
) -> dict[str, Any]:
    """Return the facts of an event in our own words; what else came stays beside them.

    Raises:
        BadInputError: the name is malformed, or a fact is missing or wrong; names it and the remedy.
    """
    if not well_formed(name):
        raise BadInputError(
            f"type {name[:60]!r} is no event name; write dotted words such as order.placed"
        )
    known = EVENT_TYPES.get(name)
    if known is None:
        return dict(properties)
    rest = {snake(str(key)): value for key, value in properties.items()}
    stated = rest.get("currency")
    reading = _Reading(
        rest, occurred_at, stated if isinstance(stated, str) and stated else currency
    )
    facts = _read(known, rest, reading)
    finish = _FINISH.get(name)
    if finish is not None:
        finish(facts, reading, store)
    _check(known, facts)
    return rest | facts


def _read(known: EventType, rest: dict[str, Any], reading: _Reading) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    used: list[str] = []
    for key in known.required + known.optional:
        fact = FACTS[key]
        given = _given(rest, key, fact.also)
        if given is None:
            continue
        try:
            facts[key] = fact.read(rest[given], reading)
        except _Wrong as wrong:
            if key in known.required or given == key:
                raise BadInputError(f"{known.name}: {given} {wrong}") from wrong
            continue  # another name's value, and no reading of it: then it was not meant
        used.append(given)
    for key in used:
        if key not in facts:
            rest.pop(key, None)
    return facts


def _given(rest: Mapping[str, Any], key: str, also: tuple[str, ...]) -> str | None:
    """Return the name a fact comes by, its own before the others."""
    if rest.get(key) not in (None, ""):
        return key
    for name in also:
        if rest.get(name) not in (None, ""):
            return name
    return None


def _check(known: EventType, facts: Mapping[str, Any]) -> None:
    for key in known.required:
        if key not in facts:
            remedy = _REMEDY.get(key, f'give "{key}"')
            raise BadInputError(f"{known.name}: {key} is missing; {remedy} in the properties")
    if known.one_of and not any(key in facts for key in known.one_of):
        raise BadInputError(f"{known.name}: give {' or '.join(known.one_of)} in the properties")


def _worth(item: Mapping[str, Any]) -> Decimal:
    price = item.get("price")
    return Decimal(price["amount"]) * Decimal(str(item["quantity"])) if price else Decimal(0)


def _finish_order(facts: dict[str, Any], reading: _Reading, _: str) -> None:
    """Fill what an order leaves to be worked out: its total, its main product, its time."""
    items = facts.setdefault("items", [])
    if "total" not in facts and items and all("price" in item for item in items):
        facts["total"] = money(sum(map(_worth, items)), items[0]["price"]["currency"])
    if items:
        facts.setdefault("product", max(items, key=_worth)["name"])
    facts.setdefault("placed_at", reading.occurred_at.isoformat())


def _finish_pickup(facts: dict[str, Any], reading: _Reading, store: str) -> None:
    facts.setdefault("store", store)
    facts.setdefault("ready_since", reading.occurred_at.date().isoformat())


def _finish_view(facts: dict[str, Any], reading: _Reading, _: str) -> None:
    name = reading.properties.get("name")
    if "product" not in facts and isinstance(name, str) and name:
        facts["product"] = plain(name)[:_LONGEST_TEXT]


def _finish_consent(facts: dict[str, Any], _: _Reading, __: str) -> None:
    facts.setdefault("channel", "*")
    facts.setdefault("topic", "*")


_FINISH: dict[str, Callable[[dict[str, Any], _Reading, str], None]] = {
    "order.placed": _finish_order,
    "order.ready_for_pickup": _finish_pickup,
    "product.viewed": _finish_view,
    "cart.updated": _finish_view,
    "consent.granted": _finish_consent,
    "consent.withdrawn": _finish_consent,
}
