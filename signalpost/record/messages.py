"""Messages, the attempts to hand them over, their wording, and the in-app inbox."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Index, RowMapping, bindparam, func, or_, select, update
from sqlmodel import Field, Session

from signalpost.domain.vocabulary import DeliveryStatus, MessageStatus, Purpose
from signalpost.record.base import (
    Id,
    Table,
    UtcDateTime,
    document,
    insert_new,
    insert_rows,
    moment,
    partial_index,
    pk,
    table_of,
)
from signalpost.record.bulk import among, given
from signalpost.record.customers import Customer


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


class Message(Table, table=True):
    """One template for one customer on one channel for one cause."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_customer_at", "customer_id", "created_at"),
        # What has not come to rest; the many that have would only make the index large.
        partial_index(
            "ix_messages_open", "status", where="status IN ('queued', 'sending', 'unknown')"
        ),
        partial_index("ix_messages_enrolment", "enrolment_id", where="enrolment_id IS NOT NULL"),
        partial_index(
            "ix_messages_campaign_run", "campaign_run_id", where="campaign_run_id IS NOT NULL"
        ),
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


class Delivery(Table, table=True):
    """One attempt to hand a message to a provider, written before the provider is called."""

    __tablename__ = "deliveries"

    id: str = pk()
    message_id: str = Field(index=True, sa_type=Id, foreign_key="messages.id")
    attempt: int
    provider: str
    status: str
    provider_id: str | None = Field(default=None, index=True)
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
_c = table_of(Customer)

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


_RECENT = (
    select(_c.c.root_id, _m.c.id, _m.c.channel, _m.c.created_at)
    .join(_c, _c.c.id == _m.c.customer_id)
    .where(
        among(_c.c.root_id),
        _m.c.created_at > bindparam("since", type_=UtcDateTime),
        _m.c.purpose == Purpose.MARKETING,
        _m.c.status.not_in(NOT_SENT),
    )
)
_CAUSE = func.coalesce(_m.c.enrolment_id, _m.c.campaign_run_id)
_LAST = (
    select(_c.c.root_id, _CAUSE.label("cause"), func.max(_m.c.created_at).label("at"))
    .join(_c, _c.c.id == _m.c.customer_id)
    .where(
        among(_c.c.root_id),
        _m.c.message == bindparam("name"),
        _m.c.created_at > bindparam("since", type_=UtcDateTime),
        _m.c.status.not_in(NOT_SENT),
    )
    .group_by(_c.c.root_id, _CAUSE)
)


def recent_marketing(
    session: Session, *, roots: Collection[str], since: datetime
) -> list[RowMapping]:
    """Give the marketing messages to these people since then, for the frequency caps."""
    rows = session.execute(_RECENT, given(roots, since=since))
    return list(rows.mappings())


def last_sent(
    session: Session, *, roots: Collection[str], message: str, since: datetime
) -> list[RowMapping]:
    """Give when each of these people was last sent this message, after ``since``, by its cause."""
    rows = session.execute(_LAST, given(roots, since=since, name=message))
    return list(rows.mappings())


def plan(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Write messages that were decided on; gives the ids of those that were new."""
    return insert_new(session, _m, rows, conflict=("idempotency_key",), returning="id")


def keep_variants(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep the wording of variants that are not kept yet."""
    insert_new(session, table_of(MessageVariant), rows, conflict=("id",))


def intend(
    session: Session,
    *,
    messages: Sequence[Mapping[str, Any]],
    deliveries: Sequence[Mapping[str, Any]],
) -> None:
    """Write the intent to hand messages over, before any provider is called."""
    if not messages:
        return
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
        list(messages),
    )
    insert_rows(session, _d, deliveries)


def attempts(session: Session, *, message_ids: Collection[str]) -> dict[str, int]:
    """Count the attempts made so far for each message."""
    rows = session.execute(
        select(_d.c.message_id, func.count())
        .where(_d.c.message_id.in_(message_ids))
        .group_by(_d.c.message_id)
    )
    return {message: count for message, count in rows}  # noqa: C416


def settle(
    session: Session,
    *,
    deliveries: Sequence[Mapping[str, Any]],
    messages: Sequence[Mapping[str, Any]],
) -> None:
    """Write how hand-overs ended. A receipt that came first is not overwritten."""
    if deliveries:
        session.connection().execute(
            update(_d)
            .where(_d.c.id == bindparam("row_id"), _d.c.settled_at.is_(None))
            .values(
                status=bindparam("new_status"),
                provider_id=bindparam("new_provider_id"),
                fault=bindparam("new_fault"),
                code=bindparam("new_code"),
                detail=bindparam("new_detail"),
                settled_at=bindparam("new_at"),
            ),
            list(deliveries),
        )
    if messages:
        session.connection().execute(
            update(_m)
            .where(_m.c.id == bindparam("row_id"), _m.c.status == bindparam("old_status"))
            .values(
                status=bindparam("new_status"),
                reason=bindparam("new_reason"),
                updated_at=bindparam("new_at"),
            ),
            list(messages),
        )


_SETTLE_DELIVERIES = (
    update(_d)
    .where(among(_d.c.id), or_(_d.c.settled_at.is_(None), _d.c.status == "unknown"))
    .values(
        status=bindparam("new_status"),
        provider_id=bindparam("new_provider_id"),
        fault=bindparam("new_fault"),
        code=bindparam("new_code"),
        detail=bindparam("new_detail"),
        settled_at=bindparam("new_at"),
    )
)
_SETTLE_MESSAGES = (
    update(_m)
    # From unknown too: a sender that comes back late knows what the one after it could not.
    .where(among(_m.c.id), _m.c.status.in_(("sending", "unknown")))
    .values(
        status=bindparam("new_status"),
        reason=bindparam("new_reason"),
        updated_at=bindparam("new_at"),
    )
)


def settle_alike(
    session: Session,
    *,
    delivery_ids: Collection[str],
    delivery: Mapping[str, Any],
    message_ids: Collection[str],
    message: Mapping[str, Any],
    now: datetime,
) -> None:
    """Write how hand-overs ended that all ended alike. A receipt that came first is not overwritten."""
    session.execute(_SETTLE_DELIVERIES, given(delivery_ids, **_new(delivery), new_at=now))
    session.execute(_SETTLE_MESSAGES, given(message_ids, **_new(message), new_at=now))


def _new(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in values.items()}


def give_up_lost(session: Session, *, message_ids: Sequence[str], now: datetime) -> None:
    """Mark messages whose sender died between intent and settling: nobody knows what became of them."""
    if not message_ids:
        return
    session.execute(
        update(_d)
        .where(_d.c.message_id.in_(message_ids), _d.c.settled_at.is_(None))
        .values(
            status="unknown", detail="the sender stopped before it could settle", settled_at=now
        )
    )
    session.execute(
        update(_m)
        .where(_m.c.id.in_(message_ids), _m.c.status == MessageStatus.SENDING)
        .values(status=MessageStatus.UNKNOWN.value, reason="sender_stopped", updated_at=now)
    )


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


def never_handed_over(session: Session, *, message_ids: Collection[str]) -> set[str]:
    """Give those of the messages that no provider can have: none was called, or each surely refused."""
    perhaps = select(_d.c.message_id).where(
        _d.c.message_id.in_(message_ids),
        _d.c.status.not_in((DeliveryStatus.RETRY, DeliveryStatus.REJECTED)),
    )
    return set(message_ids) - set(session.execute(perhaps).scalars())


def requeue(session: Session, *, message_ids: Collection[str], now: datetime) -> None:
    """Put messages that failed by our own fault back to where they were decided on."""
    session.execute(
        update(_m)
        .where(_m.c.id.in_(message_ids), _m.c.status == MessageStatus.FAILED)
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
    """Take the in-app messages of a run out of the inboxes: it was cancelled, or its offer is over."""
    session.execute(
        update(_i)
        .where(
            _i.c.message_id.in_(select(_m.c.id).where(_m.c.campaign_run_id == campaign_run_id)),
            _i.c.withdrawn_at.is_(None),
        )
        .values(withdrawn_at=now)
    )
