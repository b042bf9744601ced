"""Times of which the record knows nothing, because it was restored from a backup."""

from datetime import datetime

from sqlalchemy import select
from sqlmodel import Field, Session

from signalpost.domain.restoring import LostWindow
from signalpost.record.base import Table, insert_rows, moment, new_id, pk, table_of


class LostWindowRow(Table, table=True):
    """One restore: what was sent from ``since`` (the backup) to ``until`` is not on the record."""

    __tablename__ = "lost_windows"

    id: str = pk()
    since: datetime = moment()
    until: datetime = moment()
    who: str = Field()


_w = table_of(LostWindowRow)


def add(session: Session, *, since: datetime, until: datetime, who: str) -> None:
    """Note that the record was restored."""
    insert_rows(session, _w, [{"id": new_id(), "since": since, "until": until, "who": who}])


def latest(session: Session) -> LostWindow | None:
    """Give the last window; None: the record was never restored."""
    row = session.execute(select(_w.c.since, _w.c.until).order_by(_w.c.until.desc())).first()
    return LostWindow(row.since, row.until) if row is not None else None
