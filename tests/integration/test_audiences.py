"""An audience is exactly the people its rule describes, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from signalpost.domain import assignment
from signalpost.domain.audience import (
    All,
    AnyOf,
    Attribute,
    Consent,
    Did,
    Everyone,
    InCampaign,
    Not,
    Reachable,
    Rule,
    Sample,
    Tenure,
    Where,
)
from signalpost.errors import BadInputError, NotFoundError
from signalpost.record import audiences, campaigns, consents, customers, events
from signalpost.record.database import Database

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


class Book:
    """A small record, written row by row."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._count = 0

    def _id(self) -> str:
        self._count += 1
        return f"{self._count:04d}"

    def person(self, name: str, *, into: str | None = None, **values: Any) -> str:
        """Add a customer; ``into``: merged into that one."""
        made = {"locale": None, "zone": None, "attributes": {}, "created_at": ago(days=400)}
        made |= {"id": name, "root_id": into or name} | values
        self.session.add(customers.Customer(**made, updated_at=NOW))
        self.session.flush()
        return name

    def event(self, who: str | None, name: str, at: datetime, **values: Any) -> None:
        """Add an event; its facts as ``facts``."""
        made = {"source": "test", "status": "accepted", "facts": {}, "payload": {}} | values
        key = self._id()
        self.session.add(
            events.Event(
                message_id=key,
                body_hash=key,
                name=name,
                customer_id=who,
                occurred_at=at,
                received_at=at,
                **made,
            )
        )
        self.session.flush()

    def order(self, who: str, at: datetime, amount: str = "10.00", money: str = "USD") -> None:
        self.event(who, "order.placed", at, facts={"total": {"amount": amount, "currency": money}})

    def say(self, who: str, status: str, channel: str, topic: str, at: datetime) -> None:
        self.session.add(
            consents.Consent(
                id=self._id(),
                customer_id=who,
                channel=channel,
                topic=topic,
                status=status,
                source="test",
                at=at,
                recorded_at=at,
            )
        )
        self.session.flush()

    def point(self, who: str, channel: str, address: str, **values: Any) -> None:
        made = {"verified_at": ago(days=9), "created_at": ago(days=9), "replaced_at": None} | values
        self.session.add(
            customers.ContactPoint(customer_id=who, channel=channel, address=address, **made)
        )
        self.session.flush()

    def block(self, channel: str, address: str, *, at: datetime, **values: Any) -> None:
        made = {"scope": "all", "reason": "stop", "active": True, "source": "test"} | values
        self.session.add(
            consents.Suppression(id=self._id(), channel=channel, address=address, at=at, **made)
        )
        self.session.flush()

    def decided(self, who: str, campaign: str, outcome: str | None, at: datetime | None) -> None:
        run = campaigns.CampaignRun(
            campaign=campaign,
            version="v",
            occurrence=self._id(),
            status="done",
            series="outage-7",
            scheduled_at=NOW,
            created_at=NOW,
        )
        if self.session.get(campaigns.CampaignVersion, "v") is None:
            self.session.add(
                campaigns.CampaignVersion(version="v", campaign=campaign, first_seen_at=NOW)
            )
            self.session.flush()
        self.session.add(run)
        self.session.flush()
        self.session.add(
            campaigns.CampaignPerson(
                campaign_run_id=run.id,
                customer_id=who,
                shard=0,
                due_at=NOW,
                outcome=outcome,
                decided_at=at,
            )
        )
        self.session.flush()

    def who(self, rule: Rule) -> set[str]:
        """Ask for the members, and see that counting and asking one by one say the same."""
        dialect = self.session.get_bind().dialect.name
        found = list(
            self.session.execute(audiences.members(rule, now=NOW, dialect=dialect)).scalars()
        )
        assert len(found) == len(set(found)), "somebody is in twice"
        assert audiences.count(self.session, rule, now=NOW) == len(found)
        roots = customers.Customer.id == customers.Customer.root_id
        everybody = list(self.session.exec(select(customers.Customer.id).where(roots)))
        assert audiences.among(self.session, rule, ids=everybody, now=NOW) == set(found)
        return set(found)


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
    assert not book.who(Did("order.placed", where=(Where("items.name", "is", "veste été harbour"),)))


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


def test_the_latest_word_about_the_channel_and_topic_counts(book: Book) -> None:
    said = {
        "yes": [("granted", "email", "offers", 5)],
        "all": [("granted", "*", "*", 5)],
        "back": [("granted", "email", "*", 5), ("denied", "*", "offers", 4)],
        "again": [("denied", "*", "*", 5), ("granted", "email", "offers", 4)],
        "other": [("granted", "email", "news", 5), ("granted", "sms", "offers", 5)],
        "maybe": [("granted", "email", "offers", 5), ("pending", "email", "offers", 4)],
        "tied": [("granted", "email", "offers", 5), ("denied", "*", "*", 5)],
        "tied no": [("denied", "email", "*", 5), ("granted", "*", "offers", 5)],
        "twice": [("denied", "email", "offers", 5), ("granted", "email", "offers", 5)],
        "news no": [("granted", "email", "*", 5), ("denied", "email", "news", 4)],
        "never": [],
    }
    for name, statements in said.items():
        book.person(name)
        for status, channel, topic, days in statements:
            book.say(name, status, channel, topic, ago(days=days))
    agreed = {"yes", "all", "again", "tied", "twice", "news no"}
    assert book.who(Consent("email", "offers")) == agreed
    assert book.who(Not(Consent("email", "offers"))) == set(said) - agreed
    book.person("twice-2", into="twice")
    book.say("twice-2", "denied", "*", "*", ago(days=1))
    assert book.who(Consent("email", "offers")) == agreed - {"twice"}


def test_reachable_is_a_verified_address_in_use_without_a_block_for_everything(book: Book) -> None:
    for name in (
        "good",
        "raw",
        "stopped",
        "freed",
        "stopped twice",
        "offers only",
        "moved",
        "none",
    ):
        book.person(name)
    book.point("good", "sms", "+1")
    book.point("raw", "sms", "+2", verified_at=None)
    for number, name in enumerate(("stopped", "freed", "stopped twice", "offers only"), start=3):
        book.point(name, "sms", f"+{number}")
    book.block("sms", "+3", at=ago(days=2), active=False)
    book.block("sms", "+3", at=ago(days=1))
    book.block("sms", "+4", at=ago(days=2))
    book.block("sms", "+4", at=ago(days=1), active=False)
    book.block("sms", "+5", at=ago(days=2))
    book.block("sms", "+5", at=ago(days=1), reason="hard_bounce")
    book.block("sms", "+5", at=ago(hours=1), active=False)
    book.block("sms", "+6", at=ago(days=2), scope="marketing", reason="unsubscribe")
    book.block("email", "+1", at=ago(days=2))
    book.point("moved", "sms", "+7", replaced_at=NOW)
    reached = {"good", "freed", "offers only"}
    assert book.who(Reachable("sms")) == reached
    assert book.who(Not(Reachable("sms"))) == {"raw", "stopped", "stopped twice", "moved", "none"}
    assert book.who(Reachable("email")) == set()


def test_the_roots_own_address_is_the_one_in_use_then_the_newest(book: Book) -> None:
    for name in ("own good", "own bad", "newer bad", "lent"):
        book.person(name)
        book.person(f"{name}-2", into=name)
    book.point("own good", "sms", "+1", created_at=ago(days=9))
    book.point("own good-2", "sms", "+2", created_at=ago(days=1), verified_at=None)
    book.point("own bad", "sms", "+3", created_at=ago(days=9), verified_at=None)
    book.point("own bad-2", "sms", "+4", created_at=ago(days=1))
    book.point("newer bad", "sms", "+5", created_at=ago(days=9))
    book.point("newer bad", "sms", "+6", created_at=ago(days=1))
    book.block("sms", "+6", at=ago(days=1))
    book.point("lent-2", "sms", "+7")
    assert book.who(Reachable("sms")) == {"own good", "lent"}


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


def test_another_campaigns_decision_is_the_persons_own(book: Book) -> None:
    for name in ("sent", "held", "skipped", "open", "old", "none"):
        book.person(name)
    book.person("sent-2", into="sent")
    book.decided("sent-2", "win-back", "sent", ago(days=1))
    book.decided("held", "win-back", "held_out", ago(days=1))
    book.decided("skipped", "win-back", "skipped", ago(days=1))
    book.decided("open", "win-back", None, None)
    book.decided("old", "win-back", "sent", ago(days=40))
    book.decided("none", "other", "sent", ago(days=1))
    assert book.who(InCampaign("win-back")) == {"sent", "old"}
    assert book.who(InCampaign("win-back", within=timedelta(days=30))) == {"sent"}
    assert book.who(InCampaign("win-back", outcome="any")) == {"sent", "held", "skipped", "old"}
    assert book.who(InCampaign("win-back", outcome="held_out", series="outage-7")) == {"held"}
    assert book.who(InCampaign("win-back", series="outage-8")) == set()
    assert book.who(Not(InCampaign("win-back", outcome="any"))) == {"open", "none"}


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
        ("(did order.placed at least 1 time or can be reached by SMS)", 3),
        ("not: did order.placed at least 1 time", 0),
        ("everybody", 0),
    ]


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
