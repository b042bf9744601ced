"""The keys that this process knows: looked up in memory, read again from the record now and then."""

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from signalpost.domain.access import Area, Grant, Scope, areas_of
from signalpost.record import api_keys
from signalpost.record.api_keys import ApiKey
from signalpost.record.database import Database
from signalpost.services.access.keys import PREFIX, hash_of, parts_of

FRESH = 5.0  #: seconds; so long may a revoked key still open something
_AGAIN = 1.0  #: seconds between looks for keys that are not known; whoever guesses causes no more
NOTE_EVERY = timedelta(minutes=1)  #: how exact "last used" is

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Known:
    """What is kept of a key in memory."""

    hash: str
    grant: Grant
    old_hash: str
    old_grant: Grant
    old_until: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class BuiltIn:
    """A key of the installation itself, known by the settings and not by the record."""

    key_id: str
    secret: str
    areas: frozenset[Area]


class Keyring:
    """Tells whom a key lets in. ``ticks`` counts seconds, from whenever."""

    def __init__(
        self,
        *,
        database: Database,
        built_in: tuple[BuiltIn, ...],
        clock: Callable[[], datetime],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ticks = ticks
        self._built_in = tuple(
            (one.secret.encode(), Grant(one.key_id, one.areas, seal_of(hash_of(one.secret))))
            for one in built_in
            if one.secret
        )
        nobody = Grant("", frozenset())
        self._nobody = _Known(hash_of(secrets.token_hex()), nobody, "", nobody, None, None)
        self._known: Mapping[str, _Known] = {}
        self._read_at = float("-inf")
        self._reading = threading.Lock()
        self._used: dict[str, datetime] = {}
        self._noted: dict[str, datetime] = {}

    def grant(self, token: str | None) -> Grant | None:
        """Tell whom a key lets in; None for what is no key, not known, expired or revoked.

        Looks in memory alone. Takes as long for a wrong secret as for an unknown id.
        """
        if not token:
            return None
        given = token.encode("utf-8", "replace")
        found = None
        for secret, grant in self._built_in:
            if hmac.compare_digest(given, secret):
                found = grant
        if found is not None or not token.startswith(PREFIX):
            return found
        key_id, secret = parts_of(token) or ("", token)
        known = self._known.get(key_id, self._nobody)
        return self._grant_of(known, hash_of(secret))

    def _grant_of(self, known: _Known, given: str) -> Grant | None:
        is_new = hmac.compare_digest(given, known.hash)
        is_old = hmac.compare_digest(given, known.old_hash)
        now = self._clock()
        if known is self._nobody or _past(known.expires_at, now):
            return None
        if not is_new and not (is_old and not _past(known.old_until, now)):
            return None
        self._used[known.grant.key_id] = now
        return known.grant if is_new else known.old_grant

    def sealed(self, key_id: str, seal: str) -> Grant | None:
        """Tell whom a session lets in that was opened with a key; None when the key has ended."""
        now = self._clock()
        candidates = [grant for _, grant in self._built_in if grant.key_id == key_id]
        if (known := self._known.get(key_id)) and not _past(known.expires_at, now):
            candidates.append(known.grant)
            if not _past(known.old_until, now):
                candidates.append(known.old_grant)
        for grant in candidates:
            if grant.seal and hmac.compare_digest(grant.seal.encode(), seal.encode()):
                return grant
        return None

    def is_stale(self, key_id: str) -> bool:
        """Tell whether the record should be read before a key of this id is judged."""
        age = self._ticks() - self._read_at
        return age > (FRESH if key_id in self._known else _AGAIN)

    def refresh(self) -> None:
        """Read the keys from the record; blocks. While the record is away, what was known goes on.

        Raises:
            SQLAlchemyError: the record is away, and nothing was known yet.
        """
        began = self._ticks()
        with self._reading:
            if self._read_at >= began:
                return  # somebody else has read them meanwhile
            try:
                with self._database.reading() as session:
                    found = api_keys.standing(session, now=self._clock())
            except SQLAlchemyError as error:
                if not self._known:
                    raise
                log.warning("keys.not_read", error=type(error).__name__)
            else:
                self._known = {key.id: _known(key) for key in found}
            self._read_at = self._ticks()

    def note_uses(self) -> None:
        """Write when keys were last used, each at most once a minute; blocks."""
        due = {
            key_id: at
            for key_id, at in list(self._used.items())
            if key_id not in self._noted or at - self._noted[key_id] >= NOTE_EVERY
        }
        if not due:
            return
        with self._database.writing() as session:
            api_keys.note_uses(session, used=due)
        self._noted.update(due)


def seal_of(secret_hash: str) -> str:
    """Give something that changes with a secret and does not tell it."""
    return secret_hash[:16]


def _past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now


def _known(key: ApiKey) -> _Known:
    areas = areas_of([Scope(one) for one in key.scopes if one in set(Scope)])
    old = key.old_secret_hash or ""
    return _Known(
        hash=key.secret_hash,
        grant=Grant(key.id, areas, seal_of(key.secret_hash)),
        old_hash=old,
        old_grant=Grant(key.id, areas, seal_of(old)),
        old_until=key.old_until,
        expires_at=key.expires_at,
    )
