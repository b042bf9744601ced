"""Deleting what has been kept for long enough: in small steps, the oldest first, nothing that is in use.

Rows are walked in the order of their ids, which is the order of their making (UUIDv7), so no index is
needed for it. What is still in use is passed over, however old it is: a message that may yet be sent
or settled, an event that waits, everything of a journey or a campaign's run that goes on.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, delete, func, select, true
from sqlmodel import Session

from signalpost.domain.vocabulary import MessageStatus
from signalpost.record.base import table_of
from signalpost.record.campaigns import CampaignPerson, CampaignRun, CampaignShard
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import OPEN, Enrolment
from signalpost.record.events import Event
from signalpost.record.messages import Delivery, InAppItem, Message
from signalpost.record.receipts import ReceiptKey, ReceiptRow, Reply
from signalpost.record.reconciling import Lookup

_people, _runs, _shards = table_of(CampaignPerson), table_of(CampaignRun), table_of(CampaignShard)
_decisions, _enrolments = table_of(DecisionRow), table_of(Enrolment)
_events, _messages, _replies = table_of(Event), table_of(Message), table_of(Reply)
_receipts, _keys = table_of(ReceiptRow), table_of(ReceiptKey)

#: Nothing is to come of a message any more, whatever a late receipt may add.
_OVER = [
    MessageStatus.HANDED_OVER,
    MessageStatus.DEFERRED,  # whoever asked the provider to come again has long had it, or never will
    MessageStatus.DELIVERED,
    MessageStatus.BOUNCED,
    MessageStatus.REJECTED,
    MessageStatus.FAILED,
    MessageStatus.EXPIRED,
]


def _journey_is_over(enrolment_id: Any) -> ColumnElement[bool]:
    goes_on = select(_enrolments.c.id).where(
        _enrolments.c.id == enrolment_id, _enrolments.c.status.in_(OPEN)
    )
    return ~goes_on.exists()


def _run_is_over(campaign_run_id: Any) -> ColumnElement[bool]:
    goes_on = select(_runs.c.id).where(_runs.c.id == campaign_run_id, _runs.c.ended_at.is_(None))
    return ~goes_on.exists()


@dataclass(frozen=True)
class Kind:
    """Rows that are kept for the same time. ``of``: other tables' columns that refer to their id."""

    table: Table
    moment: ColumnElement[Any]
    unused: ColumnElement[bool]
    of: tuple[ColumnElement[Any], ...] = ()


MESSAGES = Kind(
    _messages,
    _messages.c.created_at,
    and_(
        _messages.c.status.in_(_OVER),
        _journey_is_over(_messages.c.enrolment_id),
        _run_is_over(_messages.c.campaign_run_id),
    ),
    of=(
        table_of(Delivery).c.message_id,
        table_of(InAppItem).c.message_id,
        table_of(Lookup).c.message_id,
    ),
)
RECEIPTS = Kind(
    _receipts,
    _receipts.c.received_at,
    ~select(_messages.c.id).where(_messages.c.id == _receipts.c.message_id).exists(),
    of=(_keys.c.receipt_id,),
)
DECISIONS = Kind(_decisions, _decisions.c.at, _journey_is_over(_decisions.c.enrolment_id))
REPLIES = Kind(_replies, _replies.c.received_at, true())
EVENTS = Kind(_events, _events.c.received_at, _events.c.status != "parked")


@dataclass(frozen=True)
class Step:
    """What one step did. ``last``: where the next one goes on; None: nothing older is left."""

    deleted: Counter[str]
    last: str | None


def step(session: Session, kind: Kind, *, after: str, before: datetime, limit: int) -> Step:
    """Delete what is older than ``before`` among the next ``limit`` rows; ``after``: "" at first."""
    key = kind.table.c.id
    walked = session.execute(
        select(key, kind.moment, kind.unused).where(key > after).order_by(key).limit(limit)
    ).all()
    ids = [row_id for row_id, moment, unused in walked if unused and moment < before]
    deleted: Counter[str] = Counter()
    for column in kind.of:
        deleted[column.table.name] += _delete(session, column, ids)
    deleted[kind.table.name] += _delete(session, key, ids)
    goes_on = len(walked) == limit and any(moment < before for _, moment, _ in walked)
    return Step(+deleted, walked[-1][0] if goes_on else None)


def _delete(session: Session, column: ColumnElement[Any], ids: Sequence[str]) -> int:
    if not ids:
        return 0
    return session.execute(delete(column.table).where(column.in_(ids))).rowcount  # type: ignore[attr-defined]


def runs_over(session: Session, *, before: datetime) -> list[tuple[str, int]]:
    """Give the shards of runs that ended before, as (run, number), where people are still kept."""
    query = (
        select(_shards.c.campaign_run_id, _shards.c.number)
        .join(_runs, _runs.c.id == _shards.c.campaign_run_id)
        .where(_runs.c.ended_at < before)
        .where(
            select(_people.c.shard)
            .where(_people.c.campaign_run_id == _shards.c.campaign_run_id)
            .exists()
        )
        .order_by(_shards.c.campaign_run_id, _shards.c.number)
    )
    return [(run, number) for run, number in session.execute(query)]


def forget_shard(session: Session, *, campaign_run_id: str, number: int) -> int:
    """Delete the people of a shard; its counts stay."""
    theirs = (_people.c.campaign_run_id == campaign_run_id) & (_people.c.shard == number)
    return session.execute(delete(_people).where(theirs)).rowcount  # type: ignore[attr-defined]


def counted(session: Session, kind: Kind, *, before: datetime) -> int:
    """Say how many rows a pruning would delete of a kind, without those that refer to them."""
    query = select(func.count()).select_from(kind.table)
    return session.execute(query.where(kind.moment < before, kind.unused)).scalar_one()
