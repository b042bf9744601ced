"""Why somebody is in an audience or not, and at which clause it ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from signalpost.domain import assignment
from signalpost.domain.audience import (
    All,
    AnyOf,
    Attribute,
    Consent,
    Did,
    Everyone,
    Given,
    InCampaign,
    Not,
    Reachable,
    Rule,
    Sample,
    Tenure,
    Where,
)
from signalpost.errors import NotFoundError
from signalpost.record import audiences
from signalpost.record.database import Database
from tests.integration.audience_harness import NOW, Book, ago


@pytest.fixture
def book(database: Database) -> Iterator[Book]:
    with database.writing() as session:
        yield Book(session)


def everything() -> Rule:
    return All(
        (
            Attribute("tier", "among", ("gold", "vip")),
            Tenure(at_least=timedelta(days=30)),
            Consent("email", "offers"),
            Reachable("email"),
            Did(
                "order.placed",
                times=2,
                within=timedelta(days=90),
                sum_of="total",
                total_at_least=100,
            ),
            Not(AnyOf((Did("order.returned"), InCampaign("win-back")))),
            Sample(0.5, "spring"),
        )
    )


def test_explain_says_of_each_clause_whether_it_holds_and_what_the_record_says(book: Book) -> None:
    book.person("ann", attributes={"tier": "silver"}, created_at=ago(days=40, hours=3))
    book.person("ann-2", into="ann", created_at=ago(days=2))
    book.say("ann", "granted", "email", "*", ago(days=5))
    book.say("ann", "denied", "*", "offers", ago(days=4))
    book.point("ann-2", "email", "ann@example.com")
    book.order("ann-2", ago(days=3), "49.90")
    book.event("ann", "order.returned", ago(days=1))
    place = f"{assignment.share('spring', 'ann'):.2%}"
    explained = audiences.explain(book.session, everything(), customer_id="ann-2", now=NOW)
    assert {one.depth for one in explained[:5]} == {0}
    group = explained.pop(5)
    assert (group.words, group.joins, group.holds, group.depth) == ("all of these", "all", False, 0)
    assert [(one.depth, one.joins) for one in explained[5:8]] == [(1, None), (1, None), (0, None)]
    assert [(one.words, one.holds, one.value) for one in explained] == [
        ("tier is one of gold, vip", False, "tier is silver"),
        ("known to us for at least 30 days", True, "known since 2026-04-22 09:00 UTC, for 40 days"),
        (
            "agreed to marketing by email about offers",
            False,
            "denied on 2026-05-28 12:00 UTC (every channel, offers)",
        ),
        ("can be reached by email", True, "a verified address since 2026-05-23 12:00 UTC"),
        (
            (
                "did order.placed at least 2 times in the last 90 days, with total adding up to at least"
                " 100"
            ),
            False,
            (
                "did order.placed 1 time in the last 90 days, total adding up to 49.9, last on"
                " 2026-05-29 12:00 UTC"
            ),
        ),
        (
            "not: did order.returned at least 1 time",
            False,
            "did order.returned 1 time, last on 2026-05-31 12:00 UTC",
        ),
        ("not: was sent the campaign win-back", True, "not in the campaign win-back"),
        (
            "is in a random 50% of customers (seed spring)",
            assignment.share("spring", "ann") < 0.5,
            f"their place is {place}",
        ),
    ]
    assert not audiences.holds(book.session, everything(), customer_id="ann", now=NOW)


def test_explain_holds_no_address_and_knows_when_there_is_nothing(book: Book) -> None:
    book.person("new", created_at=NOW)
    said = audiences.explain(book.session, everything(), customer_id="new", now=NOW)
    assert [one.value for one in said[:5]] == [
        "tier is not known",
        "known since 2026-06-01 12:00 UTC, for 0 seconds",
        "never said anything about it",
        "no address",
        "did order.placed 0 times in the last 90 days",
    ]
    with pytest.raises(NotFoundError, match="nobody"):
        audiences.explain(book.session, everything(), customer_id="nobody", now=NOW)


def test_explain_says_from_what_we_know_somebody_longer_than_they_are_on_record(book: Book) -> None:
    book.person("ann", created_at=ago(days=3))
    book.person(
        "ann-2",
        into="ann",
        created_at=ago(days=2),
        known_since=ago(days=40),
        learned_at=ago(days=1),
    )
    [said] = audiences.explain(
        book.session, Tenure(at_least=timedelta(days=30)), customer_id="ann", now=NOW
    )
    assert said.holds
    assert said.value == (
        "known since 2026-04-22 12:00 UTC, for 40 days: by their oldest event, told on 2026-05-31 "
        "12:00 UTC"
    )


def test_narrowing_shows_the_clause_that_nobody_passes(book: Book) -> None:
    for number in range(6):
        name = book.person(f"c{number}", attributes={"tier": "gold" if number else "silver"})
        if number % 2:
            book.order(name, ago(days=1))
    rule = All(
        (
            Attribute("tier", "is", "gold"),
            AnyOf((Did("order.placed"), Reachable("sms"))),
            Not(Did("order.placed")),
            Everyone(),
        )
    )
    steps = audiences.narrowing(book.session, rule, now=NOW)
    assert [(one.words, one.remaining) for one in steps] == [
        ("everybody on record", 6),
        ("tier is gold", 5),
        ("at least one of these", 3),
        ("did order.placed at least 1 time", 3),
        ("can be reached by SMS", 0),
        ("not: did order.placed at least 1 time", 0),
        ("everybody", 0),
    ]
    assert [one.depth for one in steps] == [0, 0, 0, 1, 1, 0, 0]


def test_one_of_several_is_explained_as_such_and_marked_as_a_whole(book: Book) -> None:
    book.person("ann", attributes={"tier": "gold"})
    either = AnyOf(
        (Did("delivery.late"), All((Attribute("tier", "is", "gold"), Not(Did("order.placed")))))
    )
    found = audiences.explain(book.session, either, customer_id="ann", now=NOW)
    assert [(one.depth, one.joins, one.words, one.holds) for one in found] == [
        (0, "any", "at least one of these", True),
        (1, None, "did delivery.late at least 1 time", False),
        (1, "all", "all of these", True),
        (2, None, "tier is gold", True),
        (2, None, "not: did order.placed at least 1 time", True),
    ]
    turned = audiences.explain(book.session, Not(either), customer_id="ann", now=NOW)
    assert [(one.depth, one.joins, one.words, one.holds) for one in turned] == [
        (0, None, "not: did delivery.late at least 1 time", True),
        (0, "any", "at least one of these", False),
        (1, None, "not: tier is gold", False),
        (1, None, "did order.placed at least 1 time", False),
    ]
    assert not audiences.holds(book.session, Not(either), customer_id="ann", now=NOW)


def test_what_a_launch_gives_is_asked_and_not_compared_with_nothing(book: Book) -> None:
    book.person("ann")
    book.event("ann", "order.ready_for_pickup", ago(days=1), facts={"store": "Riverside"})
    waits = Did("order.ready_for_pickup", where=(Where("store", "is", Given("store")),))
    late = Did("delivery.late")
    for rule, holds in (
        (waits, [None]),
        (Not(waits), [None]),
        (AnyOf((late, waits)), [None, False, None]),
        (All((late, waits)), [False, None]),
        (AnyOf((Not(late), waits)), [True, True, None]),
    ):
        found = audiences.explain(book.session, rule, customer_id="ann", now=NOW)
        assert [one.holds for one in found] == holds
        [asked] = [one for one in found if one.joins is None and one.holds is None]
        assert asked.value == "asked at the launch: store"
