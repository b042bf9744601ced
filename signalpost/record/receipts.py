"""What came back: receipts, replies, and the questions that replies answer."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Index, RowMapping, bindparam, select, update
from sqlmodel import Field, Session

from signalpost.record.base import (
    Id,
    Table,
    document,
    insert_new,
    moment,
    pk,
    table_of,
)
from signalpost.record.bulk import among, by_column, given, insert_columns
from signalpost.record.customers import Customer
from signalpost.record.messages import Delivery, Message

#: The provider of a receipt that we made ourselves: a click on a link that leads by way of us.
BY_US = "signalpost"


class ReceiptRow(Table, table=True):
    """What a provider said about a delivery, normalised, with the raw beside it; append-only."""

    __tablename__ = "receipts"

    id: str = pk()
    provider: str
    kind: str
    message_id: str | None = Field(default=None, index=True, sa_type=Id)
    provider_id: str | None = Field(default=None, index=True)
    code: str | None = None
    machine: bool = False
    raw: dict = document()
    at: datetime = moment()
    received_at: datetime = moment()


class ReceiptKey(Table, table=True):
    """A key under which a receipt was seen; any of its keys seen again means a repeat."""

    __tablename__ = "receipt_keys"

    key: str = Field(primary_key=True)
    receipt_id: str = Field(sa_type=Id, index=True)


class Question(Table, table=True):
    """Something we asked, open until it is answered, superseded or too late."""

    __tablename__ = "questions"
    __table_args__ = (Index("ix_questions_customer_open", "customer_id", "closed_at"),)

    id: str = pk()
    customer_id: str = Field(sa_type=Id)
    enrolment_id: str = Field(index=True, sa_type=Id)
    name: str
    kind: str  #: confirm | scale
    low: int | None = None
    high: int | None = None
    code: str | None = Field(default=None, index=True)
    asked_at: datetime = moment()
    closed_at: datetime | None = moment(default=None)
    outcome: str | None = None  #: answered | expired | superseded


class Reply(Table, table=True):
    """A message that a customer sent to us, with what we took it to mean; append-only."""

    __tablename__ = "replies"

    id: str = pk()
    provider: str
    provider_id: str = Field(unique=True)
    customer_id: str | None = Field(default=None, index=True, sa_type=Id)
    question_id: str | None = Field(default=None, sa_type=Id)
    channel: str
    sender: str
    recipient: str
    body: str
    meaning: str
    value: str | None = None
    raw: dict = document()
    at: datetime = moment()
    received_at: datetime = moment()


class Answer(Table, table=True):
    """The first valid answer to a question, whichever channel it came by."""

    __tablename__ = "answers"

    question_id: str = Field(primary_key=True, sa_type=Id, foreign_key="questions.id")
    customer_id: str = Field(index=True, sa_type=Id)
    enrolment_id: str = Field(sa_type=Id)
    name: str
    value: str  #: yes | no | a number
    comment: str | None = None
    channel: str
    at: datetime = moment()


_r = table_of(ReceiptRow)
_k = table_of(ReceiptKey)
_m = table_of(Message)
_d = table_of(Delivery)
_c = table_of(Customer)


_OWNERS = select(_k.c.key, _k.c.receipt_id).where(among(_k.c.key))
_BY_PROVIDER_ID = (
    select(_d.c.message_id, _d.c.provider, _d.c.provider_id, _m.c.address)
    .join(_m, _m.c.id == _d.c.message_id)
    .where(among(_d.c.provider_id), _d.c.provider_id.is_not(None))
)
_OPEN_DELIVERIES = (
    select(_d.c.id, _d.c.message_id, _d.c.provider, _d.c.provider_id)
    .where(_d.c.status.in_(("sending", "unknown")), among(_d.c.message_id))
    .order_by(_d.c.id)
    .with_for_update()
)
_MESSAGES = (
    select(_m.c.id, _c.c.root_id, _m.c.channel, _m.c.address, _m.c.status, _c.c.erased_at)
    .join(_c, _c.c.id == _m.c.customer_id)
    .where(among(_m.c.id))
    .order_by(_m.c.id)
    .with_for_update(of=_m)
)
_SET_STATUS = (
    update(_m)
    .where(among(_m.c.id))
    .values(status=bindparam("new_status"), updated_at=bindparam("new_at"))
)


def claim_keys(session: Session, *, keys: Mapping[str, str]) -> dict[str, str]:
    """Write keys (key → receipt id); gives the receipt that owns each one, ours or an earlier one.

    A concurrent call with the same key waits for ours to end: the order of the keys is the same in
    every call, so two calls cannot wait for each other.
    """
    rows = [{"key": key, "receipt_id": keys[key]} for key in sorted(keys)]
    ours = insert_new(session, _k, rows, conflict=("key",), returning="key")
    owners = {key: keys[key] for key in ours}
    if others := sorted(keys.keys() - ours):
        owners |= {row.key: row.receipt_id for row in session.execute(_OWNERS, given(others))}
    return owners


def rename_keys(session: Session, *, keys: Mapping[str, str]) -> None:
    """Let keys lead to another receipt: the one that turned out to be the same."""
    if keys:
        session.connection().execute(
            update(_k)
            .where(_k.c.key == bindparam("of_key"))
            .values(receipt_id=bindparam("new_receipt_id")),
            [{"of_key": key, "new_receipt_id": keys[key]} for key in sorted(keys)],
        )


def add(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append receipts; all carry the same columns."""
    insert_columns(session, _r, rows=len(rows), columns=by_column(rows))


def deliveries_by_provider_id(session: Session, *, provider_ids: Iterable[str]) -> list[RowMapping]:
    """Give the deliveries that a provider knows by these ids, with their messages' addresses.

    SendGrid gives one id to everybody in a request, so an id may lead to many.
    """
    ids = set(provider_ids)
    return list(session.execute(_BY_PROVIDER_ID, given(ids)).mappings()) if ids else []


def lock_open_deliveries(session: Session, *, message_ids: Collection[str]) -> list[RowMapping]:
    """Give, and lock, the deliveries of these messages whose outcome is not known yet."""
    return list(session.execute(_OPEN_DELIVERIES, given(message_ids)).mappings())


def accept_deliveries(
    session: Session, *, provider_ids: Mapping[str, str | None], now: datetime
) -> None:
    """Settle deliveries (id → the provider's id) as accepted: a receipt proves that they were."""
    if provider_ids:
        session.connection().execute(
            update(_d)
            .where(_d.c.id == bindparam("of_id"))
            .values(
                status="accepted",
                provider_id=bindparam("new_provider_id"),
                detail="settled by a receipt",
                settled_at=now,
            ),
            [{"of_id": i, "new_provider_id": provider_ids[i]} for i in sorted(provider_ids)],
        )


def lock_messages(session: Session, *, message_ids: Collection[str]) -> dict[str, RowMapping]:
    """Give, and lock, what receipts need to know of these messages, by id."""
    rows = session.execute(_MESSAGES, given(message_ids)).mappings()
    return {row["id"]: row for row in rows}


def set_message_status(
    session: Session, *, message_ids: Collection[str], status: str, now: datetime
) -> None:
    """Write where messages stand; one statement for all that stand the same."""
    session.execute(_SET_STATUS, given(message_ids, new_status=status, new_at=now))
