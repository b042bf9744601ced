"""What an operator should hear of, read from the record: trouble that stands at this moment.

``provider.degraded``  an account's circuit is open, or it delivers slowly
``alert.unanswered``   a case of lane risk is open and the customer has said nothing for a while
``lane.behind``        somebody is due for longer than the lane may take, and no worker has them
``campaign.paused``    a run is paused, by a person or by us
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from signalpost.domain.vocabulary import Lane
from signalpost.record import figures, provider_accounts

#: How long somebody may be due in a lane before it counts as behind.
BEHIND_AFTER: Mapping[Lane, timedelta] = {
    Lane.RISK: timedelta(seconds=30),
    Lane.SERVICE: timedelta(minutes=5),
    Lane.MARKETING: timedelta(minutes=15),
}
#: How long a customer may leave an alert without an answer.
UNANSWERED_AFTER = timedelta(minutes=15)

KINDS = ("provider.degraded", "alert.unanswered", "lane.behind", "campaign.paused")


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that stands. ``subject`` is a name or an id; ``detail`` holds names, ids and codes."""

    kind: str
    subject: str
    name: str  #: for a reader
    since: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it one and not two. Who is due longest changes while a lane is behind."""
        since = "" if self.kind == "lane.behind" else self.since.isoformat()
        return self.kind, self.subject, since


def standing(
    session: Session,
    *,
    now: datetime,
    paused_journeys: Collection[str] = (),
    paused_lanes: Collection[str] = (),
) -> list[Trouble]:
    """Give all trouble that stands. Who waits because an operator paused them is none."""
    return [
        *_providers(session),
        *_alerts(session, now),
        *_lanes(session, now, paused_journeys, paused_lanes),
        *_campaigns(session),
    ]


def _providers(session: Session) -> Iterator[Trouble]:
    for account, found in provider_accounts.standings(session).items():
        circuit = found.circuit
        if circuit.opened_at is not None:
            yield Trouble(
                kind="provider.degraded",
                subject=account,
                name=account,
                since=circuit.opened_at,
                detail={
                    "what": "circuit_open",
                    "code": circuit.code,
                    "why": circuit.reason,
                    "ours": circuit.ours,
                },
            )
        elif found.slow_since is not None:
            yield Trouble(
                kind="provider.degraded",
                subject=account,
                name=account,
                since=found.slow_since,
                detail={"what": "slow", "share": found.slow_share},
            )


def _alerts(session: Session, now: datetime) -> Iterator[Trouble]:
    for row in figures.unanswered_alerts(session, before=now - UNANSWERED_AFTER):
        yield Trouble(
            kind="alert.unanswered",
            subject=row["id"],
            name=f"{row['kind']} case",
            since=row["opened_at"],
            detail={"case": row["id"], "customer": row["root_id"]},
        )


def _lanes(
    session: Session, now: datetime, journeys: Collection[str], lanes: Collection[str]
) -> Iterator[Trouble]:
    since = figures.oldest_due(session, now=now, except_journeys=journeys)
    for row in figures.idle_campaigns(session, now=now, except_campaigns=journeys):
        marketing = Lane.MARKETING.value
        since[marketing] = min(since.get(marketing, row["since"]), row["since"])
    for lane, due in since.items():
        if lane not in lanes and now - due > BEHIND_AFTER[Lane(lane)]:
            yield Trouble(
                kind="lane.behind",
                subject=lane,
                name=f"lane {lane}",
                since=due,
                detail={"seconds": round((now - due).total_seconds())},
            )


def _campaigns(session: Session) -> Iterator[Trouble]:
    for row in figures.paused_runs(session):
        yield Trouble(
            kind="campaign.paused",
            subject=row["id"],
            name=row["campaign"],
            since=row["since"],
            detail={"campaign": row["campaign"], "run": row["id"], "by": row["who"]},
        )
