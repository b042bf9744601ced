"""The queries behind signed links: the message one came in, and the contact it leads to."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, select
from sqlmodel import Session

from signalpost.record.base import insert_new, table_of
from signalpost.record.customers import Customer
from signalpost.record.events import Event
from signalpost.record.messages import Message, MessageVariant

_m = table_of(Message)
_v = table_of(MessageVariant)
_c = table_of(Customer)


def message_behind(session: Session, *, message_id: str) -> RowMapping | None:
    """Give the message a link came in, with its static wording and its customer's root id.

    None when there is no such message, or its customer was erased.
    """
    query = (
        select(
            _m.c.id, _m.c.customer_id, _c.c.root_id, _m.c.enrolment_id, _m.c.message,
            _m.c.channel, _m.c.address, _m.c.topic, _m.c.locale, _m.c.slots, _m.c.created_at,
            _v.c.parts,
        )
        .join(_c, _c.c.id == _m.c.customer_id)
        .outerjoin(_v, _v.c.id == _m.c.variant_id)
        .where(_m.c.id == message_id, _c.c.erased_at.is_(None))
    )  # fmt: skip
    return session.execute(query).mappings().first()


def add_event(session: Session, *, row: Mapping[str, Any]) -> bool:
    """Keep an event that a link caused; gives False when it is on the record."""
    return bool(
        insert_new(session, table_of(Event), [row], conflict=("message_id",), returning="id")
    )
