"""What is stuck, in plain words: each with how many, since when, and the command that helps."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain.reason_words import reason_for_many
from signalpost.record import figures, in_flight, reconciling, redriving
from signalpost.services.reading import commands

#: Somebody may be due for so long before it is worth a word: a worker may be busy.
_BEHIND = timedelta(minutes=5)
_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """One kind of thing that does not go on by itself, or goes on late."""

    kind: str
    says: str
    number: int
    since: datetime | None = None
    helps: str | None = None  #: a command; None: it passes by itself
    is_fixed: bool = False  #: whether ``stuck --fix`` does something safe about it


def find(session: Session, *, now: datetime, lease: timedelta) -> list[Stuck]:
    """Find everything that is stuck at this moment, the most urgent first."""
    return [
        *_lanes(session, now),
        *_claims(session, now, lease),
        *_unknown(session),
        *_runs(session, now),
        *_set_aside(session),
        *_dead_letters(session),
    ]


def _lanes(session: Session, now: datetime) -> Iterator[Stuck]:
    counts = figures.due(session, now=now)
    for lane, since in figures.oldest_due(session, now=now).items():
        if now - since > _BEHIND:
            yield Stuck(
                kind="lane",
                says=f"are due in lane {lane}, and no worker takes them",
                number=counts[lane],
                since=since,
                helps=f"signalpost worker --lane {lane}",
            )


def _claims(session: Session, now: datetime, lease: timedelta) -> Iterator[Stuck]:
    number, since = reconciling.expired_claims(session, now=now)
    if number:
        yield Stuck(
            kind="claim",
            says="claims are over; whoever held them stopped half-way",
            number=number,
            since=since,
            helps="signalpost stuck --fix",
            is_fixed=True,
        )
    before = now - 2 * lease
    lost = reconciling.strays(session, before=before, limit=1_000)
    left = in_flight.abandoned(session, before=before, limit=10)
    if number := len(lost) + in_flight.still_sending(session, left):
        yield Stuck(
            kind="stray",
            says="messages are on their way, and nobody is sending them",
            number=number,
            helps="signalpost stuck --fix",
            is_fixed=True,
        )


def _unknown(session: Session) -> Iterator[Stuck]:
    rows = reconciling.unknown(session, limit=1_000)
    looked_into = [row for row in rows if row["outcome"] is None]
    if looked_into:
        yield Stuck(
            kind="unknown",
            says="messages of which nobody knows whether they went are being looked into",
            number=len(looked_into),
            since=min(row["created_at"] for row in looked_into),
            is_fixed=True,
        )
    for row in [row for row in rows if row["outcome"] is not None][:_SHOWN]:
        word = reason_for_many(row["outcome"])
        yield Stuck(
            kind="unresolved",
            says=f"message {row['id']} ({row['message']} by {row['channel']}) is unknown: {word}",
            number=1,
            since=row["created_at"],
            helps=commands.resolve(row["id"]),
        )


def _runs(session: Session, now: datetime) -> Iterator[Stuck]:
    for row in figures.idle_campaigns(session, now=now):
        if row["reason"]:
            yield Stuck(
                kind="run",
                says=f"run of {row['campaign']} is not sent: {row['reason']}",
                number=1,
                since=row["since"],
                helps="signalpost doctor --live",
            )
        elif now - row["since"] > _BEHIND:
            yield Stuck(
                kind="run",
                says=f"run of {row['campaign']} has people who are due, and nobody sends it",
                number=1,
                since=row["since"],
                helps="signalpost worker --lane marketing",
            )
    for row in figures.paused_runs(session):
        yield Stuck(
            kind="paused",
            says=f"run of {row['campaign']} is paused by {row['who']}",
            number=1,
            since=row["since"],
            helps=commands.campaign("resume", row["id"]),
        )


def _set_aside(session: Session) -> Iterator[Stuck]:
    for row in reconciling.set_aside_counts(session, limit=_SHOWN):
        yield Stuck(
            kind="set_aside",
            says=f"are set aside in {row['journey']}: {_why(row)}",
            number=row["people"],
            since=row["since"],
            helps=f"signalpost redrive --all-set-aside {row['journey']}",
        )
    for row in redriving.set_aside_by_campaign(session, limit=_SHOWN):
        yield Stuck(
            kind="set_aside",
            says=f"are set aside in the campaign {row['campaign']}: {_why(row)}",
            number=row["people"],
            since=row["since"],
            helps=f"signalpost redrive --all-set-aside {row['campaign']}",
        )


def _why(row: RowMapping) -> str:
    return reason_for_many(row["reason"]) if row["reason"] else "see their record"


def _dead_letters(session: Session) -> Iterator[Stuck]:
    if parked := figures.parked(session):
        yield Stuck(
            kind="parked",
            says="events are parked: they wait for an order, a time or a repair",
            number=parked,
            helps="signalpost redrive",
        )
    number, since = reconciling.failed_calls(session)
    if number:
        yield Stuck(
            kind="call",
            says="calls to other systems failed for good",
            number=number,
            since=since,
            helps="signalpost redrive",
        )
