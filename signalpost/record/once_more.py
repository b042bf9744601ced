"""Messages that a provider took and could not deliver this time: who may get one more attempt."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import RowMapping, func, select, update
from sqlmodel import Session

from signalpost.domain.vocabulary import DeliveryStatus, MessageStatus, Purpose
from signalpost.record.base import first_id_of, table_of
from signalpost.record.customers import Customer
from signalpost.record.messages import Delivery, Message
from signalpost.record.receipts import ReceiptRow

_m = table_of(Message)
_d = table_of(Delivery)
_r = table_of(ReceiptRow)
_c = table_of(Customer)

_UNDELIVERED = (MessageStatus.FAILED, MessageStatus.BOUNCED)
_MOST = 20_000  #: receipts that one look goes through


def undelivered(
    session: Session,
    *,
    codes: Collection[str],
    purposes: Collection[Purpose],
    since: datetime,
    until: datetime,
    limit: int,
) -> list[RowMapping]:
    """Find messages of which a receipt between the moments says that they may be tried once more.

    Only those with a single attempt behind them. Receipts are found by their ids, which are sorted by
    the time of making.
    """
    newest = (
        select(_r.c.message_id, _r.c.code)
        .where(_r.c.id >= first_id_of(since), _r.c.id < first_id_of(until))
        .order_by(_r.c.id)
        .limit(_MOST)
        .subquery()
    )
    attempts = (
        select(func.count()).where(_d.c.message_id == _m.c.id).scalar_subquery().correlate(_m)
    )
    query = (
        select(
            _m.c.id, _m.c.customer_id, _c.c.root_id, _c.c.zone, _m.c.message, _m.c.channel,
            _m.c.address, _m.c.purpose, _m.c.topic, _m.c.locale, _m.c.variant_id, _m.c.slots,
            _m.c.facts, _m.c.enrolment_id, _m.c.created_at, _m.c.expires_at, _m.c.run_id,
        )
        .join(newest, newest.c.message_id == _m.c.id)
        .join(_c, _c.c.id == _m.c.customer_id)
        .where(
            newest.c.code.in_(codes),
            _m.c.status.in_(_UNDELIVERED),
            _m.c.purpose.in_([one.value for one in purposes]),
            attempts == 1,
        )
        .order_by(_m.c.id)
        .limit(limit)
    )  # fmt: skip
    return list({row["id"]: row for row in session.execute(query).mappings()}.values())


def take_up(session: Session, *, message_ids: Sequence[str], now: datetime) -> set[str]:
    """Queue those of the messages that are still undelivered; gives which those were.

    A provider has had each of them, and said that it did not arrive.
    """
    taken = select(_d.c.message_id).where(
        _d.c.message_id.in_(message_ids), _d.c.status == DeliveryStatus.ACCEPTED
    )
    ids = session.execute(
        select(_m.c.id)
        .where(_m.c.id.in_(taken), _m.c.status.in_(_UNDELIVERED))
        .order_by(_m.c.id)
        .with_for_update()
    ).scalars()
    found = set(ids)
    session.execute(
        update(_m)
        .where(_m.c.id.in_(found))
        .values(status=MessageStatus.QUEUED.value, reason="once_more", updated_at=now)
    )
    return found
