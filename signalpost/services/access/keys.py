"""Making, rotating and revoking API keys.

A key is ``spk_<id>_<secret>``: its id finds it, its shape shows it to secret scanners
(``spk_[0-9a-f]{16}_[0-9a-f]{64}``). The secret is 256 random bits, which nobody guesses however fast
they hash; so a single SHA-256 is kept of it. Slow hashes are for passwords that people think up, and
here they would cost every request milliseconds.
"""

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from signalpost.domain.access import Scope
from signalpost.errors import BadInputError, ConflictError, NotFoundError
from signalpost.record import api_keys, audit
from signalpost.record.api_keys import ApiKey

PREFIX = "spk_"
_SHAPE = re.compile(r"spk_([0-9a-f]{16})_([0-9a-f]{64})")
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Made:
    """A key with its secret, which is known at this moment only."""

    key: ApiKey
    token: str


def hash_of(secret: str) -> str:
    """Give what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parts_of(token: str) -> tuple[str, str] | None:
    """Take a key apart into its id and its secret; None when it has another shape."""
    found = _SHAPE.fullmatch(token)
    return (found[1], found[2]) if found else None


def make(
    session: Session,
    *,
    name: str,
    scopes: Collection[Scope],
    actor: str,
    now: datetime,
    expires_at: datetime | None = None,
) -> Made:
    """Make a key.

    Raises:
        BadInputError: the name is empty or too long, there is no scope, or it has expired already.
        ConflictError: another key has this name.
    """
    name = name.strip()
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise BadInputError(f"Name the key by who will use it, in 1 to {_LONGEST_NAME} characters.")
    if not scopes:
        raise BadInputError(f"Give the key at least one scope: {', '.join(Scope)}.")
    if expires_at is not None and expires_at <= now:
        raise BadInputError("The key would have expired already; give a moment in the future.")
    if api_keys.called(session, which=name):
        raise ConflictError(
            f"There is a key called {name!r}; rotate or revoke it, or choose a name."
        )
    secret = secrets.token_hex(32)
    key = ApiKey(
        id=secrets.token_hex(8),
        name=name,
        scopes=sorted(scopes),
        secret_hash=hash_of(secret),
        made_by=actor,
        created_at=now,
        expires_at=expires_at,
    )
    api_keys.add(session, key=key)
    _note(session, "key.make", key, actor=actor, now=now, scopes=sorted(scopes))
    return Made(key, f"{PREFIX}{key.id}_{secret}")


def rotate(session: Session, *, which: str, keep: timedelta, actor: str, now: datetime) -> Made:
    """Give a key a new secret; the one before it is good for ``keep`` longer.

    Rotated again within that time, the oldest secret ends at once: two are good, never three.

    Raises:
        BadInputError: ``keep`` is negative.
        NotFoundError: there is no such key.
        ConflictError: it is revoked or has expired, or several keys have this name.
    """
    if keep < timedelta(0):
        raise BadInputError("The old secret cannot end in the past; give 0 to end it now.")
    key = find(session, which=which)
    if (status := status_of(key, now=now)) != "active":
        raise ConflictError(f"The key {key.name!r} is {status}; make a new one.")
    secret = secrets.token_hex(32)
    key.old_secret_hash, key.old_until = (key.secret_hash, now + keep) if keep else (None, None)
    key.secret_hash = hash_of(secret)
    api_keys.add(session, key=key)
    _note(session, "key.rotate", key, actor=actor, now=now, kept_seconds=int(keep.total_seconds()))
    return Made(key, f"{PREFIX}{key.id}_{secret}")


def revoke(session: Session, *, which: str, actor: str, now: datetime) -> ApiKey:
    """End a key for good; the web hears of it within seconds.

    Raises:
        NotFoundError: there is no such key.
        ConflictError: it was revoked before, or several keys have this name.
    """
    key = find(session, which=which)
    if key.revoked_at is not None:
        raise ConflictError(f"The key {key.name!r} is revoked already.")
    key.revoked_at = now
    api_keys.add(session, key=key)
    _note(session, "key.revoke", key, actor=actor, now=now)
    return key


def find(session: Session, *, which: str) -> ApiKey:
    """Find a key by id or name.

    Raises:
        NotFoundError: there is none.
        ConflictError: several have this name.
    """
    found = api_keys.called(session, which=which)
    if not found:
        raise NotFoundError("There is no such key. `signalpost key list` shows them all.")
    if len(found) > 1:
        ids = ", ".join(key.id for key in found)
        raise ConflictError(f"Several keys have this name; give an id: {ids}.")
    return found[0]


def status_of(key: ApiKey, *, now: datetime) -> str:
    """Say whether a key is ``active``, ``expired`` or ``revoked``."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "active"


def _note(
    session: Session, action: str, key: ApiKey, *, actor: str, now: datetime, **detail: Any
) -> None:
    audit.add(session, actor=actor, action=action, subject=f"key:{key.id}", detail=detail, now=now)
