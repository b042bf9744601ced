"""The door through which the record is only read."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from signalpost.record.base import new_id
from signalpost.record.bulk import among, given
from signalpost.record.customers import Customer
from signalpost.testing import EPOCH


def somebody():
    id_ = new_id()
    return Customer(id=id_, root_id=id_, created_at=EPOCH, updated_at=EPOCH)


def test_what_is_changed_in_passing_is_not_kept(database):
    with database.reading() as session:
        session.add(somebody())
    with database.reading() as session:
        assert not session.exec(select(Customer)).all()


def test_a_write_is_refused_or_thrown_away(database):
    def write():
        with database.reading() as session:
            session.add(somebody())
            session.flush()

    if database.is_sqlite:
        write()
    else:
        with pytest.raises(DBAPIError, match="read-only"):
            write()
    with database.reading() as session:
        assert not session.exec(select(Customer)).all()


def test_statements_stay_prepared_from_one_reading_to_the_next(database):
    """Parsed and planned anew each time, small queries cost PostgreSQL more than their rows do."""
    if database.is_sqlite:
        pytest.skip("SQLite's driver keeps its statements whatever happens")
    by_ids = select(Customer.id).where(among(Customer.__table__.c.root_id))
    for _ in range(20):
        with database.reading() as session:
            assert not session.execute(by_ids, given([new_id()])).all()
    with database.reading() as session:
        kept = "SELECT generic_plans, statement FROM pg_prepared_statements"
        [(planned_once, _)] = [
            row for row in session.execute(text(kept)) if "customers.root_id" in row.statement
        ]
    assert planned_once > 5


def test_a_plan_from_when_a_table_was_small_is_forgotten(database, monkeypatch):
    """A new shop's first campaign: a plan that looks through a table of ten, and then a million come."""
    if database.is_sqlite:
        pytest.skip("SQLite prefers an index however small a table is")
    by_ids = select(Customer.id).where(among(Customer.__table__.c.id))
    looks = text("SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'customers'")

    def looked_through_all():
        with database.reading(bulk=True) as session:
            before = session.execute(looks).scalar()
            session.execute(by_ids, given([new_id()])).all()
            return session.execute(looks).scalar() - before

    def more(number):
        with database.writing() as session:
            session.add_all([somebody() for _ in range(number)])

    with database.writing() as session:  # earlier tests left it large, if empty
        session.execute(text("TRUNCATE customers CASCADE"))
    more(10)
    with database.writing() as session:
        session.execute(text("ANALYZE customers"))
    assert [looked_through_all() for _ in range(20)] == [1] * 20
    more(5_000)
    monkeypatch.setattr("signalpost.record.database._PLANS_LAST", 0)
    assert looked_through_all() == 0
