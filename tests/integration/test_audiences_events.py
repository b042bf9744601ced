"""Audiences by what people did: how often, how much, how long ago."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from signalpost.domain.audience import (
    Did,
    Not,
    Unless,
    Where,
)
from signalpost.record.database import Database
from tests.integration.audience_harness import NOW, Book, ago


@pytest.fixture
def book(database: Database) -> Iterator[Book]:
    with database.writing() as session:
        yield Book(session)


def test_events_are_counted_over_the_whole_family_and_up_to_now(book: Book) -> None:
    week = timedelta(days=7)
    for name in ("ann", "bob", "cid", "dot"):
        book.person(name)
    book.person("ann-2", into="ann")
    book.order("ann", ago(days=1))
    book.order("ann-2", ago(days=2))
    book.order("bob", ago(days=3))
    book.order("bob", ago(days=7))  # the period begins just after this moment
    book.order("bob", NOW + timedelta(seconds=1))
    book.order("cid", NOW)
    for status in ("parked", "conflict"):
        book.event("cid", "order.placed", ago(days=1), status=status)
    book.event("cid", "order.placed", ago(days=8), status="historic")
    book.event(None, "order.placed", ago(days=1), status="guest")
    book.event("dot", "order.returned", ago(days=1))
    placed = "order.placed"
    assert book.who(Did(placed)) == {"ann", "bob", "cid"}
    assert book.who(Not(Did(placed))) == {"dot"}
    assert book.who(Did(placed, times=2)) == {"ann", "bob", "cid"}
    assert book.who(Did(placed, times=2, within=week)) == {"ann"}
    assert book.who(Did(placed, at_most=1, within=week)) == {"bob", "cid"}
    assert book.who(Did(placed, times=0, at_most=1, within=week)) == {"bob", "cid", "dot"}
    assert book.who(Did(placed, times=0, at_most=0, within=week)) == {"dot"}
    assert book.who(Did(placed, times=0)) == {"ann", "bob", "cid", "dot"}
    assert book.who(Not(Did(placed, times=0, at_most=0))) == {"ann", "bob", "cid"}
    assert book.who(Did(placed, last_before=timedelta(days=1))) == {"ann", "bob"}
    assert book.who(Did(placed, last_before=timedelta(days=3))) == {"bob"}
    assert book.who(Did(placed, times=0, last_before=timedelta(days=3))) == {"bob"}
    assert book.who(Did(placed, times=3, at_most=2)) == set()


def test_what_was_followed_by_another_event_of_the_same_order_counts_no_more(book: Book) -> None:
    collected = ("order.picked_up", "order.cancelled")

    def ready(who: str, order: Any, **more: Any) -> None:
        book.event(who, "order.ready", ago(days=2), facts={"order_id": order} | more)

    def over(who: str | None, name: str, order: Any, **more: Any) -> None:
        book.event(who, name, more.pop("at", ago(days=1)), facts={"order_id": order}, **more)

    for who in ("waits", "collected", "one of two", "cancelled", "another's", "late", "parked"):
        book.person(who)
        ready(who, f"{who} 1")
    over("collected", "order.picked_up", "collected 1")
    ready("one of two", "one of two 2")
    over("one of two", "order.picked_up", "one of two 2")
    over("cancelled", "order.cancelled", "cancelled 1", at=ago(days=3))  # told in the wrong order
    over("waits", "order.picked_up", "another's 1")
    over("late", "order.picked_up", "late 1", at=NOW + timedelta(seconds=1))
    over("parked", "order.picked_up", "parked 1", status="parked")
    book.person("no number")
    ready("no number", None)
    book.event("no number", "order.picked_up", ago(days=1))
    book.person("a number")
    ready("a number", 7)
    over("a number", "order.picked_up", "7")
    book.person("merged")
    book.person("was merged", into="merged")
    ready("was merged", "m")
    over("merged", "order.picked_up", "m")

    def open_orders(**more: Any) -> Did:
        return Did("order.ready", unless=Unless(collected, "order_id"), **more)

    open_ = {"waits", "one of two", "another's", "late", "parked", "no number"}
    assert book.who(open_orders()) == open_
    assert book.who(Not(open_orders())) == {"collected", "cancelled", "a number", "merged"}
    assert book.who(open_orders(times=2)) == set()
    ready("waits", "waits 2")
    assert book.who(open_orders(times=2)) == {"waits"}
    assert book.who(open_orders(sum_of="order_id", total_at_most=0, times=1)) == open_
    only_there = Unless(("order.picked_up",), "order_id", (Where("store", "is", "Riverside"),))
    assert "collected" in book.who(Did("order.ready", unless=only_there))


def test_totals_add_up_exactly_and_one_currency_at_a_time(book: Book) -> None:
    for name in ("cents", "mixed", "less", "none"):
        book.person(name)
    for _ in range(3):
        book.order("cents", ago(days=1), "0.10")
    book.order("mixed", ago(days=1), "60.00", "USD")
    book.order("mixed", ago(days=1), "70", "JPY")
    book.order("less", ago(days=1), "0.09")
    book.event("less", "order.placed", ago(days=1), facts={"total": "much"})

    def total(low: float | None, high: float | None, *, times: int = 1) -> Did:
        return Did(
            "order.placed", sum_of="total", total_at_least=low, total_at_most=high, times=times
        )

    assert book.who(total(0.3, None)) == {"cents", "mixed"}
    assert book.who(total(None, 0.3)) == {"cents", "less"}
    assert book.who(total(70, None)) == {"mixed"}
    assert book.who(total(71, None)) == set()
    assert book.who(total(None, 69)) == {"cents", "less"}
    assert book.who(total(None, 69, times=0)) == {"cents", "less", "none"}
    assert book.who(total(None, 69, times=2)) == {"cents", "less"}


def test_any_property_can_be_added_up_also_within_lists(book: Book) -> None:
    for name in ("ann", "bob"):
        book.person(name)
    lines = [{"price": {"amount": "2.50", "currency": "USD"}}, {"price": 3}, {"price": True}, {}]
    book.event("ann", "cart.filled", ago(days=1), facts={"lines": lines, "points": 4})
    book.event("ann", "cart.filled", ago(days=1), facts={"lines": [], "points": "5"})
    book.event("bob", "cart.filled", ago(days=1), facts={"lines": [{"price": "1"}], "points": []})

    def cart(of: str, **bounds: Any) -> Did:
        return Did("cart.filled", sum_of=of, **bounds)

    assert book.who(cart("lines.price", total_at_least=3)) == {"ann"}
    assert book.who(cart("lines.price", total_at_least=3.01)) == set()
    assert book.who(cart("lines.price", total_at_least=1, times=2)) == {"ann"}
    assert book.who(cart("lines.price", total_at_least=1, times=3)) == set()
    assert book.who(cart("points", total_at_least=9)) == {"ann"}
    assert book.who(cart("points", total_at_most=0)) == {"bob"}


def test_conditions_look_at_the_facts_of_one_event(book: Book) -> None:
    book.person("ann")
    book.person("bob")
    tea, cup = {"sku": "tea", "quantity": 2}, {"sku": "cup", "quantity": 1}
    book.event("ann", "order.placed", ago(days=1), facts={"items": [tea, cup], "store": "Harbour"})
    book.event("bob", "order.placed", ago(days=1), facts={"items": [tea]})
    book.event("bob", "order.placed", ago(days=1), facts={"items": [cup], "store": "Harbour"})

    def order(*where: Where) -> Did:
        return Did("order.placed", where)

    in_harbour = Where("store", "is", "Harbour")
    assert book.who(order(in_harbour)) == {"ann", "bob"}
    assert book.who(order(in_harbour, Where("items.sku", "is", "tea"))) == {"ann"}
    assert book.who(order(Where("items.sku", "is_not", "tea"))) == {"bob"}
    assert book.who(order(Where("items.quantity", "at_least", 2))) == {"ann", "bob"}
    assert book.who(Not(order(in_harbour, Where("items.sku", "is", "tea")))) == {"bob"}
