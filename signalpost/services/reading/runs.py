"""What operators see of the runs of campaigns: how far, with which outcomes, and who for example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlmodel import Session

from signalpost.content.campaigns import from_definition
from signalpost.domain import audience_words
from signalpost.domain.reason_words import channel_name, shared_reason
from signalpost.errors import SignalpostError
from signalpost.record import campaigns as record
from signalpost.record import overview
from signalpost.services.campaigns import runs
from signalpost.services.campaigns.plan import Plan
from signalpost.services.campaigns.runs import Progress, Run
from signalpost.services.reading.campaigns import why

#: People of a run in which examples are looked for: some milliseconds of reading.
_AMONG = 20_000
#: People who were sent to whose messages are looked at, for examples by channel.
_AMONG_SENT = 500
_EACH = 3
#: Statuses after which nothing happens in a run any more.
ENDED = frozenset({"done", "cancelled", "refused", "missed"})


#: Status → what somebody can do to a run in it.
VERBS: Mapping[str, Sequence[str]] = {
    "awaiting_approval": ("approve", "refuse", "cancel"),
    "running": ("pause", "cancel"),
    "paused": ("resume", "cancel"),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """So many people of a run with one outcome, for one reason."""

    outcome: str
    channels: str  #: as read: "email and SMS"; empty: by none
    reason: str
    says: str
    people: int
    examples: Sequence[str] = ()  #: customer ids

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "outcome": self.outcome,
            "channels": self.channels,
            "reason": self.reason,
            "says": self.says,
            "people": self.people,
            "examples": list(self.examples),
        }


@dataclass(frozen=True, kw_only=True)
class Act:
    """What somebody did to a run."""

    act: str
    who: str
    at: datetime
    detail: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class RunSheet:
    """A run as its operator wants to see it."""

    run: Run
    progress: Progress
    outcomes: Sequence[Outcome]
    acts: Sequence[Act]
    definition: Mapping[str, Any]  #: the campaign's version that it is pinned to

    @property
    def waiting(self) -> int:
        """How many are not decided on yet."""
        return self.progress.people - self.progress.decided

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens in it any more."""
        return self.run.status in ENDED

    @property
    def plan(self) -> Plan | None:
        """What was shown before the launch; None: none was kept."""
        return Plan.from_json(self.run.plan) if self.run.plan else None

    @property
    def approved(self) -> Act | None:
        """The approval, where there was one."""
        return next((one for one in self.acts if one.act == "approved"), None)

    @property
    def verbs(self) -> Sequence[str]:
        """What can be done to it now: subcommands of ``signalpost campaign``."""
        return VERBS.get(self.run.status, ("cancel",))

    @cached_property
    def audience(self) -> Sequence[str]:
        """Whom it is for, in words; empty when this version cannot read its file any more."""
        try:
            return audience_words.in_words(from_definition(self.definition).audience)
        except SignalpostError:
            return ()

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values, without plan and definition."""
        return {
            **run_json(self.run),
            "progress": _progress_json(self.progress),
            "outcomes": [one.to_json() for one in self.outcomes],
            "acts": [
                {"act": one.act, "who": one.who, "at": one.at.isoformat(), "detail": one.detail}
                for one in self.acts
            ],
        }


def run_json(run: Run) -> dict[str, Any]:
    """Give a run as JSON values; of its plan, the digest by which it is approved."""
    return {
        "id": run.id,
        "campaign": run.campaign,
        "version": run.version,
        "occurrence": run.occurrence,
        "stage": run.stage,
        "series": run.series,
        "facts": dict(run.facts),
        "status": run.status,
        "reason": run.reason,
        "digest": run.plan.get("digest"),
        "scheduled_at": _moment(run.scheduled_at),
        "local_at": run.local_at,
        "test_on": run.sample_of,
        "people": run.people,
        "created_at": _moment(run.created_at),
        "started_at": _moment(run.started_at),
        "ended_at": _moment(run.ended_at),
        "run_id": run.run_id,
    }


def _progress_json(progress: Progress) -> dict[str, Any]:
    return {
        "people": progress.people,
        "decided": progress.decided,
        "share": progress.share,
        "per_second": progress.per_second,
        "eta": _moment(progress.eta),
        "next_due": _moment(progress.next_due),
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def run_sheet(session: Session, *, which: str, now: datetime) -> RunSheet:
    """Read a run by its id, or the latest run of the campaign of that name.

    Raises:
        NotFoundError: there is neither.
    """
    run = runs.find(session, which=which)
    progress = runs.progress(session, campaign_run_id=run.id, now=now)
    return RunSheet(
        run=run,
        progress=progress,
        outcomes=outcomes(progress, _examples(session, run.id)),
        acts=[
            Act(act=row["act"], who=row["who"], at=row["at"], detail=row["detail"])
            for row in record.acts(session, campaign_run_id=run.id)
        ],
        definition=record.definition(session, version=run.version) or {},
    )


@dataclass(frozen=True)
class _Examples:
    """Some people of a run: of who was sent to by channels, of everybody else by outcome and reason."""

    others: Mapping[tuple[str, str], Sequence[str]]
    sent: Mapping[frozenset[str], Sequence[str]]

    def of(self, outcome: str, channels: str, code: str) -> Sequence[str]:
        """Give some of those with this outcome; nobody rather than somebody of another channel."""
        if outcome == "sent":
            return self.sent.get(frozenset(channels.split("+")), ())
        return self.others.get((outcome, code), ())


def _examples(session: Session, run_id: str) -> _Examples:
    return _Examples(
        others=overview.campaign_examples(
            session, campaign_run_id=run_id, among=_AMONG, each=_EACH
        ),
        sent=overview.campaign_examples_by_channel(
            session, campaign_run_id=run_id, among=_AMONG_SENT, each=_EACH
        ),
    )


_ORDER = ("sent", "held_out", "skipped", "set_aside", "cancelled")


def outcomes(progress: Progress, examples: _Examples | None = None) -> list[Outcome]:
    """Put a run's counts in order: what was sent first, then by how many people."""
    found = [
        Outcome(
            outcome=outcome,
            channels=_channels(channels),
            reason=code,
            says=shared_reason(outcome, code),
            people=people,
            examples=examples.of(outcome, channels, code) if examples else (),
        )
        for (outcome, channels, code), people in progress.counts.items()
    ]
    place = {name: number for number, name in enumerate(_ORDER)}
    return sorted(found, key=lambda one: (place.get(one.outcome, len(_ORDER)), -one.people))


def _channels(together: str) -> str:
    return " and ".join(channel_name(one) for one in together.split("+") if one)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A run in the list of runs."""

    run: Run
    progress: Progress

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return run_json(self.run) | {"progress": _progress_json(self.progress)}


def rate(per_second: float) -> str:
    """Say how fast it goes, in the unit in which that is a number of people."""
    for seconds, unit in ((1, "a second"), (60, "a minute")):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:,.0f} {unit}"
    return f"{per_second * 3600:,.0f} an hour"


def listed(
    session: Session, *, campaign: str | None = None, limit: int = 50, now: datetime
) -> list[Listed]:
    """Give the newest runs with how far they are."""
    return [
        Listed(run=one, progress=runs.progress(session, campaign_run_id=one.id, now=now))
        for one in runs.latest(session, campaign=campaign, limit=limit)
    ]


@dataclass(frozen=True, kw_only=True)
class PersonOfRun:
    """One of the people of a run."""

    customer_id: str
    outcome: str | None
    reason: str
    says: str
    arm: str | None
    due_at: datetime
    decided_at: datetime | None


def people(
    session: Session,
    *,
    campaign_run_id: str,
    outcome: str | None,
    reason: str | None = None,
    limit: int = 100,
) -> list[PersonOfRun]:
    """Give some of the people of a run who have this outcome; None: who are not decided on yet."""
    rows = overview.campaign_people(
        session, campaign_run_id=campaign_run_id, outcome=outcome, reason=reason, limit=limit
    )
    return [
        PersonOfRun(
            customer_id=row.customer_id,
            outcome=row.outcome,
            reason=row.reason or "",
            says=why(row),
            arm=row.arm,
            due_at=row.due_at,
            decided_at=row.decided_at,
        )
        for row in rows
    ]
