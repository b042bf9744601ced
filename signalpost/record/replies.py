"""The queries of replies: who may have sent one, keeping it once, and the answer it gives."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, select
from sqlmodel import Session

from signalpost.record.base import insert_new, table_of
from signalpost.record.customers import ContactPoint, Customer, Identity
from signalpost.record.messages import Message
from signalpost.record.receipts import Answer, Question, Reply

_reply = table_of(Reply)
_answer = table_of(Answer)
_question = table_of(Question)
_point = table_of(ContactPoint)
_identity = table_of(Identity)
_customer = table_of(Customer)
_message = table_of(Message)


def people_at(session: Session, *, channel: str, address: str) -> list[str]:
    """Give the root ids of those who hold an address: on this channel, else on any, else by identity.

    The other channels count because WhatsApp and SMS share phone numbers.
    """
    points = session.execute(
        select(_customer.c.root_id, _point.c.channel)
        .join(_customer, _customer.c.id == _point.c.customer_id)
        .where(_point.c.address == address, _point.c.replaced_at.is_(None))
    ).all()
    roots = {row.root_id for row in points if row.channel == channel}
    roots = roots or {row.root_id for row in points}
    if not roots:
        found = session.execute(
            select(_customer.c.root_id)
            .join(_identity, _identity.c.customer_id == _customer.c.id)
            .where(_identity.c.kind.in_(("phone", "email")), _identity.c.value == address)
        )
        roots = set(found.scalars())
    return sorted(roots)


def last_messages(
    session: Session, *, channel: str, address: str, roots: Collection[str]
) -> dict[str, datetime]:
    """Give when each of these people last got a message at this address, by root."""
    rows = session.execute(
        select(_customer.c.root_id, func.max(_message.c.created_at))
        .join(_customer, _customer.c.id == _message.c.customer_id)
        .where(
            _customer.c.root_id.in_(roots),
            _message.c.channel == channel,
            _message.c.address == address,
        )
        .group_by(_customer.c.root_id)
    )
    return {root: at for root, at in rows}  # noqa: C416 - Row is not a tuple pair


def seen(session: Session, *, provider_id: str) -> bool:
    """Whether this reply is on the record."""
    query = select(_reply.c.id).where(_reply.c.provider_id == provider_id)
    return session.execute(query).first() is not None


def add(session: Session, *, row: Mapping[str, Any]) -> bool:
    """Keep a reply; gives whether it is new."""
    return bool(insert_new(session, _reply, [row], conflict=("provider_id",), returning="id"))


def count_meanings(session: Session, *, question_id: str, meanings: Collection[str]) -> int:
    """Count the replies about this question that were taken to mean any of these."""
    query = select(func.count()).where(
        _reply.c.question_id == question_id, _reply.c.meaning.in_(meanings)
    )
    return session.execute(query).scalar_one()


def closed_question(session: Session, *, roots: Collection[str], code: str) -> RowMapping | None:
    """Give the latest question of these people that had this answer code and is closed."""
    query = (
        select(_question, _customer.c.root_id)
        .join(_customer, _customer.c.id == _question.c.customer_id)
        .where(
            _customer.c.root_id.in_(roots),
            _question.c.code == code,
            _question.c.closed_at.is_not(None),
        )
        .order_by(_question.c.asked_at.desc())
        .limit(1)
    )
    return session.execute(query).mappings().first()


def question(session: Session, *, question_id: str) -> RowMapping | None:
    """Give a question."""
    query = select(_question).where(_question.c.id == question_id)
    return session.execute(query).mappings().first()


def add_answer(session: Session, *, row: Mapping[str, Any]) -> bool:
    """Write the answer to a question; gives False when it had one already."""
    return bool(
        insert_new(session, _answer, [row], conflict=("question_id",), returning="question_id")
    )
