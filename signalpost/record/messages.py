"""Messages, the attempts to hand them over, their wording, and the in-app inbox."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Computed,
    Index,
    RowMapping,
    String,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlmodel import Field, Session

from signalpost.domain.vocabulary import DeliveryStatus, MessageStatus, Purpose
from signalpost.record.base import (
    Id,
    Table,
    UtcDateTime,
    document,
    insert_new,
    moment,
    partial_index,
    pk,
    table_of,
)
from signalpost.record.bulk import among, given


class MessageVariant(Table, table=True):
    """The static wording of one message on one channel in one locale, kept as long as it was sent.

    Text as sent = these parts filled with a message's slots.
    """

    __tablename__ = "message_variants"

    id: str = Field(primary_key=True)  #: hash of the parts
    message: str
    channel: str
    locale: str
    parts: dict = document()
    first_used_at: datetime = moment()


#: Of a message that somebody has yet to see to. A campaign's are not among them while they are being
#: sent: their shard names them (``record.in_flight``), and an index of each would cost twice a message.
_PENDING = (
    "CASE WHEN status IN ('queued', 'unknown') OR status = 'sending' AND campaign_run_id IS NULL "
    "THEN status END"
)


class Message(Table, table=True):
    """One template for one customer on one channel for one cause.

    On PostgreSQL half of each page stays free: an update that changes no index and finds room beside
    the old row is made there and then, at a quarter of the cost ("heap-only tuples"). Each message is
    updated twice at least. So no index may say anything of ``status`` itself.
    """

    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_customer_at", "customer_id", "created_at"),
        partial_index("ix_messages_pending", "pending", where="pending IS NOT NULL"),
        partial_index("ix_messages_enrolment", "enrolment_id", where="enrolment_id IS NOT NULL"),
        partial_index(
            "ix_messages_campaign_run", "campaign_run_id", where="campaign_run_id IS NOT NULL"
        ),
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: str = pk()
    idempotency_key: str = Field(unique=True)
    customer_id: str = Field(sa_type=Id, foreign_key="customers.id")
    enrolment_id: str | None = Field(default=None, sa_type=Id)  #: the journey it belongs to, or
    campaign_run_id: str | None = Field(default=None, sa_type=Id)  #: the campaign's run
    cause_id: str | None = Field(default=None, sa_type=Id)  #: the event it is about
    message: str  #: the folder's name
    version: str  #: the folder's version
    channel: str
    address: str
    purpose: str
    topic: str
    locale: str
    status: str
    reason: str | None = None
    facts: dict = document()
    variant_id: str | None = None
    slots: dict = document()
    run_id: str | None = None  #: the Prefect flow run that sent it
    created_at: datetime = moment()
    updated_at: datetime = moment()
    expires_at: datetime | None = moment(default=None)
    pending: str | None = Field(
        default=None, sa_column=Column("pending", String, Computed(_PENDING, persisted=True))
    )


class Delivery(Table, table=True):
    """One attempt to hand a message to a provider, written before the provider is called."""

    __tablename__ = "deliveries"
    __table_args__ = (
        partial_index("ix_deliveries_provider_id", "provider_id", where="provider_id IS NOT NULL"),
    )

    id: str = pk()
    message_id: str = Field(index=True, sa_type=Id, foreign_key="messages.id")
    attempt: int
    provider: str
    account: str | None = None  #: which of the provider's, when there is a second one
    status: str
    provider_id: str | None = None
    fault: str | None = None
    code: str | None = None
    detail: str | None = None
    started_at: datetime = moment()
    settled_at: datetime | None = moment(default=None)


class InAppItem(Table, table=True):
    """Where an in-app message stands in the customer's inbox."""

    __tablename__ = "in_app_items"
    __table_args__ = (Index("ix_in_app_items_customer_at", "customer_id", "created_at"),)

    message_id: str = Field(primary_key=True, sa_type=Id, foreign_key="messages.id")
    customer_id: str = Field(sa_type=Id)
    created_at: datetime = moment()
    seen_at: datetime | None = moment(default=None)
    read_at: datetime | None = moment(default=None)
    archived_at: datetime | None = moment(default=None)
    withdrawn_at: datetime | None = moment(default=None)  #: redeemed or ended: no longer shown


_m = table_of(Message)
_d = table_of(Delivery)
_i = table_of(InAppItem)

#: Messages that nobody got, or will get: they count toward no cap and repeat nothing.
NOT_SENT = (MessageStatus.REJECTED, MessageStatus.FAILED, MessageStatus.EXPIRED)


def of_enrolments(session: Session, *, enrolment_ids: Collection[str]) -> list[RowMapping]:
    """Give id, key, channel, status and purpose of the messages of these enrolments."""
    return list(
        session.execute(
            select(
                _m.c.id, _m.c.idempotency_key, _m.c.enrolment_id, _m.c.channel, _m.c.address,
                _m.c.status, _m.c.purpose, _m.c.expires_at,
            ).where(_m.c.enrolment_id.in_(enrolment_ids))
        ).mappings()
    )  # fmt: skip


_RECENT = select(_m.c.customer_id, _m.c.id, _m.c.channel, _m.c.created_at).where(
    among(_m.c.customer_id),
    _m.c.created_at > bindparam("since", type_=UtcDateTime),
    _m.c.purpose == Purpose.MARKETING,
    _m.c.status.not_in(NOT_SENT),
)
_CAUSE = func.coalesce(_m.c.enrolment_id, _m.c.campaign_run_id)
_LAST = (
    select(_m.c.customer_id, _CAUSE.label("cause"), func.max(_m.c.created_at).label("at"))
    .where(
        among(_m.c.customer_id),
        _m.c.message == bindparam("name"),
        _m.c.created_at > bindparam("since", type_=UtcDateTime),
        _m.c.status.not_in(NOT_SENT),
    )
    .group_by(_m.c.customer_id, _CAUSE)
)


def recent_marketing(
    session: Session, *, customers: Collection[str], since: datetime
) -> list[RowMapping]:
    """Give the marketing messages to these customers since then, for the frequency caps."""
    rows = session.execute(_RECENT, given(customers, since=since))
    return list(rows.mappings())


def last_sent(
    session: Session, *, customers: Collection[str], message: str, since: datetime
) -> list[RowMapping]:
    """Give when each of these customers was last sent this message, after ``since``, by its cause."""
    rows = session.execute(_LAST, given(customers, since=since, name=message))
    return list(rows.mappings())


def plan(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Write messages that were decided on; gives the ids of those that were new."""
    return insert_new(session, _m, rows, conflict=("idempotency_key",), returning="id")


def keep_variants(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep the wording of variants that are not kept yet."""
    insert_new(session, table_of(MessageVariant), rows, conflict=("id",))


def lock_queued(session: Session, *, message_ids: Sequence[str]) -> dict[str, int]:
    """Lock those of the messages that are queued; gives how many attempts each has behind it."""
    queued = session.execute(
        select(_m.c.id)
        .where(among(_m.c.id), _m.c.status == MessageStatus.QUEUED)
        .order_by(_m.c.id)
        .with_for_update(),
        given(message_ids),
    ).scalars()
    made = dict.fromkeys(queued, 0)
    rows = session.execute(
        select(_d.c.message_id, func.count())
        .where(among(_d.c.message_id))
        .group_by(_d.c.message_id),
        given([*made]),
    )
    return made | {message: count for message, count in rows}  # noqa: C416 - Row is no tuple pair


def mark_sending(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what locked messages are about to be sent as; their attempts are the caller's to write."""
    if rows:
        session.connection().execute(
            update(_m)
            .where(_m.c.id == bindparam("row_id"))
            .values(
                status=MessageStatus.SENDING.value,
                version=bindparam("new_version"),
                address=bindparam("new_address"),
                variant_id=bindparam("new_variant"),
                locale=bindparam("new_locale"),
                slots=bindparam("new_slots"),
                facts=bindparam("new_facts"),
                run_id=bindparam("new_run"),
                updated_at=bindparam("new_at"),
            ),
            list(rows),
        )


class Ending(NamedTuple):
    """How a hand-over ended: what its delivery and its message become."""

    status: str
    provider_id: str | None
    fault: str | None
    code: str | None
    detail: str | None
    account: str | None
    message_status: str
    reason: str | None


# From unknown too: a sender that comes back late knows what the one after it could not.
_DELIVERY_OPEN = or_(_d.c.settled_at.is_(None), _d.c.status == DeliveryStatus.UNKNOWN)
_MESSAGE_OPEN = or_(_m.c.status == MessageStatus.SENDING, _m.c.status == MessageStatus.UNKNOWN)
_DELIVERY_ENDS = {
    "status": bindparam("new_status"),
    "provider_id": bindparam("new_provider_id"),
    "fault": bindparam("new_fault"),
    "code": bindparam("new_code"),
    "detail": bindparam("new_detail"),
    "account": bindparam("new_account"),
    "settled_at": bindparam("new_at"),
}
_MESSAGE_ENDS = {
    "status": bindparam("new_message_status"),
    "reason": bindparam("new_reason"),
    "updated_at": bindparam("new_at"),
}
#: (of many that ended alike, of one)
_SETTLE_DELIVERIES = (
    update(_d).where(among(_d.c.id), _DELIVERY_OPEN).values(_DELIVERY_ENDS),
    update(_d).where(_d.c.id == bindparam("row_id"), _DELIVERY_OPEN).values(_DELIVERY_ENDS),
)
_SETTLE_MESSAGES = (
    update(_m).where(among(_m.c.id), _MESSAGE_OPEN).values(_MESSAGE_ENDS),
    update(_m).where(_m.c.id == bindparam("row_id"), _MESSAGE_OPEN).values(_MESSAGE_ENDS),
)


def settle(
    session: Session, *, endings: Mapping[Ending, Sequence[tuple[str, str]]], now: datetime
) -> None:
    """Write how hand-overs ended: ending → (delivery, message). What a receipt settled stays.

    Those that ended alike go in one statement; those that did not, such as texts of which each has an
    id of its own, in another. Deliveries before messages, as receipts lock them.
    """
    for which, (of_many, of_one) in enumerate((_SETTLE_DELIVERIES, _SETTLE_MESSAGES)):
        names = Ending._fields[:6] if which == 0 else Ending._fields[6:]
        alone = []
        for ending, pairs in endings.items():
            values = {f"new_{name}": getattr(ending, name) for name in names} | {"new_at": now}
            if len(pairs) > 1:
                session.execute(of_many, given([pair[which] for pair in pairs], **values))
            else:
                alone.append({"row_id": pairs[0][which], **values})
        if alone:
            alone.sort(key=itemgetter("row_id"))
            session.connection().execute(of_one, alone)


def give_up_lost(session: Session, *, message_ids: Sequence[str], now: datetime) -> int:
    """Mark messages whose sender died between intent and settling: nobody knows what became of them.

    Gives how many that were: of those that have been heard of since, it is known.
    """
    if not message_ids:
        return 0
    session.execute(
        update(_d)
        .where(among(_d.c.message_id), _d.c.settled_at.is_(None))
        .values(
            status="unknown", detail="the sender stopped before it could settle", settled_at=now
        ),
        given(message_ids),
    )
    lost = session.execute(
        update(_m)
        .where(among(_m.c.id), _m.c.status == MessageStatus.SENDING)
        .values(status=MessageStatus.UNKNOWN.value, reason="sender_stopped", updated_at=now),
        given(message_ids),
    )
    return int(lost.rowcount)  # type: ignore[attr-defined]


def close_unsent(
    session: Session,
    *,
    rows: Sequence[tuple[str, str]],
    now: datetime,
    status: MessageStatus = MessageStatus.EXPIRED,
) -> None:
    """Close messages that were decided on but will not be sent, each with its reason."""
    if rows:
        session.connection().execute(
            update(_m)
            .where(_m.c.id == bindparam("row_id"), _m.c.status == MessageStatus.QUEUED)
            .values(status=status.value, reason=bindparam("new_reason"), updated_at=now),
            [{"row_id": message_id, "new_reason": reason} for message_id, reason in rows],
        )


def close_campaign(session: Session, *, campaign_run_id: str, now: datetime) -> None:
    """Close the messages of an ended run that a provider put off: nobody asks for them again."""
    session.execute(
        update(_m)
        .where(_m.c.campaign_run_id == campaign_run_id, _m.c.status == MessageStatus.QUEUED)
        .values(status=MessageStatus.EXPIRED.value, reason="run_ended", updated_at=now)
    )


def status_of(session: Session, *, message_id: str) -> str | None:
    """Give the status of a message, or None when there is none by that id."""
    return session.execute(select(_m.c.status).where(_m.c.id == message_id)).scalar()


def never_handed_over(session: Session, *, message_ids: Collection[str]) -> set[str]:
    """Give those of the messages that no provider can have: none was called, or each surely refused."""
    perhaps = select(_d.c.message_id).where(
        _d.c.message_id.in_(message_ids),
        _d.c.status.not_in((DeliveryStatus.RETRY, DeliveryStatus.REJECTED)),
    )
    return set(message_ids) - set(session.execute(perhaps).scalars())


def requeue(session: Session, *, message_ids: Collection[str], now: datetime) -> None:
    """Put messages that failed by our own fault back to where they were decided on.

    Those of campaigns are closed as expired then; whether they are, the gate says anew.
    """
    unsent = (MessageStatus.FAILED, MessageStatus.EXPIRED)
    session.execute(
        update(_m)
        .where(_m.c.id.in_(message_ids), _m.c.status.in_(unsent))
        .values(status=MessageStatus.QUEUED.value, reason=None, updated_at=now)
    )


def put_in_inbox(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put in-app messages into their customers' inboxes."""
    insert_new(session, _i, rows, conflict=("message_id",))


def withdraw(session: Session, *, enrolment_ids: Collection[str], now: datetime) -> None:
    """Take in-app marketing of ended enrolments out of the inbox: redeemed, or over."""
    session.execute(
        update(_i)
        .where(
            _i.c.message_id.in_(
                select(_m.c.id).where(
                    _m.c.enrolment_id.in_(enrolment_ids), _m.c.purpose == Purpose.MARKETING
                )
            ),
            _i.c.withdrawn_at.is_(None),
        )
        .values(withdrawn_at=now)
    )


def withdraw_campaign(session: Session, *, campaign_run_id: str, now: datetime) -> None:
    """Take the in-app messages of a run out of the inboxes: it was cancelled."""
    session.execute(
        update(_i)
        .where(
            _i.c.message_id.in_(select(_m.c.id).where(_m.c.campaign_run_id == campaign_run_id)),
            _i.c.withdrawn_at.is_(None),
        )
        .values(withdrawn_at=now)
    )
