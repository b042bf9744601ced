"""Consents and suppressions: what customers permit, and what we block whatever they permit.

Both are append-only; the latest statement that covers a channel and topic counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.record import consents as record
from signalpost.record.base import new_id

#: Strictest first.
STRICTNESS = ("denied", "pending", "granted")
#: The source of consents that came as a trait: a snapshot, repeated with every identify.
TRAITS = "traits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What somebody said about one channel and topic (``*``: all)."""

    channel: str
    topic: str
    status: str  #: granted | denied | pending
    source: str
    at: datetime
    wording: str | None = None
    told: bool = (
        False  #: said elsewhere, at ``at``; it may come late, and after what was said later
    )


def standing(statements: Iterable[Any], channel: str, topic: str) -> str | None:
    """Return the status for a channel and topic; None when nobody ever said anything.

    ``statements`` are oldest first. Asked for ``*`` it looks at statements about all of them only.
    """
    status = None
    for said in statements:
        if said.channel in (channel, "*") and said.topic in (topic, "*"):
            status = said.status
    return status


def changes(statements: Sequence[Any], said: Statement) -> bool:
    """Tell whether a statement says something new, given the earlier ones (oldest first).

    A trait repeats what some system believes, so it never lifts what the customer withdrew
    themselves; ``consent.granted`` does.
    """
    if said.status == "pending" and standing(statements, said.channel, said.topic) == "granted":
        return False  # a question does not take back what was given
    same = [s for s in statements if (s.channel, s.topic) == (said.channel, said.topic)]
    if said.source.startswith(TRAITS):
        if said.status == "granted" and _withdrawn(statements, said):
            return False
        return not same or same[-1].status != said.status
    if not same or same[-1].status != said.status:
        return True
    if said.told and said.status == "denied" and said.at > same[-1].at:
        return True  # an older yes may still come, and must find this later no
    since = statements[[s is same[-1] for s in statements].index(True) :]
    return any(s.status != said.status for s in since if _overlaps(s, said))


def _overlaps(one: Any, other: Any) -> bool:
    return all(
        "*" in pair or pair[0] == pair[1]
        for pair in ((one.channel, other.channel), (one.topic, other.topic))
    )


def _withdrawn(statements: Sequence[Any], said: Statement) -> bool:
    own = [
        s
        for s in statements
        if not s.source.startswith(TRAITS)
        and s.channel in (said.channel, "*")
        and s.topic in (said.topic, "*")
    ]
    return bool(own) and own[-1].status == "denied"


def record_statements(
    session: Session, *, said: Sequence[tuple[str, Statement]], now: datetime
) -> int:
    """Append the statements (root customer id, statement) that change something; return how many."""
    if not said:
        return 0
    known = record.statements(session, {root for root, _ in said})
    rows = []
    for root, statement in said:
        earlier = known.setdefault(root, [])
        if changes(earlier, statement):
            earlier.append(statement)  # type: ignore[arg-type]
            earlier.sort(key=lambda one: one.at)
            rows.append(_row(root, statement, now))
    record.add(session, rows)
    return len(rows)


def _row(customer_id: str, said: Statement, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "customer_id": customer_id,
        "channel": said.channel,
        "topic": said.topic,
        "status": said.status,
        "source": said.source,
        "wording": said.wording,
        "at": said.at,
        "recorded_at": now,
    }


def state(
    session: Session, *, customer_ids: Iterable[str], channel: str, topic: str
) -> dict[str, str | None]:
    """Return the standing consent of root customers for a channel and topic."""
    known = record.statements(session, customer_ids)
    return {root: standing(known.get(root, ()), channel, topic) for root in customer_ids}


def take_strictest(
    session: Session, *, kept_id: str, merged_id: str, source: str, now: datetime
) -> int:
    """Append to ``kept_id`` what two customers, about to be one, disagree on: the stricter wins.

    To be called before their roots are joined. Returns how many statements were appended.
    """
    known = record.statements(session, [kept_id, merged_id])
    one, other = known.get(kept_id, []), known.get(merged_id, [])
    both = sorted([*one, *other], key=lambda row: (row.at, row.id))
    wanted = {
        key: min(filter(None, (standing(one, *key), standing(other, *key))), key=STRICTNESS.index)
        for key in _general_first(both)
    }
    return _bring_to(session, kept_id, both, wanted, source=source, now=now)


def undo_strictest(
    session: Session, *, kept_id: str, merge_source: str, source: str, now: datetime
) -> int:
    """Append to ``kept_id`` what brings its consent back to where it were without that merge."""
    rows = record.statements(session, [kept_id]).get(kept_id, [])
    own = [row for row in rows if row.source != merge_source]
    wanted = {
        key: standing(own, *key) or "pending"
        for key in _general_first([row for row in rows if row.source == merge_source] + own)
    }
    return _bring_to(session, kept_id, rows, wanted, source=source, now=now)


def _general_first(rows: Iterable[Any]) -> list[tuple[str, str]]:
    keys = {(row.channel, row.topic) for row in rows}
    return sorted(keys, key=lambda key: (-key.count("*"), key))


def _bring_to(
    session: Session,
    customer_id: str,
    rows: Sequence[Any],
    wanted: Mapping[tuple[str, str], str],
    *,
    source: str,
    now: datetime,
) -> int:
    """Append statements, general ones first, until each key stands where it is wanted."""
    said: list[Any] = list(rows)
    added = []
    for (channel, topic), status in wanted.items():
        if standing(said, channel, topic) != status:
            statement = Statement(
                channel=channel, topic=topic, status=status, source=source, at=now
            )
            said.append(statement)
            added.append(_row(customer_id, statement, now))
    record.add(session, added)
    return len(added)
