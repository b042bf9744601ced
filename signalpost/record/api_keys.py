"""API keys: who may come in with which scopes. Of the secret only its hash is kept."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, or_, update
from sqlmodel import Field, Session, select

from signalpost.record.base import Id, Table, document, moment, table_of


class ApiKey(Table, table=True):
    """One key. ``old_secret_hash`` is of the secret before the last rotation, until ``old_until``."""

    __tablename__ = "api_keys"

    id: str = Field(primary_key=True, sa_type=Id)  #: the middle of ``spk_<id>_<secret>``
    name: str
    scopes: list = document(default_factory=list)
    secret_hash: str
    old_secret_hash: str | None = None
    old_until: datetime | None = moment(default=None)
    made_by: str
    created_at: datetime = moment()
    expires_at: datetime | None = moment(default=None)
    last_used_at: datetime | None = moment(default=None)
    revoked_at: datetime | None = moment(default=None)


_k = table_of(ApiKey)


def add(session: Session, *, key: ApiKey) -> None:
    """Keep a new key."""
    session.add(key)
    session.flush()


def listed(session: Session) -> Sequence[ApiKey]:
    """Give every key, also those that open nothing any more, the oldest first."""
    return session.exec(select(ApiKey).order_by(_k.c.created_at, _k.c.id)).all()


def standing(session: Session, *, now: datetime) -> Sequence[ApiKey]:
    """Give the keys that open something at ``now``."""
    lasting = or_(_k.c.expires_at.is_(None), _k.c.expires_at > now)
    return session.exec(select(ApiKey).where(_k.c.revoked_at.is_(None), lasting)).all()


def called(session: Session, *, which: str) -> Sequence[ApiKey]:
    """Give the key with this id, else those of this name that are not revoked."""
    named = _k.c.revoked_at.is_(None) & (_k.c.name == which)
    found = session.exec(select(ApiKey).where(or_(_k.c.id == which, named))).all()
    return [key for key in found if key.id == which] or found


def change(session: Session, *, key_id: str, values: Mapping[str, Any]) -> None:
    """Set some columns of a key."""
    session.connection().execute(update(_k).where(_k.c.id == key_id).values(**values))


def note_uses(session: Session, *, used: Mapping[str, datetime]) -> None:
    """Write when keys were last used; never an earlier moment than another process wrote."""
    if used:
        session.connection().execute(
            update(_k)
            .where(
                _k.c.id == bindparam("key_id"),
                or_(
                    _k.c.last_used_at.is_(None),
                    _k.c.last_used_at < bindparam("at", type_=_k.c.last_used_at.type),
                ),
            )
            .values(last_used_at=bindparam("at")),
            [{"key_id": key_id, "at": at} for key_id, at in sorted(used.items())],
        )
