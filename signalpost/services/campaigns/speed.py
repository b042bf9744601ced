"""How fast a run goes: over the time in which it could go, so neither a pause nor a night counts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from signalpost.record import campaign_speed, campaigns

#: Of a run that waited for a morning only the last stretch tells how fast it goes, and not all of it.
LATELY = timedelta(minutes=5)


def per_second(
    session: Session,
    *,
    campaign_run_id: str,
    began: datetime,
    until: datetime,
    due: datetime | None,
    counts: Counter[tuple[str, str, str]],
) -> float:
    """Say how many people a run decides on in a second, up to ``until``.

    ``due``: since when those have been due who are due now; None: nobody is.
    """
    acts = campaigns.acts(session, campaign_run_id=campaign_run_id)
    stretches = _stretches(acts, began, until)
    over_all = _rate(sum(counts.values()), _ran(stretches, began))
    if due is None or due <= began:
        return over_all
    lately = campaign_speed.written_to(
        session, campaign_run_id=campaign_run_id, since=_lately(stretches, began)
    )
    sent = sum(people for (outcome, _, _), people in counts.items() if outcome == "sent")
    if lately.first is None or not sent:  # nothing has left in this stretch yet
        return over_all
    # Whoever gets nothing has no message: as many of them as in the run so far.
    share = max(sum(counts.values()) / sent, 1.0)
    since = max(min(due, lately.first), lately.seen_since)
    return _rate(lately.people * share, _ran(stretches, since))


def _rate(people: float, length: timedelta) -> float:
    seconds = length.total_seconds()
    return people / seconds if seconds > 0 else 0.0


def _stretches(
    acts: Iterable[Mapping[Any, Any]], began: datetime, until: datetime
) -> list[tuple[datetime, datetime]]:
    """Give from when to when a run was not paused, in order."""
    found: list[tuple[datetime, datetime]] = []
    since: datetime | None = began
    for act in acts:
        if act["act"] == "paused" and since is not None:
            found.append((since, min(max(act["at"], since), until)))
            since = None
        elif act["act"] == "resumed" and since is None:
            since = min(act["at"], until)
    return found if since is None else [*found, (since, until)]


def _ran(stretches: Iterable[tuple[datetime, datetime]], since: datetime) -> timedelta:
    """Give how long a run was not paused since a moment."""
    return sum((to - max(start, since) for start, to in stretches if to > since), start=timedelta())


def _lately(stretches: Sequence[tuple[datetime, datetime]], began: datetime) -> datetime:
    """Give when those minutes began in which a run last went, whatever pauses are among them."""
    left = LATELY
    for start, to in reversed(stretches):
        if to - start >= left:
            return to - left
        left -= to - start
    return began
