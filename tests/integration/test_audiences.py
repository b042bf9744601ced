"""An audience is exactly the people its rule describes, on both databases: who they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from signalpost.domain import assignment
from signalpost.domain.audience import (
    All,
    AnyOf,
    Attribute,
    Did,
    Everyone,
    Not,
    Sample,
    Tenure,
    Where,
)
from signalpost.record.database import Database
from tests.integration.audience_harness import Book, ago


@pytest.fixture
def book(database: Database) -> Iterator[Book]:
    with database.writing() as session:
        yield Book(session)


def test_everyone_is_every_root_customer(book: Book) -> None:
    book.person("ann")
    book.person("bob")
    book.person("anna", into="ann")
    assert book.who(Everyone()) == {"ann", "bob"}
    assert book.who(Not(Everyone())) == set()
    assert book.who(All(())) == {"ann", "bob"}
    assert book.who(AnyOf(())) == set()


COMPARISONS: list[tuple[str, Any, set[str]]] = [
    ("is", "gold", {"text"}),
    ("is_not", "gold", {"number", "money", "list", "date", "flag", "digits", "object"}),
    ("among", ("gold", 12, True), {"text", "number", "flag"}),
    ("not_among", ("gold", 12, "tea"), {"money", "date", "flag", "digits", "object"}),
    ("at_least", 12, {"number", "money", "digits"}),
    ("at_most", 12, {"number"}),
    ("more_than", 12, {"money", "digits"}),
    ("less_than", 12.51, {"number", "money"}),
    ("is", 12.5, {"money"}),
    ("is", 40, {"digits"}),
    ("is", "40", {"digits"}),
    ("is", True, {"flag"}),
    ("contains", "ol", {"text", "list"}),
    ("is", "golf", {"list"}),
    ("among", ("golf", "gold"), {"list", "text"}),
    ("contains", "golf", {"list"}),
    ("contains", "OL", {"text", "list"}),
    ("after", "2026-03-01", {"date"}),
    ("after", "2026-03-02", set()),
    ("before", "2026-03-03", {"date"}),
    ("before", "2026-03-02", set()),
    ("before", "2026-03-02T09:00:01+01:00", {"date"}),
    ("known", None, {"text", "number", "money", "list", "date", "flag", "digits", "object"}),
]


def test_an_attribute_is_compared_by_its_kind(book: Book) -> None:
    for name, held in {
        "text": "gold",
        "number": 12,
        "money": {"amount": "12.50", "currency": "USD"},
        "list": ["tea", "golf"],
        "date": "2026-03-02T08:00:00Z",
        "flag": True,
        "digits": "40",
        "object": {"city": "Kyoto"},
        "nothing": None,
    }.items():
        book.person(name, attributes={"x": held})
    book.person("without")
    everyone = book.who(Everyone())
    for op, value, expected in COMPARISONS:
        assert book.who(Attribute("x", op, value)) == expected, (op, value)
        assert book.who(Not(Attribute("x", op, value))) == everyone - expected, (op, value)


def test_a_name_may_lead_into_objects_and_lists(book: Book) -> None:
    book.person("ann", attributes={"home": {"city": "Kyoto"}, "pets": [{"kind": "cat"}, 7]})
    book.person("bob", attributes={"home": {"city": "Osaka"}, "pets": {"kind": "dog"}})
    book.person("cid", attributes={"home": "Kyoto", "pets": [[{"kind": "cat"}]]})
    assert book.who(Attribute("home.city", "is", "Kyoto")) == {"ann"}
    assert book.who(Attribute("home.city", "is_not", "Kyoto")) == {"bob"}
    assert book.who(Attribute("pets.kind", "is", "cat")) == {"ann"}
    assert book.who(Attribute("pets.kind", "known")) == {"ann", "bob"}


def test_what_a_text_contains_is_found_whatever_its_capitals(book: Book) -> None:
    book.person("ann")
    book.event("ann", "order.placed", ago(days=1), facts={"items": [{"name": "Veste ÉTÉ Harbour"}]})
    for wanted in ("harbour", "HARBOUR", "été", "veste É"):
        rule = Did("order.placed", where=(Where("items.name", "contains", wanted),))
        assert book.who(rule) == {"ann"}, wanted
    assert not book.who(
        Did("order.placed", where=(Where("items.name", "is", "veste été harbour"),))
    )


def test_locale_and_zone_are_attributes_too(book: Book) -> None:
    book.person("ann", locale="fr", zone="Europe/Paris")
    book.person("bob", locale="", attributes={"locale": "fr"})
    book.person("cid")
    book.person("cider", into="cid", locale="fr")
    assert book.who(Attribute("locale", "is", "fr")) == {"ann", "cid"}
    assert book.who(Attribute("zone", "contains", "Europe")) == {"ann"}
    assert book.who(Not(Attribute("zone", "known"))) == {"bob", "cid"}


def test_a_merged_customers_attribute_counts_where_the_root_has_none(book: Book) -> None:
    book.person("ann", attributes={"tier": "gold"})
    book.person("ann-2", into="ann", attributes={"tier": "vip", "team": "red"})
    book.person("ann-3", into="ann", attributes={"team": "blue"})
    book.person("bob", attributes={"tier": None})
    book.person("bob-2", into="bob", attributes={"tier": "gold"})
    assert book.who(Attribute("tier", "is", "gold")) == {"ann"}
    assert book.who(Attribute("tier", "is", "vip")) == set()
    assert book.who(Attribute("team", "is", "red")) == {"ann"}
    assert book.who(Attribute("team", "is", "blue")) == set()
    assert book.who(Not(Attribute("tier", "is", "gold"))) == {"bob"}


def test_tenure_begins_with_the_first_customer_of_the_family(book: Book) -> None:
    book.person("old", created_at=ago(days=100))
    book.person("new", created_at=ago(days=10))
    book.person("kept", created_at=ago(days=10))
    book.person("kept-2", into="kept", created_at=ago(days=100))
    month = timedelta(days=30)
    assert book.who(Tenure(at_least=month)) == {"old", "kept"}
    assert book.who(Tenure(less_than=month)) == {"new"}
    assert book.who(Not(Tenure(at_least=month))) == {"new"}
    assert book.who(Tenure(at_least=timedelta(days=10), less_than=month)) == {"new"}
    assert book.who(Tenure(at_least=timedelta(days=900_000))) == set()


def test_tenure_begins_with_what_was_told_of_the_past_of_anybody_in_the_family(book: Book) -> None:
    told = {"created_at": ago(days=1), "learned_at": ago(days=1)}
    book.person("imported", known_since=ago(days=100), **told)
    book.person("imported lately", known_since=ago(days=10), **told)
    book.person("new", created_at=ago(days=1))
    book.person("kept", created_at=ago(days=1))
    book.person("kept-2", into="kept", known_since=ago(days=100), **told)
    month = timedelta(days=30)
    assert book.who(Tenure(at_least=month)) == {"imported", "kept"}
    assert book.who(Tenure(less_than=month)) == {"imported lately", "new"}


def test_a_sample_is_the_share_of_the_assignment_exactly(book: Book) -> None:
    seed = 'spring\'s "50%"; -- ☂'
    people = {book.person(f"c{number}") for number in range(60)}
    for share in (0.0, 0.1, 0.5, 0.999, 1.0):
        drawn = {one for one in people if assignment.share(seed, one) < share}
        assert book.who(Sample(share, seed)) == drawn
        assert book.who(Not(Sample(share, seed))) == people - drawn


def test_a_persons_own_place_is_the_border_of_the_sample(book: Book) -> None:
    """At exactly a person's place they are out; at the next number they are in."""
    import math

    for number in range(20):
        one = book.person(f"c{number}")
        place = assignment.share("s", one)
        assert one not in book.who(Sample(place, "s"))
        assert one in book.who(Sample(math.nextafter(place, 1), "s"))
