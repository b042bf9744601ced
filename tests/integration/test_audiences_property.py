"""Whatever the rule and the record: the statement means whom plain Python means, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session

from signalpost.domain.audience import (
    OPERATORS,
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
    Unless,
    Where,
)
from signalpost.record import audiences
from signalpost.record.base import metadata
from signalpost.record.database import Database
from tests.integration.audience_oracle import NOW, Record, applies, members

DAYS = st.sampled_from([-1, 0, 1, 2, 7, 30]).map(lambda days: timedelta(days=days))
LENGTHS = st.sampled_from([0, 1, 2, 7, 30]).map(lambda days: timedelta(days=days))
TEXTS = st.sampled_from(
    [
        "gold",
        "go",
        "",
        "5",
        "-2.50",
        "5.",
        "1e3",
        "٣",
        "2026-05-30",
        "2026-02-30",
        "O'Neil\"; --",
        "☂",
        "%",
    ]
)
NUMBERS = st.sampled_from([0, 5, -2.5, 0.1, 1e15])
MONEY = st.builds(
    lambda amount, currency: {"amount": amount, "currency": currency},
    st.one_of(st.sampled_from(["5", "0.10", "5.5.5", "x"]), NUMBERS),
    st.sampled_from(["USD", "JPY", "usd", 5, None]),
)
SCALARS = st.one_of(TEXTS, NUMBERS, st.booleans(), st.none(), MONEY)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = ["a", "b", "total", "naïve key", "'; DROP TABLE customers; --"]
DOCUMENTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)
#: Of an event: now and then with the text or number that another has.
FACTS = st.builds(
    lambda facts, same: facts | same,
    DOCUMENTS,
    st.fixed_dictionaries({}, optional={"b": st.sampled_from(["0", 0, "1", 1, True, ["1"], None])}),
)
NAMES = st.sampled_from([*KEYS, "a.b", "a.a.b", "total.amount", "missing"])
CHANNELS, TOPICS = st.sampled_from(["email", "sms", "*"]), st.sampled_from(["offers", "news", "*"])
EVENTS = st.sampled_from(["order.placed", 'it\'s "odd"'])


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A record of up to six customers, some merged into others."""
    record = Record()
    ids = [f"c{number}" for number in range(draw(st.integers(1, 6)))]
    roots: list[str] = []
    for one in ids:
        root = draw(st.sampled_from([one, one, *roots]))
        roots += [one] if root == one else []
        created = NOW - draw(DAYS)
        record.customers.append({
            "id": one, "root_id": root, "locale": draw(st.sampled_from([None, "", "fr", "en"])),
            "zone": None, "attributes": draw(DOCUMENTS), "created_at": created,
            "known_since": draw(st.sampled_from([None, created - timedelta(days=2)])),
            "learned_at": None, "updated_at": NOW,
        })  # fmt: skip

    def rows(letter: str, /, **columns: st.SearchStrategy[Any]) -> list[dict[str, Any]]:
        drawn = draw(st.lists(st.fixed_dictionaries(columns), max_size=8))
        return [{"id": f"{letter}{number}", **row} for number, row in enumerate(drawn)]

    who, at = st.sampled_from(ids), DAYS.map(lambda length: NOW - length)
    record.events = rows(
        "e", customer_id=st.one_of(who, who, st.none()), name=EVENTS, facts=FACTS, occurred_at=at,
        status=st.sampled_from(["accepted", "accepted", "historic", "parked", "conflict"]),
    )  # fmt: skip
    record.consents = rows(
        "s", customer_id=who, channel=CHANNELS, topic=TOPICS, at=at,
        status=st.sampled_from(["granted", "denied", "pending"]),
    )  # fmt: skip
    record.contact_points = rows(
        "p", customer_id=who, channel=st.sampled_from(["email", "sms"]), created_at=at,
        address=st.sampled_from(["x", "y", "z"]), verified_at=st.sampled_from([NOW, NOW, None]),
        replaced_at=st.sampled_from([None, None, NOW]),
    )  # fmt: skip
    kept = {
        (row["channel"], row["address"], row["customer_id"]): row for row in record.contact_points
    }
    record.contact_points = list(kept.values())
    record.suppressions = rows(
        "b", channel=st.sampled_from(["email", "sms"]), address=st.sampled_from(["x", "y", "z"]),
        scope=st.sampled_from(["all", "all", "marketing"]), active=st.booleans(), at=at,
        reason=st.sampled_from(["stop", "manual"]),
    )  # fmt: skip
    record.decisions = rows(
        "r", customer_id=who, campaign=st.sampled_from(["spring", "summer"]), decided_at=at,
        series=st.sampled_from([None, "outage"]),
        outcome=st.sampled_from([None, "sent", "held_out", "skipped"]),
    )  # fmt: skip
    return record


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A name, an operator and a value that it takes."""
    op = draw(st.sampled_from(OPERATORS))
    single = st.one_of(TEXTS, NUMBERS, st.booleans())
    value = {
        "known": st.none(),
        "among": st.lists(single, max_size=3).map(tuple),
        "not_among": st.lists(single, max_size=3).map(tuple),
        "before": st.just("2026-05-30"),
        "after": st.just("2026-05-29"),
    }.get(op, NUMBERS if op.endswith(("least", "most", "than")) else single)
    return draw(NAMES), op, draw(value)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


AMOUNTS = optional(st.sampled_from([-5, 0, 0.1, 5, 10]))
UNLESS = st.builds(
    Unless,
    st.lists(EVENTS, min_size=1, max_size=2).map(tuple),
    st.sampled_from(["a", "b", "b", "b"]),
    st.lists(comparisons().map(lambda one: Where(*one)), max_size=1).map(tuple),
)
SINGLE = st.one_of(
    st.just(Everyone()),
    comparisons().map(lambda one: Attribute(*one)),
    st.just(Attribute("locale", "is", "fr")),
    st.builds(Tenure, optional(LENGTHS), optional(LENGTHS)),
    st.builds(Consent, st.sampled_from(["email", "sms"]), st.sampled_from(["offers", "news"])),
    st.builds(Reachable, st.sampled_from(["email", "sms"])),
    st.builds(
        Did,
        event=EVENTS,
        where=st.lists(comparisons().map(lambda one: Where(*one)), max_size=2).map(tuple),
        within=optional(LENGTHS),
        times=st.integers(0, 3),
        at_most=optional(st.integers(0, 3)),
        sum_of=NAMES,
        total_at_least=AMOUNTS,
        total_at_most=AMOUNTS,
        last_before=optional(LENGTHS),
        unless=optional(UNLESS),
    ),
    st.builds(
        Did,
        event=EVENTS,
        within=optional(LENGTHS),
        times=st.integers(1, 2),
        unless=optional(UNLESS),
    ),
    st.builds(
        InCampaign,
        campaign=st.sampled_from(["spring", "none"]),
        outcome=st.sampled_from(["any", "sent", "held_out"]),
        within=optional(LENGTHS),
        series=st.sampled_from([None, "outage"]),
    ),
    st.builds(Sample, st.sampled_from([0, 0.3, 0.8, 1]), st.sampled_from(["s", "'"])),
)
RULES: st.SearchStrategy[Rule] = st.recursive(
    SINGLE,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)
#: What is asked of those who did something: PostgreSQL answers it from the inside out.
DOERS = st.builds(
    lambda did, rules: All((did, *rules)),
    st.builds(
        Did,
        event=EVENTS,
        times=st.integers(1, 2),
        sum_of=st.sampled_from(["total", "total.amount"]),
        total_at_least=AMOUNTS,
        unless=optional(UNLESS),
    ),
    st.lists(st.one_of(SINGLE, SINGLE.map(Not), RULES), max_size=3),
)

_SAME = {
    "events": {"body_hash": "", "source": "", "payload": {}, "received_at": NOW},
    "consents": {"source": "", "recorded_at": NOW},
    "contact_points": {},
    "suppressions": {"source": ""},
}


def write(session: Session, record: Record) -> None:
    """Write the rows to their tables."""
    tables = metadata.tables
    connection = session.connection()
    connection.execute(tables["customers"].insert(), record.customers)
    for name, same in _SAME.items():
        rows = [row | same for row in getattr(record, name)]
        if name == "events":
            rows = [row | {"message_id": row["id"]} for row in rows]
        if rows:
            connection.execute(tables[name].insert(), rows)
    if not record.decisions:
        return
    version = {"version": "v", "campaign": "c", "definition": {}, "first_seen_at": NOW}
    connection.execute(tables["campaign_versions"].insert(), [version])
    for row in record.decisions:
        run = {"id": row["id"], "campaign": row["campaign"], "series": row["series"]}
        run |= {"version": "v", "occurrence": row["id"], "status": "done", "facts": {}, "plan": {}}
        run |= {"scheduled_at": NOW, "created_at": NOW}
        connection.execute(tables["campaign_runs"].insert(), [run])
        person = {"campaign_run_id": row["id"], "customer_id": row["customer_id"], "shard": 0}
        person |= {"due_at": NOW, "tries": 0, "outcome": row["outcome"], "verdicts": []}
        person |= {"decided_at": row["decided_at"] if row["outcome"] else None}
        connection.execute(tables["campaign_people"].insert(), [person])


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(record=records(), rules=st.lists(st.one_of(RULES, DOERS), min_size=1, max_size=5))
def test_a_statement_means_whom_plain_python_means(
    database: Database, record: Record, rules: list[Rule]
) -> None:
    with Session(database.engine) as session:
        write(session, record)
        dialect = database.engine.dialect.name
        for rule in rules:
            expected = members(record, rule)
            found = session.execute(audiences.members(rule, now=NOW, dialect=dialect)).scalars()
            assert sorted(found) == sorted(expected)
            some = record.roots()[::2]
            asked = audiences.among(session, rule, ids=some, now=NOW)
            assert asked == {one for one in some if one in expected}
            steps = audiences.narrowing(session, rule, now=NOW)
            assert [one for one in steps if not one.depth][-1].remaining == len(expected)
            one = record.roots()[0]
            assert audiences.holds(session, rule, customer_id=one, now=NOW) == applies(
                record, one, rule
            )
            audiences.explain(session, rule, customer_id=one, now=NOW)
        session.rollback()
