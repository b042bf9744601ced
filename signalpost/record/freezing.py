"""Freezing an audience: chosen into a temporary table, then moved into the run shard by shard.

Choosing may take seconds and locks nothing; each shard is a short transaction of its own, so that on
SQLite, which has one writer, nobody waits for a million people.
"""

from typing import Any

from sqlalchemy import (
    Integer,
    Select,
    String,
    column,
    delete,
    func,
    insert,
    literal,
    select,
    table,
    text,
    values,
)
from sqlmodel import Session

from signalpost.record.base import Id, Json, UtcDateTime, table_of
from signalpost.record.campaign_people import SHARD, Due
from signalpost.record.campaigns import CampaignPerson, CampaignShard
from signalpost.record.customers import Customer

_p = table_of(CampaignPerson)
_s = table_of(CampaignShard)
_c = table_of(Customer)
_chosen = table(
    "chosen_people",
    column("place", Integer),
    column("customer_id", Id),
    column("due_at", UtcDateTime),
)

_SQLITE = """CREATE TEMP TABLE chosen_people
    (place INTEGER PRIMARY KEY, customer_id VARCHAR(36), due_at VARCHAR(32))"""
_POSTGRESQL = """CREATE TEMP TABLE chosen_people
    (place INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id VARCHAR(36),
     due_at TIMESTAMP WITH TIME ZONE)"""


def choose(session: Session, *, members: Select[Any], due: Due, limit: int | None) -> int:
    """Choose who is meant, and when each is due, into this connection's own table; gives how many."""
    sqlite = session.get_bind().dialect.name == "sqlite"
    session.execute(text("DROP TABLE IF EXISTS chosen_people"))
    session.execute(text(_SQLITE if sqlite else _POSTGRESQL))
    who = (members.limit(limit) if limit is not None else members).subquery("who")
    member = next(iter(who.c))
    query: Any = select(member, _due(due))
    if due.by_zone:
        zones = _zones(due)
        query = (
            select(member, func.coalesce(zones.c.due, _due(due)))
            .join(_c, _c.c.id == member)
            .outerjoin(zones, zones.c.zone == _c.c.zone)
        )
    session.execute(insert(_chosen).from_select(["customer_id", "due_at"], query.order_by(member)))
    return session.execute(select(func.count()).select_from(_chosen)).scalar_one()


def _due(due: Due) -> Any:
    return literal(due.first, UtcDateTime)


def _zones(due: Due) -> Any:
    listed = values(column("zone", String), column("due", UtcDateTime), name="listed")
    return listed.data(list(due.by_zone.items())).cte("zones")  # SQLite names columns only there


def add_shard(session: Session, *, campaign_run_id: str, number: int) -> None:
    """Move the people of one shard from the chosen into the run."""
    run = literal(campaign_run_id, Id)
    mine = _chosen.c.place.between(number * SHARD + 1, (number + 1) * SHARD)
    session.execute(
        insert(_p).from_select(
            ["campaign_run_id", "customer_id", "shard", "tries", "verdicts", "due_at"],
            select(
                run,
                _chosen.c.customer_id,
                literal(number, Integer),
                literal(0, Integer),
                literal([], Json),
                _chosen.c.due_at,
            ).where(mine),
            include_defaults=False,
        )
    )
    session.execute(
        insert(_s).from_select(
            ["campaign_run_id", "number", "due_at", "counts"],
            select(
                run, literal(number, Integer), func.min(_chosen.c.due_at), literal({}, Json)
            ).where(mine),
            include_defaults=False,
        )
    )


def forget(session: Session) -> None:
    """Drop the connection's own table."""
    session.execute(text("DROP TABLE IF EXISTS chosen_people"))


def undo_shard(session: Session, *, campaign_run_id: str) -> bool:
    """Take one shard of a freezing that did not end out of the run; false when there is none."""
    number = session.execute(
        select(func.max(_p.c.shard)).where(_p.c.campaign_run_id == campaign_run_id)
    ).scalar()
    if number is None:
        return False
    for table_ in (_p, _s):
        key = table_.c.shard if table_ is _p else table_.c.number
        session.execute(
            delete(table_).where(table_.c.campaign_run_id == campaign_run_id, key == number)
        )
    return True
