"""What a journey may recall about a customer: made from past events, as they stand at that moment.

An event tells one change; some messages are about what many changes come to. ``Recall("cart")`` in a
journey reads the events named here, oldest first, and gives the facts that they add up to.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_LINK = re.compile(r"https?:|www\.|\w\.[a-z]{2,}\b", re.IGNORECASE)

#: An event as the record gives it: ``name`` and ``facts``.
Happened = Mapping[Any, Any]


@dataclass(frozen=True)
class Memory:
    """One thing that can be recalled: from which events, and how they are read."""

    events: tuple[str, ...]
    read: Callable[[Iterable[Happened]], dict[str, Any]]


def cart(happened: Iterable[Happened]) -> dict[str, Any]:
    """Give the cart that was touched last and holds something: ``items``, ``total``, ``pieces``.

    An event that lists ``items`` says what the whole cart holds; one with ``added`` or ``removed``
    changes it. An order empties every cart. ``pieces`` is 0 when there is nothing in any.
    """
    carts: dict[str, _Cart] = {}  # the one touched last is the last
    for event in happened:
        facts = event["facts"]
        if event["name"] == "order.placed":
            carts.clear()
            continue
        which = str(facts.get("cart_id", ""))
        one = carts[which] = carts.pop(which, None) or _Cart()
        one.take(facts)
    full = [one for one in carts.values() if one.lines]
    return full[-1].facts() if full else {"items": [], "total": None, "pieces": 0}


class _Cart:
    """The lines of one cart, by the product's name."""

    def __init__(self) -> None:
        self.lines: dict[str, dict[str, Any]] = {}
        self.total: Any = None  #: as the shop said it, while no change came after

    def take(self, facts: Mapping[str, Any]) -> None:
        if isinstance(whole := facts.get("items"), list):
            self.lines = {}
            for item in whole:
                self._change(item, 1)
            self.total = facts.get("total")
            return
        for what, sign in (("added", 1), ("removed", -1)):
            if isinstance(item := facts.get(what), Mapping):
                self._change(item, sign)
                self.total = None

    def _change(self, item: Mapping[str, Any], sign: int) -> None:
        held = self.lines.pop(item["name"], {"quantity": 0})
        quantity = held["quantity"] + sign * item["quantity"]
        if quantity > 0:
            self.lines[item["name"]] = {**held, **item, "quantity": quantity}

    def facts(self) -> dict[str, Any]:
        items = list(self.lines.values())
        total = self.total or _worth(items)
        return {"items": items, "total": total, "pieces": sum(i["quantity"] for i in items)}


def _worth(items: Iterable[Mapping[str, Any]]) -> dict[str, str] | None:
    """Add the lines up; None when a price is not known, or they are in several currencies."""
    prices = [(item.get("price"), Decimal(str(item["quantity"]))) for item in items]
    currencies = {price["currency"] if price else None for price, _ in prices}
    if len(currencies) != 1 or None in currencies:
        return None
    total = sum((Decimal(price["amount"]) * count for price, count in prices if price), Decimal())
    return {"amount": str(total), "currency": currencies.pop() or ""}


def open_question(happened: Iterable[Happened]) -> dict[str, Any]:
    """Give what the last chat left open: ``question``, and ``open_questions``, which is 1 or 0.

    A question with a link in it is not repeated (``question`` is None): anybody may type into a chat,
    and our messages lead nowhere but to us. The agent reads it on the timeline.
    """
    last = None
    for event in happened:
        last = event["facts"]
    asked = last.get("question") if last and last.get("unresolved") is True else None
    shown = asked if asked and not _LINK.search(asked) else None
    return {"question": shown, "open_questions": 1 if asked else 0}


MEMORIES: Mapping[str, Memory] = {
    "cart": Memory(("cart.updated", "cart.viewed", "order.placed"), cart),
    "open_question": Memory(("chat.ended",), open_question),
}
