"""What an operator's instruments ask of the record, each in one query that stays cheap on a big one.

"Lately" means: among the newest rows by id (ids are sorted by the time of making), no older than a
window. So no instrument ever scans a table, and what it says is as true after a crash as before.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, and_, exists, func, or_, select
from sqlalchemy import Table as SqlTable
from sqlmodel import Session

from signalpost.domain.vocabulary import DeliveryStatus, Lane, MessageStatus
from signalpost.record.base import table_of
from signalpost.record.campaigns import CampaignAct, CampaignRun, CampaignShard
from signalpost.record.cases import Case
from signalpost.record.customers import Customer
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment
from signalpost.record.events import Event
from signalpost.record.messages import Delivery, Message
from signalpost.record.receipts import BY_US, ReceiptRow

#: Rows that one question looks at, at most. What is counted says "so many, or more".
MOST = 10_000
#: Rows that "lately" looks at.
NEWEST = 5_000

_e, _m, _d = table_of(Enrolment), table_of(Message), table_of(DecisionRow)
_r, _s, _a = table_of(CampaignRun), table_of(CampaignShard), table_of(CampaignAct)
_v, _t, _k = table_of(Event), table_of(ReceiptRow), table_of(Case)
_c, _y = table_of(Customer), table_of(Delivery)

#: Runs that an operator has an eye on.
_OPEN_RUNS = ("awaiting_approval", "approved", "running", "paused")


def oldest_due(
    session: Session, *, now: datetime, except_journeys: Collection[str] = ()
) -> dict[str, datetime]:
    """Give, for each lane that is late, since when its longest waiting person is due and unclaimed."""
    found: dict[str, datetime] = {}
    for lane in Lane:
        query = select(_e.c.due_at).where(_unclaimed(lane, now)).order_by(_e.c.due_at).limit(1)
        if except_journeys:
            query = query.where(_e.c.journey.not_in(except_journeys))
        since = session.execute(query).scalar()
        if since is not None:
            found[lane.value] = since
    return found


def _unclaimed(lane: str, now: datetime) -> Any:
    free = or_(_e.c.lease_until.is_(None), _e.c.lease_until <= now)
    return and_(_e.c.lane == lane, _e.c.due_at <= now, free)


def due(session: Session, *, now: datetime) -> dict[str, int]:
    """Count who is due and unclaimed in each lane, up to ``MOST``."""
    found = {}
    for lane in Lane:
        some = select(_e.c.id).where(_unclaimed(lane, now)).limit(MOST).subquery()
        found[lane.value] = session.execute(select(func.count()).select_from(some)).scalar_one()
    return found


def idle_campaigns(
    session: Session, *, now: datetime, except_campaigns: Collection[str] = ()
) -> list[RowMapping]:
    """Give the running runs in which somebody is due and on which nobody works, and since when."""
    other = _s.alias("other")
    worked_on = exists().where(other.c.campaign_run_id == _r.c.id, other.c.lease_until > now)
    query = (
        select(_r.c.id, _r.c.campaign, _r.c.reason, func.min(_s.c.due_at).label("since"))
        .join(_s, _s.c.campaign_run_id == _r.c.id)
        .where(_r.c.status == "running", _s.c.due_at <= now, ~worked_on)
        .group_by(_r.c.id, _r.c.campaign, _r.c.reason)
    )
    if except_campaigns:
        query = query.where(_r.c.campaign.not_in(except_campaigns))
    return list(session.execute(query).mappings())


def lately(
    session: Session, what: str, *, now: datetime, window: timedelta
) -> tuple[Counter[tuple[str, ...]], timedelta]:
    """Count what was made lately, ``messages``, ``decisions`` or ``signals``, by its labels.

    Also gives how long "lately" was: the window, or less when ``NEWEST`` rows fill less of it.
    """
    table, at, labels = _LATELY[what]
    columns = [func.coalesce(table.c[name], "").label(name) for name in labels]
    newest = (
        select((table.c[at] > now - window).label("recent"), table.c[at].label("at"), *columns)
        .order_by(table.c.id.desc())
        .limit(NEWEST)
        .subquery()
    )
    by = [newest.c.recent, *(newest.c[name] for name in labels)]
    query = select(func.count(), func.min(newest.c.at), *by).group_by(*by)
    found: Counter[tuple[str, ...]] = Counter()
    total, first = 0, now
    for number, since, recent, *values in session.execute(query):
        total, first = total + number, min(first, since)
        if recent:
            found[tuple(values)] += number
    length = window if total < NEWEST else min(window, now - first)
    return found, max(length, timedelta(seconds=1))


_LATELY: Mapping[str, tuple[SqlTable, str, tuple[str, ...]]] = {
    "messages": (_m, "created_at", ("channel", "purpose", "status", "reason")),
    "decisions": (_d, "at", ("kind", "channel", "outcome", "reason")),
    "signals": (_v, "received_at", ("status",)),
}


def unknown(session: Session) -> list[RowMapping]:
    """Count messages of which nobody knows whether they left, by channel, and since when."""
    some = (
        select(_m.c.channel, _m.c.updated_at)
        .where(_m.c.pending == MessageStatus.UNKNOWN.value)
        .limit(MOST)
        .subquery()
    )
    query = select(
        some.c.channel, func.count().label("number"), func.min(some.c.updated_at).label("since")
    )
    return list(session.execute(query.group_by(some.c.channel)).mappings())


def last_receipts(session: Session) -> dict[str, datetime]:
    """Give when each provider's webhook last came, of those among the newest receipts."""
    newest = select(_t.c.provider, _t.c.received_at).order_by(_t.c.id.desc()).limit(MOST).subquery()
    theirs = newest.c.provider != BY_US  # who clicks, or does not, tells of no provider
    query = select(newest.c.provider, func.max(newest.c.received_at)).where(theirs)
    query = query.group_by(newest.c.provider)
    return {provider: at for provider, at in session.execute(query)}  # noqa: C416 - rows


def last_accepted(session: Session) -> dict[str, datetime]:
    """Give when each provider last took a message, of those among the newest hand-overs."""
    newest = (
        select(_y.c.provider, _y.c.settled_at)
        .where(_y.c.status == DeliveryStatus.ACCEPTED)
        .order_by(_y.c.id.desc())
        .limit(MOST)
        .subquery()
    )
    query = select(newest.c.provider, func.max(newest.c.settled_at)).group_by(newest.c.provider)
    return {provider: at for provider, at in session.execute(query)}  # noqa: C416 - rows


def open_runs(session: Session) -> list[RowMapping]:
    """Give the campaign runs that are not over, each with the counts of its shards."""
    query = (
        select(_r.c.id, _r.c.campaign, _r.c.status, _r.c.people, _s.c.counts)
        .outerjoin(_s, _s.c.campaign_run_id == _r.c.id)
        .where(_r.c.status.in_(_OPEN_RUNS))
        .limit(MOST)
    )
    return list(session.execute(query).mappings())


def paused_runs(session: Session) -> list[RowMapping]:
    """Give the runs that are paused: since when, by whom, and why."""
    last = (
        select(_a.c.campaign_run_id, func.max(_a.c.at).label("since"))
        .where(_a.c.act == "paused")
        .group_by(_a.c.campaign_run_id)
        .subquery()
    )
    query = (
        select(_r.c.id, _r.c.campaign, _a.c.who, last.c.since)
        .join(last, last.c.campaign_run_id == _r.c.id)
        .join(_a, and_(_a.c.campaign_run_id == _r.c.id, _a.c.at == last.c.since))
        .where(_r.c.status == "paused", _a.c.act == "paused")
        .limit(MOST)
    )
    return list(session.execute(query).mappings())


def parked(session: Session) -> int:
    """Count the events that wait for an order, a time or a repair, up to ``MOST``."""
    some = select(_v.c.id).where(_v.c.parked_key.is_not(None)).limit(MOST).subquery()
    return session.execute(select(func.count()).select_from(some)).scalar_one()


def open_cases(session: Session) -> list[RowMapping]:
    """Count the cases that are not closed, by kind, status and priority."""
    some = (
        select(_k.c.kind, _k.c.status, _k.c.priority)
        .where(_k.c.status.in_(("open", "awaiting_customer")))
        .limit(MOST)
        .subquery()
    )
    query = select(*some.c, func.count().label("number")).group_by(*some.c)
    return list(session.execute(query).mappings())


def unanswered_alerts(session: Session, *, before: datetime, limit: int = 100) -> list[RowMapping]:
    """Give the open cases of lane risk in which the customer has said nothing since ``before``."""
    query = (
        select(_k.c.id, _k.c.kind, _k.c.opened_at, _c.c.root_id)
        .join(_e, _e.c.id == _k.c.enrolment_id)
        .join(_c, _c.c.id == _k.c.customer_id)
        .where(
            _k.c.status.in_(("open", "awaiting_customer")),
            _k.c.outcome.is_(None),
            _k.c.opened_at <= before,
            _e.c.lane == Lane.RISK,
        )
        .order_by(_k.c.opened_at.desc())
        .limit(limit)
    )
    return list(session.execute(query).mappings())


def causes(session: Session, *, message_ids: Collection[str]) -> dict[str, str]:
    """Give what led to each message: the event's id, or the campaign run's."""
    cause = func.coalesce(_m.c.campaign_run_id, _m.c.cause_id)
    query = select(_m.c.id, cause).where(_m.c.id.in_(message_ids), cause.is_not(None))
    return {message_id: found for message_id, found in session.execute(query)}  # noqa: C416 - rows
