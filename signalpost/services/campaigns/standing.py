"""How a campaign's run stands, in words and as a table: for Prefect's pages, a terminal, a page."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from signalpost.domain.reason_words import channel_name, shared_reason
from signalpost.services.campaigns.runs import Progress, Run

#: What becomes of people, in the order in which it is said.
_OUTCOMES: Mapping[str, str] = {
    "sent": "sent",
    "held_out": "held out",
    "skipped": "skipped",
    "set_aside": "set aside",
    "cancelled": "cancelled",
}


def counted(counts: Counter[tuple[str, str, str]]) -> str:
    """Say what became of how many: ``41,200 sent, 1,300 skipped``."""
    totals = Counter[str]()
    for (outcome, _, _), people in counts.items():
        totals[outcome] += people
    said = [f"{totals[name]:,} {word}" for name, word in _OUTCOMES.items() if totals[name]]
    return ", ".join(said)


def in_words(run: Run, progress: Progress, *, now: datetime) -> str:
    """Say how a run stands, and what happens next."""
    left = progress.people - progress.decided
    so_far = counted(progress.counts)
    done = f"{so_far}; " if so_far else ""
    why = f" ({run.reason})" if run.reason else ""
    if run.status == "running" and progress.next_due is not None and progress.next_due > now:
        when = f"{progress.next_due:%d %b %H:%M} UTC"
        return f"{done}{left:,} wait, the first of them until {when}. It continues by itself."
    if run.status == "running" and left:
        if run.reason:
            return f"{done}{left:,} are still to come, and nobody sends them: {run.reason}."
        return f"{done}{left:,} are still to come. It continues by itself."
    if run.status == "paused":
        return f"{done}paused{why}; {left:,} keep their places until somebody resumes it."
    if run.status == "approved":
        return f"Approved. It begins on {run.scheduled_at:%d %b %Y at %H:%M} UTC, by itself."
    if run.status == "done":
        return f"{so_far or 'Nobody was in the audience'}. Done."
    return f"{done}{run.status.replace('_', ' ')}{why}."


def table(counts: Counter[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Give outcomes by channel and reason as rows, the most frequent first."""
    return [
        {
            "outcome": _OUTCOMES.get(outcome, outcome),
            "channels": " and ".join(channel_name(one) for one in channels.split("+") if one),
            "reason": shared_reason(outcome, why),
            "people": people,
        }
        for (outcome, channels, why), people in counts.most_common()
    ]
