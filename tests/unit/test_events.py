"""Events have one set of facts, whatever the shop calls them; a refusal names field and remedy."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.domain.events import (
    EVENT_TYPES,
    FACTS,
    canonical,
    moment,
    money,
    plain,
    snake,
    well_formed,
)
from signalpost.errors import BadInputError

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


def facts(name: str, **properties: Any) -> dict[str, Any]:
    return canonical(name, properties, NOW)


@pytest.mark.parametrize(
    "properties",
    [
        {"order_id": "5", "total": 12.5, "currency": "EUR"},
        {"orderId": 5, "total": "12.50", "currency": "eur"},
        {"Order ID": "5", "revenue": 12.499999999999998, "currency": "EUR"},
        {"order": "5", "total": {"amount": "12.5", "currency": "EUR"}, "currency": "USD"},
        {"order_number": 5, "products": [{"name": "Tea", "price": 6.25, "quantity": 2}]}
        | {"currency": "EUR"},
    ],
)
def test_an_order_has_the_same_facts_however_it_is_written(properties: dict[str, Any]) -> None:
    read = canonical("order.placed", properties, NOW)
    assert read["order_id"] == "5"
    assert read["total"] == {"amount": "12.50", "currency": "EUR"}
    assert read["placed_at"] == "2026-03-01T10:00:00+00:00"


def test_the_product_of_an_order_is_the_most_valuable_item() -> None:
    products = [
        {"name": "Bag", "price": 1, "quantity": 3},
        {"title": "Kettle", "price": "40", "quantity": 1},
        "Card",
    ]
    read = facts("order.placed", order_id=1, total=43, products=products)
    assert read["product"] == "Kettle"
    assert [item["name"] for item in read["items"]] == ["Bag", "Kettle", "Card"]
    assert read["items"][1]["price"] == {"amount": "40.00", "currency": "USD"}


def test_an_order_needs_nothing_but_its_number() -> None:
    """Segment's specification lets an order come without a total and without products."""
    read = facts("order.placed", order_id="5")
    assert read == {"order_id": "5", "items": [], "placed_at": "2026-03-01T10:00:00+00:00"}
    assert "total" not in facts("order.placed", order_id="5", products=["Tea"])


def test_what_else_came_stays_beside_the_facts() -> None:
    assert facts("order.picked_up", order_id=1, giftWrap=True)["gift_wrap"] is True


def test_a_pickup_has_a_store_and_a_day() -> None:
    read = facts("order.ready_for_pickup", order_id=1)
    assert (read["store"], read["ready_since"]) == ("our store", "2026-03-01")
    read = facts(
        "order.ready_for_pickup",
        order_id=1,
        store={"name": "Riga"},
        ready_since="2026-02-28T23:30:00-05:00",
    )
    assert (read["store"], read["ready_since"]) == ("Riga", "2026-02-28")


@pytest.mark.parametrize("missing", ["transaction_id", "merchant", "amount", "occurred_at"])
def test_a_fraud_signal_needs_every_fact(missing: str) -> None:
    whole = {"transaction_id": "T", "merchant": "XYZ", "amount": 5, "occurred_at": "2026-03-01"}
    assert facts("fraud.signalled", **whole)["amount"] == {"amount": "5.00", "currency": "USD"}
    del whole[missing]
    with pytest.raises(BadInputError, match=f"{missing} is missing"):
        facts("fraud.signalled", **whole)


@pytest.mark.parametrize(
    ("name", "properties", "words"),
    [
        ("order.placed", {"total": 1}, "order_id is missing"),
        ("order.placed", {"order_id": "1", "total": -1}, "total"),
        ("order.placed", {"order_id": "1", "total": "a lot"}, "total"),
        ("order.placed", {"order_id": "1", "total": float("nan")}, "total"),
        ("order.placed", {"order_id": "1", "total": 1, "currency": "dollars"}, "ISO 4217"),
        ("order.placed", {"order_id": "1", "total": True}, "total"),
        ("order.placed", {"order_id": "1", "total": 1, "items": "?", "products": 3}, None),
        ("order.placed", {"order_id": "1", "total": 1, "items": 3}, "items"),
        ("order.placed", {"order_id": "1", "total": 1, "items": [{}]}, "without a name"),
        ("order.placed", {"order_id": {"a": 1}, "total": 1}, "order_id"),
        ("order.placed", {"order_id": "x" * 201, "total": 1}, "order_id"),
        ("order.placed", {"order_id": "1\n2", "total": 1}, "line breaks"),
        ("promotion.redeemed", {}, "promotion_id or code"),
        ("delivery.late", {"order_id": 1, "expected_at": "soon"}, "2026-03-01T10:00:00Z"),
        ("no name", {}, "order.placed"),
        ("", {}, "order.placed"),
        ("a..b", {}, "order.placed"),
        ("x" * 101, {}, "order.placed"),
    ],
)
def test_a_refusal_names_what_is_wrong_and_what_to_do(
    name: str, properties: dict[str, Any], words: str | None
) -> None:
    if words is None:
        assert canonical(name, properties, NOW)["items"] == [{"name": "?", "quantity": 1}]
        return
    with pytest.raises(BadInputError) as refusal:
        canonical(name, properties, NOW)
    assert words in str(refusal.value)


@pytest.mark.parametrize("name", ["shop.opened", "обмен.начат", "a.b_c.d1", "track.signed_up"])
def test_an_unknown_name_keeps_its_properties_as_they_came(name: str) -> None:
    assert canonical(name, {"Some Thing": 1}, NOW) == {"Some Thing": 1}


def test_line_breaks_cannot_get_into_a_name_that_is_printed() -> None:
    read = facts(
        "fraud.signalled",
        transaction_id="T",
        merchant="XYZ\r\nBcc: a@example.com",
        amount=1,
        time="2026-03-01T09:00:00Z",
    )
    assert read["merchant"] == "XYZ Bcc: a@example.com"


@pytest.mark.parametrize(
    ("value", "currency", "amount"),
    [
        ("12.5", "USD", "12.50"),
        (1000, "JPY", "1000"),
        ("1.2345", "KWD", "1.235"),
        (0, "USD", "0.00"),
        ({"amount": 3, "currency": "thb"}, "USD", "3.00"),
    ],
)
def test_money_has_the_decimals_of_its_currency(value: Any, currency: str, amount: str) -> None:
    assert money(value, currency)["amount"] == amount


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-01T10:00:00Z", NOW),
        ("2026-03-01T18:00:00+08:00", NOW),
        ("2026-03-01 10:00", NOW),
        (NOW.timestamp(), NOW),
        (NOW.timestamp() * 1000, NOW),
        (NOW, NOW),
    ],
)
def test_a_time_may_be_written_in_many_ways(value: Any, expected: datetime) -> None:
    assert moment(value) == expected


@pytest.mark.parametrize(
    "value", ["", "soon", None, True, [], {}, "0000-00-00", 1e300, float("inf")]
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="2026-03-01T10:00:00Z"):
        moment(value)


def test_every_known_event_names_facts_that_can_be_read() -> None:
    for known in EVENT_TYPES.values():
        assert well_formed(known.name)
        assert set(known.required + known.optional) <= set(FACTS)
        assert set(known.one_of) <= set(known.optional)


@pytest.mark.parametrize(
    ("key", "expected"),
    [("orderId", "order_id"), ("Order ID", "order_id"), ("orderID", "order_id"), ("a-b", "a_b")],
)
def test_keys_are_read_in_any_case(key: str, expected: str) -> None:
    assert snake(key) == expected


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=8), part, max_size=3)
    ),
    max_leaves=8,
)
field = st.sampled_from([*FACTS, *(name for fact in FACTS.values() for name in fact.also)])


@given(st.sampled_from([*EVENT_TYPES]), st.dictionaries(field | st.text(max_size=8), anything))
def test_no_properties_whatever_break_the_reading(name: str, properties: dict[str, Any]) -> None:
    """They are read, or refused with a reason; nothing else happens."""
    with contextlib.suppress(BadInputError):
        read = canonical(name, properties, NOW)
        assert set(EVENT_TYPES[name].required) <= set(read)


@given(st.text())
def test_plain_text_has_one_line_and_no_control_characters(text: str) -> None:
    assert all(
        character >= " " and character not in "\x7f\x85\u2028\u2029" for character in plain(text)
    )
