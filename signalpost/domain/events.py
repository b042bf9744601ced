"""Events by their names: what each known one needs, and its facts in our own words.

Names are dotted and past tense (``order.placed``). A known event has *canonical facts*: whatever the
shop called them, templates and journeys read one set of names. An unknown but well-formed name is
kept with its properties as they came.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from signalpost.domain.event_facts import (
    FACTS,
    LONGEST_TEXT,
    Reading,
    Wrong,
    moment,
    money,
    plain,
    snake,
)
from signalpost.errors import BadInputError

__all__ = [
    "EVENT_TYPES", "FACTS", "EventType", "canonical", "moment", "money", "plain", "snake",
    "well_formed",
]  # fmt: skip

_NAME = re.compile(r"\w+(\.\w+)*")
_LONGEST_NAME = 100


def well_formed(name: str) -> bool:
    """Tell whether a name may be an event's: dotted words, at most 100 characters."""
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class EventType:
    """A known event: the facts it must have, those it may have, and sets of which one is enough.

    ``forgiving``: an item that cannot be read is left out and the event is kept, since nobody pays by
    it; of an order it would be a wrong confirmation.
    """

    name: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    forgiving: bool = False


_CART = ("cart_id", "items", "added", "removed", "product", "total")

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
        # the whole cart as `items`, or one change to it as `added` or `removed`
        EventType("cart.updated", (), _CART, forgiving=True),
        EventType("cart.viewed", (), _CART, forgiving=True),
        EventType("product.viewed", (), ("product",)),
        EventType("page.viewed"),
        EventType("screen.viewed"),
        EventType("chat.ended", (), ("question", "unresolved")),
        # the customer
        EventType("consent.granted", (), ("channel", "topic", "wording")),
        EventType("consent.withdrawn", (), ("channel", "topic", "wording")),
        EventType("consent.requested", (), ("channel", "topic", "wording")),
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
    reading = Reading(
        rest,
        occurred_at,
        stated if isinstance(stated, str) and stated else currency,
        known.forgiving,
    )
    facts = _read(known, rest, reading)
    finish = _FINISH.get(name)
    if finish is not None:
        finish(facts, reading, store)
    _check(known, facts)
    return rest | facts


def _read(known: EventType, rest: dict[str, Any], reading: Reading) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    used: list[str] = []
    for key in known.required + known.optional:
        fact = FACTS[key]
        given = _given(rest, key, fact.also)
        if given is None:
            continue
        try:
            facts[key] = fact.read(rest[given], reading)
        except Wrong as wrong:
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


def _finish_order(facts: dict[str, Any], reading: Reading, _: str) -> None:
    """Fill what an order leaves to be worked out: its total, its main product, its time."""
    items = facts.setdefault("items", [])
    if "total" not in facts and items and all("price" in item for item in items):
        facts["total"] = money(sum(map(_worth, items)), items[0]["price"]["currency"])
    if items:
        facts.setdefault("product", max(items, key=_worth)["name"])
    facts.setdefault("placed_at", reading.occurred_at.isoformat())


def _finish_pickup(facts: dict[str, Any], reading: Reading, store: str) -> None:
    facts.setdefault("store", store)
    facts.setdefault("ready_since", reading.occurred_at.date().isoformat())


def _finish_view(facts: dict[str, Any], reading: Reading, _: str) -> None:
    name = reading.properties.get("name")
    if "product" not in facts and isinstance(name, str) and name:
        facts["product"] = plain(name)[:LONGEST_TEXT]


def _finish_chat(facts: dict[str, Any], reading: Reading, _: str) -> None:
    resolved = reading.properties.get("resolved")
    if "unresolved" not in facts and isinstance(resolved, bool):
        facts["unresolved"] = not resolved


def _finish_consent(facts: dict[str, Any], _: Reading, __: str) -> None:
    facts.setdefault("channel", "*")
    facts.setdefault("topic", "*")


_FINISH: dict[str, Callable[[dict[str, Any], Reading, str], None]] = {
    "order.placed": _finish_order,
    "order.ready_for_pickup": _finish_pickup,
    "product.viewed": _finish_view,
    "cart.updated": _finish_view,
    "chat.ended": _finish_chat,
    "consent.granted": _finish_consent,
    "consent.withdrawn": _finish_consent,
    "consent.requested": _finish_consent,
}
