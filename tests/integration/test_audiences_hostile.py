"""Rules and records full of strange values: nothing breaks, and nothing is taken for what it is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from signalpost.domain.audience import (
    Attribute,
    Did,
    Not,
    Where,
)
from signalpost.errors import BadInputError
from signalpost.record.database import Database
from tests.integration.audience_harness import Book, ago


@pytest.fixture
def book(database: Database) -> Iterator[Book]:
    with database.writing() as session:
        yield Book(session)


TIMES = {
    "2026-02-28": True,
    "2024-02-29": True,
    "2000-02-29T23:59": True,
    "2026-03-01 10:00:00.123456+05:30": True,
    "2026-03-01T10:00:00.1Z": True,
    "2026-02-29": False,
    "1900-02-29": False,
    "2026-04-31": False,
    "2026-13-01": False,
    "2026-00-10": False,
    "0000-01-01": False,
    "9999-12-31": False,
    "2026-03-01T24:00:00": False,
    "2026-03-01T10:60": False,
    "2026-03-01T10:00+99:00": False,
    "2026-03-01\n": False,
    "tomorrow": False,
    "infinity": False,
    "": False,
    "20260301": False,
}


def test_a_text_that_is_no_time_is_left_out_and_breaks_nothing(book: Book) -> None:
    for text in TIMES:
        book.person(f"t{text}"[:36], attributes={"at": text})
    expected = {f"t{text}"[:36] for text, is_time in TIMES.items() if is_time}
    assert book.who(Attribute("at", "before", "9000-01-01")) == expected
    assert book.who(Attribute("at", "after", "1000-01-01T00:00:00")) == expected


HOSTILE = [
    "' OR 1=1 --",
    "\x00",
    "\ud800",
    "%s",
    ":name",
    "{}",
    "$[*]",
    'x" ? (@ == 1)',
    "a" * 10_000,
]


def test_hostile_text_is_only_text(book: Book) -> None:
    book.person("ann", attributes={"x": "plain"})
    book.event("ann", "order.placed", ago(days=1), facts={"x": "plain"})
    for hostile in HOSTILE:
        for op in ("is", "contains", "among"):
            value = (hostile,) if op == "among" else hostile
            assert book.who(Attribute("x", op, value)) == set()
            assert book.who(Did("order.placed", (Where("x", op, value),))) == set()
        assert book.who(Attribute("x", "is_not", hostile)) == {"ann"}


UNSAYABLE = ["", "a..b", 'a"b', "a\\b", "a\nb", "\x00", "x." * 9 + "x", "a" * 201]


def test_a_name_that_no_path_can_say_is_refused(book: Book) -> None:
    book.person("ann")
    for name in UNSAYABLE:
        for rule in (
            Attribute(name, "is", 1),
            Did("order.placed", (Where(name, "known"),)),
            Did("order.placed", sum_of=name, total_at_least=1),
        ):
            with pytest.raises(BadInputError, match="name of a value"):
                book.who(rule)


STRANGE = ["' OR 1=1 --", "a b", "$", "@", "[0]", "?(1)", "%s", ":x", "é", "0"]


def test_a_strange_name_is_still_a_name(book: Book) -> None:
    book.person("ann", attributes={"other": 1, **dict.fromkeys(STRANGE, "gold")})
    book.person("bob", attributes={"other": "gold"})
    book.event("ann", "order.placed", ago(days=1), facts={name: {"k": 5} for name in STRANGE})
    for name in STRANGE:
        assert book.who(Attribute(name, "is", "gold")) == {"ann"}
        assert book.who(Did("order.placed", (Where(f"{name}.k", "is", 5),))) == {"ann"}
        assert book.who(Did("order.placed", sum_of=f"{name}.k", total_at_least=5)) == {"ann"}


REFUSED = [
    ("like", "x", "no operator"),
    ("at_least", "12", "takes a number"),
    ("more_than", True, "takes a number"),
    ("among", "gold", "takes a list"),
    ("before", "soon", "takes a date"),
    ("is", {"a": 1}, "takes a text"),
    ("is", float("nan"), "takes a text"),
    ("is", None, "takes a text"),
]


def test_a_value_that_its_operator_cannot_take_is_refused(book: Book) -> None:
    book.person("ann")
    for op, value, says in REFUSED:
        with pytest.raises(BadInputError, match=says):
            book.who(Attribute("x", op, value))


def test_amounts_that_no_column_could_hold_break_nothing(book: Book) -> None:
    """What is kept beside an event for adding up comes from whatever somebody sent."""
    book.person("ann")
    for total in (
        1e308,
        "9" * 400,
        {"amount": [], "currency": "X" * 9_000},
        [1],
        "-0.50",
        None,
        "NaN",
    ):
        book.event("ann", "order.placed", ago(days=1), facts={"total": total})
    rule = Did("order.placed", sum_of="total", total_at_least=1e307, times=7)
    assert book.who(rule) == {"ann"}
    assert book.who(Not(rule)) == set()
