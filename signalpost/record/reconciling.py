"""What reconciling finds and keeps: claims that are over, unknown deliveries, and when to ask whom."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, and_, bindparam, func, literal_column, or_, select, update
from sqlmodel import Field, Session

from signalpost.domain.vocabulary import DeliveryStatus, MessageStatus
from signalpost.record import in_flight
from signalpost.record.base import (
    Id,
    Table,
    insert_new,
    moment,
    partial_index,
    table_of,
)
from signalpost.record.bulk import among, given
from signalpost.record.campaigns import CampaignShard
from signalpost.record.cases import HookCall
from signalpost.record.customers import Customer
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Delivery, Message, MessageVariant
from signalpost.record.receipts import ReceiptRow


class Lookup(Table, table=True):
    """A delivery that its provider is asked about, and how far that has come."""

    __tablename__ = "lookups"
    __table_args__ = (partial_index("ix_lookups_due", "due_at", where="due_at IS NOT NULL"),)

    delivery_id: str = Field(primary_key=True, sa_type=Id)
    message_id: str = Field(sa_type=Id, index=True)
    provider: str
    why: str  #: unknown: nobody knows whether it was taken | silent: taken, and nothing came since
    began_at: datetime = moment()  #: when the attempt began
    asked: int = 0  #: times that an answer came
    due_at: datetime | None = moment(default=None)  #: None: not asked any more
    outcome: str | None = None  #: found | not_found | not_asked | resolved_not_sent | abandoned
    ended_at: datetime | None = moment(default=None)


_l = table_of(Lookup)
_m = table_of(Message)
_d = table_of(Delivery)
_v = table_of(MessageVariant)
_e = table_of(Enrolment)
_c = table_of(Customer)
_s = table_of(CampaignShard)
_r = table_of(ReceiptRow)
_h = table_of(HookCall)

_STEP = func.coalesce(_e.c.step, "")


def _held(table: Any) -> Any:
    """Say that somebody has a claim, in words for which SQLite uses the index of claims."""
    return table.c.claim_id > ""


# -- claims that are over ------------------------------------------------------------------------


def _is_over(table: Any, *, now: datetime, latest: datetime) -> Any:
    """Say that a lease has ended, or ends so late that the clock was ahead when it was given."""
    return or_(table.c.lease_until <= now, table.c.lease_until > latest)


def free_enrolments(session: Session, *, now: datetime, latest: datetime, limit: int) -> list[str]:
    """Take the claim away from enrolments whose lease is over; gives their ids.

    ``latest``: no lease that is given now can end later. Without the claim whoever had it can write
    nothing more, and their fence does not let them send.
    """
    ids = list(
        session.execute(
            select(_e.c.id)
            .where(_held(_e), _is_over(_e, now=now, latest=latest))
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).scalars()
    )
    if ids:
        session.execute(
            update(_e).where(among(_e.c.id)).values(claim_id=None, lease_until=None), given(ids)
        )
    return ids


def free_shards(
    session: Session, *, now: datetime, latest: datetime, limit: int
) -> list[tuple[str, int]]:
    """Take the claim away from shards whose lease is over; gives run and number of each."""
    rows = session.execute(
        select(_s.c.campaign_run_id, _s.c.number)
        .where(_s.c.claim_id.is_not(None), _is_over(_s, now=now, latest=latest))
        .order_by(_s.c.campaign_run_id, _s.c.number)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for run, number in rows:
        session.execute(
            update(_s)
            .where(_s.c.campaign_run_id == run, _s.c.number == number)
            .values(claim_id=None, lease_until=None)
        )
    return [(run, number) for run, number in rows]


def sending_of(session: Session, *, enrolment_ids: Collection[str]) -> list[str]:
    """Give the messages of these enrolments that are on their way."""
    query = select(_m.c.id).where(
        among(_m.c.enrolment_id), _m.c.enrolment_id.is_not(None), _m.c.status == "sending"
    )
    return list(session.execute(query, given(enrolment_ids)).scalars())


def strays(session: Session, *, before: datetime, limit: int) -> list[str]:
    """Give a journey's messages on their way since before then whose person nobody holds any more.

    The journey was left while they were being sent.
    """
    held = select(_e.c.id).where(_e.c.id == _m.c.enrolment_id, _e.c.claim_id.is_not(None))
    query = (
        select(_m.c.id)
        .where(_m.c.pending == "sending", _m.c.updated_at < before, ~held.exists())
        .order_by(_m.c.id)
        .limit(limit)
    )
    return list(session.execute(query).scalars())


def left_behind(
    session: Session, *, before: datetime, limit: int, lock: bool = True
) -> list[RowMapping]:
    """Give queued messages of steps that their person, whom nobody holds, has left; locks those."""
    query = (
        select(
            _m.c.id, _m.c.idempotency_key, _m.c.expires_at, _e.c.id.label("enrolment_id"),
            _e.c.version, _e.c.step, _e.c.status, _e.c.wait_for,
        )
        .join(_e, _e.c.id == _m.c.enrolment_id)
        .where(
            _m.c.pending == "queued",
            _m.c.updated_at < before,
            _e.c.claim_id.is_(None),
            # A key is enrolment:step:chain:channel, and an id has 36 letters.
            or_(
                func.substr(_m.c.idempotency_key, 38, func.length(_STEP) + 1) != _STEP + ":",
                _e.c.status == "exited",
            ),
        )
        .order_by(_e.c.id, _m.c.id)
        .limit(limit)
    )  # fmt: skip
    if lock:
        query = query.with_for_update(of=_e, skip_locked=True)
    return list(session.execute(query).mappings())


def step_back(session: Session, *, enrolment_id: str, step: str, now: datetime) -> None:
    """Have somebody who rests stand at an earlier step again, due now; the caller has them locked."""
    session.execute(
        update(_e)
        .where(_e.c.id == enrolment_id)
        .values(step=step, status="active", wait_for=None, due_at=now, moved_at=now, ended_at=None)
    )


def anything(
    session: Session,
    *,
    now: datetime,
    overdue: datetime,
    latest: datetime,
    stray: datetime,
    left: datetime,
) -> bool:
    """Say whether there is anything to reconcile; quick when there is not."""
    looks = (
        select(_e.c.id).where(_held(_e), _is_over(_e, now=overdue, latest=latest)),
        select(_s.c.number).where(
            _s.c.claim_id.is_not(None), _is_over(_s, now=overdue, latest=latest)
        ),
        select(_l.c.delivery_id).where(_l.c.due_at <= now),
    )
    return (
        any(session.execute(look.limit(1)).first() is not None for look in looks)
        or bool(strays(session, before=stray, limit=1))
        or bool(in_flight.abandoned(session, before=stray, limit=1))
        or bool(left_behind(session, before=left, limit=1, lock=False))
        or bool(open_unknown(session, limit=1))
    )


# -- what to ask about ---------------------------------------------------------------------------


def open_unknown(session: Session, *, limit: int) -> list[RowMapping]:
    """Give unknown deliveries that nobody looks into yet."""
    query = (
        select(
            _d.c.id, _d.c.message_id, _d.c.provider, _d.c.started_at,
            _m.c.channel, _m.c.purpose, _c.c.root_id,
        )
        .join(_m, _m.c.id == _d.c.message_id)
        .join(_c, _c.c.id == _m.c.customer_id)
        .outerjoin(_l, _l.c.delivery_id == _d.c.id)
        .where(
            _m.c.pending == MessageStatus.UNKNOWN,
            _d.c.status == DeliveryStatus.UNKNOWN,
            _l.c.delivery_id.is_(None),
        )
        .limit(limit)
    )  # fmt: skip
    return list(session.execute(query).mappings())


def attempts_after(
    session: Session, *, after: str, before: datetime, limit: int
) -> list[RowMapping]:
    """Give attempts by their ids from ``after`` on, begun before then, in the order they were made.

    Ids sort by the time they were made, so going on from the last one needs no index of its own.
    """
    query = (
        select(_d.c.id, _d.c.message_id, _d.c.provider, _d.c.status, _d.c.started_at)
        .where(_d.c.id > after, _d.c.started_at <= before)
        .order_by(_d.c.id)
        .limit(limit)
    )
    return list(session.execute(query).mappings())


def still_handed_over(session: Session, *, message_ids: Collection[str]) -> set[str]:
    """Give those of the messages that a provider took and of which nothing was heard since."""
    query = select(_m.c.id).where(among(_m.c.id), _m.c.status == MessageStatus.HANDED_OVER)
    return set(session.execute(query, given(message_ids)).scalars())


def ask(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Note deliveries to be asked about; those noted already stay as they are."""
    insert_new(session, _l, rows, conflict=("delivery_id",))


def due(session: Session, *, now: datetime, limit: int) -> list[RowMapping]:
    """Give what is to be asked about now, with what it can be told by."""
    query = (
        select(
            _l.c.delivery_id, _l.c.message_id, _l.c.provider, _l.c.why, _l.c.began_at, _l.c.asked,
            _m.c.status, _m.c.channel, _m.c.address, _m.c.slots, _v.c.parts, _d.c.provider_id,
            _d.c.code,
        )
        .join(_m, _m.c.id == _l.c.message_id)
        .join(_d, _d.c.id == _l.c.delivery_id)
        .join(_v, _v.c.id == _m.c.variant_id)
        .where(_l.c.due_at <= now)
        .order_by(_l.c.due_at)
        .limit(limit)
    )  # fmt: skip
    return list(session.execute(query).mappings())


def kept_receipts(session: Session, *, message_ids: Collection[str]) -> list[RowMapping]:
    """Give the receipts on the record about these messages."""
    query = select(_r.c.message_id, _r.c.provider, _r.c.kind, _r.c.provider_id).where(
        among(_r.c.message_id), _r.c.message_id.is_not(None)
    )
    return list(session.execute(query, given(message_ids)).mappings())


def owners(session: Session, *, provider_ids: Collection[str], address: str) -> dict[str, str]:
    """Give which delivery to this address each of a provider's ids belongs to, as far as we know.

    SendGrid gives one id to everybody in a request.
    """
    rows = session.execute(
        select(_d.c.provider_id, _d.c.id)
        .join(_m, _m.c.id == _d.c.message_id)
        .where(
            among(_d.c.provider_id),
            _d.c.provider_id.is_not(None),
            _m.c.address == bindparam("address"),
        ),
        given(provider_ids, address=address),
    )
    return {provider_id: delivery for provider_id, delivery in rows}  # noqa: C416 - Row is no pair


def ask_again(session: Session, *, delivery_id: str, asked: int, due_at: datetime) -> None:
    """Note that a provider was asked without a result, and when it is asked next."""
    session.execute(
        update(_l).where(_l.c.delivery_id == delivery_id).values(asked=asked, due_at=due_at)
    )


def end(session: Session, *, delivery_ids: Collection[str], outcome: str, now: datetime) -> None:
    """Note how the looking into deliveries ended."""
    session.execute(
        update(_l)
        .where(among(_l.c.delivery_id))
        .values(due_at=None, outcome=bindparam("new_outcome"), ended_at=now),
        given(delivery_ids, new_outcome=outcome),
    )


def give_reason(session: Session, *, message_id: str, reason: str, now: datetime) -> None:
    """Say on an unknown message how its looking into ended."""
    session.execute(
        update(_m)
        .where(_m.c.id == message_id, _m.c.status == MessageStatus.UNKNOWN)
        .values(reason=reason, updated_at=now)
    )


def lock_unknown(session: Session, *, message_ids: Collection[str]) -> list[RowMapping]:
    """Lock those of the messages that are unknown, and give them."""
    query = (
        select(_m.c.id, _m.c.customer_id, _m.c.message, _m.c.channel)
        .where(among(_m.c.id), _m.c.status == MessageStatus.UNKNOWN)
        .order_by(_m.c.id)
        .with_for_update()
    )
    return list(session.execute(query, given(message_ids)).mappings())


def give_up(session: Session, *, message_ids: Collection[str], reason: str, now: datetime) -> None:
    """Close unknown messages on an operator's word; a receipt that comes after all still counts."""
    values = {"status": MessageStatus.EXPIRED.value, "reason": bindparam("new_reason")}
    session.execute(
        update(_m).where(among(_m.c.id)).values(**values, updated_at=now),
        given(message_ids, new_reason=reason),
    )
    session.execute(
        update(_l)
        .where(among(_l.c.message_id))
        .values(due_at=None, outcome=bindparam("new_reason"), ended_at=now),
        given(message_ids, new_reason=reason),
    )


def unknown(session: Session, *, limit: int) -> list[RowMapping]:
    """Give the messages of which nobody knows whether they went, the oldest first."""
    query = (
        select(
            _m.c.id, _m.c.customer_id, _m.c.message, _m.c.channel, _m.c.purpose, _m.c.created_at,
            _m.c.reason, _l.c.outcome, _l.c.due_at, _l.c.asked,
        )
        .join(_d, and_(_d.c.message_id == _m.c.id, _d.c.status == DeliveryStatus.UNKNOWN))
        .outerjoin(_l, _l.c.delivery_id == _d.c.id)
        .where(_m.c.pending == MessageStatus.UNKNOWN)
        .order_by(_m.c.id)
        .limit(limit)
    )  # fmt: skip
    return list(session.execute(query).mappings())


# -- what is stuck -------------------------------------------------------------------------------


def expired_claims(session: Session, *, now: datetime) -> tuple[int, datetime | None]:
    """Count claims that are over, and give since when the oldest is."""
    looks = (
        select(func.count(), func.min(table.c.lease_until)).where(
            _held(table), table.c.lease_until <= now
        )
        for table in (_e, _s)
    )
    found = [session.execute(look).one() for look in looks]
    since = [one[1] for one in found if one[1] is not None]
    return sum(one[0] for one in found), min(since, default=None)


def set_aside_counts(session: Session, *, limit: int) -> list[RowMapping]:
    """Count who is set aside by journey and reason, the longest first."""
    since = func.min(_e.c.moved_at)
    query = (
        select(_e.c.journey, _e.c.reason, func.count().label("people"), since.label("since"))
        .where(_e.c.status == "set_aside")
        .group_by(_e.c.journey, _e.c.reason)
        .order_by(since)
        .limit(limit)
    )
    return list(session.execute(query).mappings())


def failed_calls(session: Session) -> tuple[int, datetime | None]:
    """Count the webhooks out that failed for good, and give since when the oldest did."""
    query = select(func.count(), func.min(_h.c.started_at)).where(
        literal_column("hook_calls.status IN ('failed', 'retry', 'unknown')"),  # the index's words
        _h.c.status == "failed",
    )
    number, since = session.execute(query).one()
    return number, since
