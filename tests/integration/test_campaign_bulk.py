"""Many rows in one statement, and questions about a thousand people: the same answers, by an index."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import cycle, islice

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlmodel import Session, select

from signalpost.record.base import new_id, table_of
from signalpost.record.bulk import among, by_column, given, insert_columns, look_up_by_index
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.consents import Suppression
from signalpost.record.customers import Customer
from signalpost.record.messages import Delivery, Message
from signalpost.testing import EPOCH, Stage
from tests.integration.campaign_engine import (
    audit,
    campaign,
    later,
    launched,
    message_states,
    pass_until,
    people,
    send,
)

ABROAD = timezone(timedelta(hours=5, minutes=45))
NASTY = [
    "'; DROP TABLE customers; --",
    '"quoted"',
    "tab\tand\nline",
    "\\N",
    "\\.",
    "",
    "%s :x ?",
    "{}",
    "Ünï 😀",
    "null",
    "[1]",
]


def one_customer(session):
    one = Customer(id=new_id(), created_at=EPOCH, updated_at=EPOCH, root_id="")
    one.root_id = one.id
    session.add(one)
    session.flush()
    return one.id


def message(customer_id, words, number):
    """Every column of a message, with values that are hard to write."""
    return {
        "id": new_id(),
        "idempotency_key": f"{number}:{words}",
        "customer_id": customer_id,
        "enrolment_id": None,
        "campaign_run_id": new_id(),
        "cause_id": None,
        "message": words,
        "version": words,
        "channel": "email",
        "address": words,
        "purpose": "marketing",
        "topic": words,
        "locale": words,
        "status": "sending",
        "reason": words or None,
        "facts": {words: [words, None, 1.5, {"a": words}]},
        "variant_id": None,
        "slots": {"s0": words},
        "run_id": None,
        "created_at": datetime(2026, 3, 2, 9, 0, 0, 123, tzinfo=UTC),
        "updated_at": datetime(2026, 3, 2, 9, tzinfo=UTC),
        "expires_at": datetime(2026, 3, 2, 9, tzinfo=ABROAD) if number % 2 else None,
    }


def test_ids_are_looked_up_by_index_however_small_the_table_was_when_the_plan_was_made(database):
    if database.is_sqlite:
        pytest.skip("SQLite always does")
    by_ids = "EXPLAIN SELECT id FROM messages WHERE id = ANY(CAST('{a,b}' AS text[]))"
    with database.writing() as session:
        session.execute(text("TRUNCATE messages CASCADE"))  # earlier tests left it large, if empty
        one = by_column([message(one_customer(session), "one", 1)])
        insert_columns(session, table_of(Message), rows=1, columns=one)
        session.execute(text("ANALYZE messages"))
        assert "Seq Scan" in str(session.execute(text(by_ids)).all())
        look_up_by_index(session)
        assert "Seq Scan" not in str(session.execute(text(by_ids)).all())
    with database.reading() as session:
        assert session.execute(text("SHOW enable_seqscan")).scalar_one() == "on"


def write_on_a_cut_line(database, rows):
    with database.writing() as session:
        ours = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with database.reading() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": ours})
        insert_columns(session, table_of(Message), rows=1, columns=by_column(rows))


def test_an_error_of_a_copy_is_one_that_callers_know(database):
    """Else a database that is away would look like a bug of ours, and a signal be set aside for it."""
    if database.is_sqlite:
        pytest.skip("SQLite has no COPY")
    rows = [message(new_id(), "nobody has this id", 1)]
    with pytest.raises(IntegrityError), database.writing() as session:
        insert_columns(session, table_of(Message), rows=1, columns=by_column(rows))
    rows[0]["address"] = "half\0"
    with pytest.raises(DataError), database.writing() as session:
        insert_columns(session, table_of(Message), rows=1, columns=by_column(rows))
    with pytest.raises(OperationalError):
        write_on_a_cut_line(database, rows)
    with database.writing() as session:  # and the broken connection is not given out again
        assert one_customer(session)


@pytest.mark.parametrize("rows", [1, len(NASTY), 100, 253])
def test_rows_written_by_column_are_those_that_an_object_each_would_be(database, rows):
    """However many they are: SQLite takes a hundred in one statement, and what is left one by one."""
    with database.writing() as session:
        who = one_customer(session)
        said = islice(cycle(NASTY), rows)
        wanted = [message(who, words, number) for number, words in enumerate(said)]
        columns = {name: [row[name] for row in wanted] for name in wanted[0]}
        columns["purpose"] = "marketing"  # one value for all
        insert_columns(session, table_of(Message), rows=len(wanted), columns=columns)
        again = [{**row, "id": new_id(), "idempotency_key": f"orm:{row['id']}"} for row in wanted]
        session.add_all([Message(**row) for row in again])
    with database.reading() as session:
        raw = session.execute(text("SELECT * FROM messages")).mappings().all()
    by_id = {row["id"]: dict(row) for row in raw}
    for bulk, orm in zip(wanted, again, strict=True):
        one, other = by_id[bulk["id"]], by_id[orm["id"]]
        ours = {"id", "idempotency_key"}
        assert {k: v for k, v in one.items() if k not in ours} == {
            k: v for k, v in other.items() if k not in ours
        }


def test_other_kinds_of_columns_come_back_as_they_went_in(database):
    with database.writing() as session:
        insert_columns(
            session,
            table_of(Suppression),
            rows=2,
            columns={
                "id": [new_id(), new_id()],
                "channel": "sms",
                "address": ["+1", "+2"],
                "scope": "all",
                "reason": "stop",
                "active": [True, False],
                "source": "test",
                "at": EPOCH,
            },
        )
        insert_columns(
            session,
            table_of(CampaignPerson),
            rows=1,
            columns={
                "campaign_run_id": "r",
                "customer_id": ["c"],
                "shard": 7,
                "due_at": EPOCH,
                "tries": [2],
                "verdicts": [[{"channel": None, "detail": {"a": 1}}]],
            },
        )
    with database.reading() as session:
        assert [s.active for s in session.exec(select(Suppression).order_by("address"))] == [
            True,
            False,
        ]
        [person] = session.exec(select(CampaignPerson))
        assert (person.shard, person.tries, person.due_at) == (7, 2, EPOCH)
        assert person.verdicts == [{"channel": None, "detail": {"a": 1}}]
        assert person.outcome is None


def test_no_rows_are_no_statement(database):
    with database.writing() as session:
        insert_columns(session, table_of(Delivery), rows=0, columns={"id": []})
    with database.reading() as session:
        assert list(session.exec(select(Delivery))) == []


def test_a_moment_without_a_zone_is_refused(database):
    with database.writing() as session:
        who = one_customer(session)
        row = message(who, "x", 0) | {"created_at": datetime.fromisoformat("2026-03-02T09:00")}
        with pytest.raises(ValueError, match="without a zone"):
            insert_columns(
                session, table_of(Message), rows=1, columns={k: [v] for k, v in row.items()}
            )


def found(session: Session, ids):
    query = select(Customer.id).where(among(table_of(Customer).c.id))
    return set(session.execute(query, given(ids)).scalars())


@pytest.mark.parametrize("count", [0, 1, 40_000])
def test_among_finds_exactly_those_that_are_listed(database, count):
    with database.writing() as session:
        known = {one_customer(session) for _ in range(3)}
    listed = [new_id() for _ in range(max(count - 2, 0))] + sorted(known)[: min(count, 2)]
    with database.reading() as session:
        assert found(session, listed) == set(sorted(known)[: min(count, 2)])


def test_among_takes_hostile_text_for_text(database):
    with database.writing() as session:
        who = one_customer(session)
        for words in NASTY:
            session.add(
                Suppression(
                    channel="email", address=words, scope="all", reason="stop", source="t", at=EPOCH
                )
            )
        session.flush()
        column = table_of(Suppression).c.address
        query = select(column).where(among(column))
        assert set(session.execute(query, given(NASTY)).scalars()) == set(NASTY)
        assert set(session.execute(query, given(NASTY[:1])).scalars()) == {NASTY[0]}
        assert found(session, [who, *NASTY]) == {who}


LARGE = ("customers", "contact_points", "consents", "messages", "campaign_people", "deliveries",
         "suppressions", "events", "marketing_holds", "message_variants")  # fmt: skip


def looks_through(step):
    """Whether a step of a plan reads all of a large table, or everybody of a run."""
    if step.startswith("SCAN"):
        return step.split()[1] in LARGE and "USING" not in step
    return step.startswith("SEARCH campaign_people") and step.endswith("(campaign_run_id=?)")


def test_nothing_that_a_send_asks_of_sqlite_looks_through_a_whole_table(tmp_path):
    """Every statement of a send with every turn that it can take, as SQLite says it runs it."""
    seen = {}

    def keep(connection, cursor, statement, parameters, context, executemany):
        del connection, context
        if statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            seen.setdefault(statement, parameters[0] if executemany else parameters)

    with Stage(folder=tmp_path) as stage:
        people(stage, 30)
        engine = stage.database.engine
        run_id = launched(stage, campaign(channels={"every": ["email", "in_app"]}))
        event.listen(engine, "before_cursor_execute", keep)
        stage.outbox.manner = lambda one: later(one) if one.channel == "email" else None
        send(stage)
        stage.outbox.manner = lambda one: None
        pass_until(stage, stage.clock.now + timedelta(hours=1))
        event.remove(engine, "before_cursor_execute", keep)
        audit(stage, run_id)
        assert message_states(stage, run_id) == {"handed_over": 30, "delivered": 30}
        scans = []
        with engine.connect() as connection:
            for statement, parameters in seen.items():
                explain = f"EXPLAIN QUERY PLAN {statement}"
                plan = connection.exec_driver_sql(explain, parameters).all()
                scans += [(line[-1], statement) for line in plan if looks_through(line[-1])]
    assert len(seen) > 15
    assert scans == []
