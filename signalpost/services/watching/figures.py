"""The figures of the record that instruments show: how late, how many, since when.

Each is asked of the record when somebody looks, so it is right whichever process answers and whatever
died before. Labels are names and codes, never anything about a person.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain.vocabulary import Lane
from signalpost.record import figures, provider_accounts

#: What "lately" means.
WINDOW = timedelta(minutes=15)

#: Every figure of the record: its name → what it says, and its labels.
FIGURES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "signalpost_record_up": ("1 when the record answered this time, else 0.", ()),
    "signalpost_lane_oldest_due_seconds": (
        "How long the person has waited who is due longest and whom no worker has; 0: nobody waits.",
        ("lane",),
    ),
    "signalpost_lane_due": ("People who are due and whom no worker has, up to 10,000.", ("lane",)),
    "signalpost_campaign_idle_seconds": (
        "How long a running campaign has had people due and nobody sending.",
        ("campaign", "run"),
    ),
    "signalpost_campaign_people": (
        "People in a run that is not over.",
        ("campaign", "run", "status"),
    ),
    "signalpost_campaign_decided": (
        "People of a run that is not over who have an outcome.",
        ("campaign", "run", "outcome"),
    ),
    "signalpost_recent_messages": (
        "Messages decided on lately, by where they stand now.",
        ("channel", "purpose", "status", "reason"),
    ),
    "signalpost_recent_messages_seconds": (
        "How long 'lately' is: 900, or less when the newest 5,000 fill less.",
        (),
    ),
    "signalpost_recent_decisions": (
        "Decisions made lately in journeys, by outcome and reason.",
        ("kind", "channel", "outcome", "reason"),
    ),
    "signalpost_recent_decisions_seconds": ("How long 'lately' is.", ()),
    "signalpost_recent_signals": ("Signals accepted lately, by status.", ("status",)),
    "signalpost_recent_signals_seconds": ("How long 'lately' is.", ()),
    "signalpost_unknown_messages": (
        "Messages of which nobody knows whether the provider took them, up to 10,000.",
        ("channel",),
    ),
    "signalpost_unknown_oldest_seconds": ("How long the oldest of them has been so.", ("channel",)),
    "signalpost_webhook_age_seconds": (
        "How long ago a provider last told us anything.",
        ("provider",),
    ),
    "signalpost_circuit_open": (
        "1 while nothing, or no marketing, goes to an account of a provider, else 0.",
        ("account", "code"),
    ),
    "signalpost_account_slow": ("1 while an account delivers slowly, else 0.", ("account",)),
    "signalpost_parked_events": ("Events that wait for an order, a time or a repair.", ()),
    "signalpost_open_cases": (
        "Cases that are not closed, up to 10,000.",
        ("kind", "status", "priority"),
    ),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number under one name; ``labels`` in the order of ``FIGURES``."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


@dataclass
class Looks:
    """Looks at the record; remembers when each provider last spoke, however long ago."""

    heard: dict[str, datetime] = field(default_factory=dict)

    def look(self, session: Session, *, now: datetime) -> list[Figure]:
        """Give every figure, as it is now."""
        return [
            Figure("signalpost_record_up", 1),
            *_lanes(session, now),
            *_campaigns(session, now),
            *_recent(session, now),
            *_unknown(session, now),
            *_accounts(session),
            *self._webhooks(session, now),
            Figure("signalpost_parked_events", figures.parked(session)),
            *(
                Figure("signalpost_open_cases", row["number"], _texts(row, "signalpost_open_cases"))
                for row in figures.open_cases(session)
            ),
        ]

    def _webhooks(self, session: Session, now: datetime) -> Iterator[Figure]:
        self.heard.update(figures.last_receipts(session))
        for provider, at in sorted(self.heard.items()):
            yield Figure("signalpost_webhook_age_seconds", _age(at, now), (provider,))


def _lanes(session: Session, now: datetime) -> Iterator[Figure]:
    oldest = figures.oldest_due(session, now=now)
    due = figures.due(session, now=now)
    for lane in Lane:
        late = _age(oldest[lane], now) if lane in oldest else 0.0
        yield Figure("signalpost_lane_oldest_due_seconds", late, (lane.value,))
        yield Figure("signalpost_lane_due", due[lane], (lane.value,))


def _campaigns(session: Session, now: datetime) -> Iterator[Figure]:
    for row in figures.idle_campaigns(session, now=now):
        labels = row["campaign"], row["id"]
        yield Figure("signalpost_campaign_idle_seconds", _age(row["since"], now), labels)
    people: dict[tuple[str, str, str], int] = {}
    decided: Counter[tuple[str, str, str]] = Counter()
    for row in figures.open_runs(session):
        people[row["campaign"], row["id"], row["status"]] = row["people"] or 0
        for key, number in (row["counts"] or {}).items():
            decided[row["campaign"], row["id"], key.split(":", 1)[0]] += number
    for labels, number in people.items():
        yield Figure("signalpost_campaign_people", number, labels)
    for labels, number in decided.items():
        yield Figure("signalpost_campaign_decided", number, labels)


def _recent(session: Session, now: datetime) -> Iterator[Figure]:
    for what in ("messages", "decisions", "signals"):
        name = f"signalpost_recent_{what}"
        found, length = figures.lately(session, what, now=now, window=WINDOW)
        yield Figure(f"{name}_seconds", length.total_seconds())
        for labels, number in found.items():
            yield Figure(name, number, labels)


def _unknown(session: Session, now: datetime) -> Iterator[Figure]:
    for row in figures.unknown(session):
        yield Figure("signalpost_unknown_messages", row["number"], (row["channel"],))
        yield Figure(
            "signalpost_unknown_oldest_seconds", _age(row["since"], now), (row["channel"],)
        )


def _accounts(session: Session) -> Iterator[Figure]:
    for account, found in provider_accounts.standings(session).items():
        is_open, is_slow = found.circuit.is_open, found.slow_since is not None
        code = found.circuit.code or "" if is_open else ""
        yield Figure("signalpost_circuit_open", is_open, (account, code))
        yield Figure("signalpost_account_slow", is_slow, (account,))


def _texts(row: RowMapping, name: str) -> tuple[str, ...]:
    return tuple(str(row[label]) for label in FIGURES[name][1])


def _age(since: datetime, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0)
