"""Whether texts arrive slowly, or carriers filter them: what receipts say about an account.

The measure of slowness is GOV.UK Notify's (alphagov/notifications-api, scheduled_tasks.py): at least
30 % of the last ten minutes' texts took more than four minutes.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session

from signalpost.domain.circuit import Circuit
from signalpost.record import provider_accounts
from signalpost.record.database import Database
from signalpost.record.provider_accounts import Standing, Text

log = structlog.get_logger(__name__)

WINDOW = timedelta(minutes=10)
SLOW_AFTER = timedelta(minutes=4)
SLOW_SHARE = 0.3
#: So many of the window's texts, and this share of them, refused for the sender's sake, pause it.
SPIKE, SPIKE_SHARE = 10, 0.2
_FEWEST = 10  #: texts of which anything can be said


@dataclass(frozen=True, kw_only=True)
class Signs:
    """The vendor's codes, as receipts have them, that are about our sender and not about a person."""

    filtered: Collection[str] = ()  #: carriers take it for spam: marketing stops
    unregistered: Collection[str] = ()  #: nothing of this sender is carried: everything stops


def look(database: Database, *, signs: Signs, now: datetime) -> None:
    """Look at the last minutes' texts, and write down what they say about each account."""
    with database.reading() as session:
        known = provider_accounts.standings(session)
        texts = provider_accounts.recent_texts(session, since=now - WINDOW)
    by_account: dict[str, list[Text]] = defaultdict(list)
    for text in texts:
        by_account[text.account].append(text)
    for account in by_account.keys() | known.keys():
        before = known.get(account) or Standing(circuit=Circuit(account=account))
        theirs = by_account.get(account, [])
        with database.writing() as session:
            _note_speed(session, before, theirs, now)
            _note_spike(session, before, theirs, signs, now)


def slow_share(texts: Iterable[Text], now: datetime) -> float | None:
    """Give the share of texts that took too long; None: too few to say.

    What has left the provider and is not confirmed is left out: many networks confirm nothing.
    """
    took = Counter[bool]()
    for one in texts:
        if one.delivered_at is not None:
            took[one.delivered_at - one.started_at > SLOW_AFTER] += 1
        elif not one.left and now - one.started_at > SLOW_AFTER:
            took[True] += 1
    return took[True] / took.total() if took.total() >= _FEWEST else None


def _note_speed(session: Session, before: Standing, texts: list[Text], now: datetime) -> None:
    account, share = before.circuit.account, slow_share(texts, now)
    is_slow = share is not None and share >= SLOW_SHARE
    was = before.slow_since
    if is_slow and was is None:
        log.warning("provider.slow", account=account, share=round(share or 0, 2))
    if share is None and was is not None and now - was < WINDOW:
        return  # nothing goes by it, since it is slow: it gets another chance after a while
    if is_slow or was is not None:
        provider_accounts.note_speed(
            session,
            account=account,
            slow_since=(was or now) if is_slow else None,
            share=share if is_slow else None,
            now=now,
        )


def _note_spike(
    session: Session, before: Standing, texts: list[Text], signs: Signs, now: datetime
) -> None:
    """Open the circuit for good when carriers refuse the sender; an operator closes it."""
    if before.circuit.is_open:
        return
    fresh = [one for one in texts if before.closed_at is None or one.started_at > before.closed_at]
    ended = [one for one in fresh if one.code or one.delivered_at]
    for codes, marketing_only, what in (
        (signs.unregistered, False, "are refused since the sender is not registered"),
        (signs.filtered, True, "are filtered by carriers"),
    ):
        hit = [one for one in ended if one.code in codes]
        if len(hit) >= SPIKE and len(hit) / len(ended) >= SPIKE_SHARE:
            share = f"{len(hit) / len(ended):.0%}"
            circuit = replace(
                before.circuit,
                opened_at=now,
                ours=True,
                marketing_only=marketing_only,
                code=hit[-1].code,
                reason=f"{share} of the last {len(ended)} texts {what} ({hit[-1].code}).",
            )
            provider_accounts.keep(session, circuit=circuit, now=now)
            log.error("circuit.opened", account=circuit.account, code=circuit.code)
            return


def by_name(standings: Mapping[str, Standing]) -> list[Standing]:
    """Give the accounts in order, those in trouble first."""
    return sorted(
        standings.values(),
        key=lambda one: (not one.circuit.is_open, one.slow_since is None, one.circuit.account),
    )
