"""What campaigns decided about a customer, in the words that journeys use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from signalpost.domain.reason_words import channel_name, reason
from signalpost.record import timeline as record
from signalpost.record.campaigns import CampaignPerson, CampaignRun

#: What to call somebody on whom nothing is decided yet.
OPEN = "open"

_HEADS: Mapping[str, str] = {
    "sent": "Sent {title}{by}",
    "skipped": "Did not send {title}",
    "held_out": "Held out on purpose from {title}",
    "set_aside": "Set aside in {title}",
    "cancelled": "Did not send {title}",
    OPEN: "Waits in {title} until {due}",
}
#: Outcome → what to say when the record gives no reason, or one that the head says already.
_PLAIN: Mapping[str, str] = {
    "held_out": "nothing was sent, so that the effect can be measured",
    "cancelled": "the run was cancelled",
}
_SAID = frozenset({"", "allowed", "holdout", "held_out", "control", "cancelled"})


@dataclass(frozen=True, kw_only=True)
class Passage:
    """One customer's passage through one run of a campaign."""

    run: CampaignRun
    customer_id: str
    at: datetime
    outcome: str  #: sent | skipped | held_out | set_aside | cancelled | open
    reason: str
    messages: Sequence[str]  #: the folders' names of what was sent
    says: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The run's name for a reader."""
        return title(self.run)


def title(run: CampaignRun) -> str:
    """Name a run for a reader: ``service-notice · update · INC-7``."""
    return " · ".join(part for part in (run.campaign, run.stage, run.series) if part)


def passages(found: record.History) -> Iterator[Passage]:
    """Tell of every run that had this customer among its people."""
    for row in found.campaign_people:
        run = found.campaign_runs[row.campaign_run_id]
        sent = [one for one in found.messages if one.campaign_run_id == run.id]
        yield Passage(
            run=run,
            customer_id=row.customer_id,
            at=row.decided_at or run.started_at or run.created_at,
            outcome=row.outcome or OPEN,
            reason=row.reason or "",
            messages=list(dict.fromkeys(one.message for one in sent)),
            says=sentence(row, run, channels=[one.channel for one in sent]),
            detail=_detail(row),
        )


def _detail(row: CampaignPerson) -> dict[str, Any]:
    known = {
        "arm": row.arm,
        "channels": [{**one, "says": says} for one, says in _said(row.verdicts)],
        "due_at": row.due_at.isoformat() if row.outcome is None else None,
    }
    return {key: value for key, value in known.items() if value}


def sentence(row: CampaignPerson, run: CampaignRun, *, channels: Sequence[str]) -> str:
    """Say in one sentence what a run decided about a person, and why."""
    outcome = row.outcome or OPEN
    by = " and ".join(dict.fromkeys(channel_name(one) for one in channels))
    head = _HEADS.get(outcome, f"{{title}}: {outcome.replace('_', ' ')}").format(
        title=title(run), by=f" by {by}" if by else "", due=f"{row.due_at:%-d %B %Y, %H:%M %Z}"
    )
    why = "; ".join(filter(None, [_why(row, outcome), *_channels(row)]))
    return f"{head}: {why}." if why else f"{head}."


def _why(row: CampaignPerson, outcome: str) -> str:
    """The reason, unless a channel's verdict says the same."""
    code = row.reason or ""
    if outcome == "sent" and code == "allowed":
        return "" if row.verdicts else reason(code, {})
    if code in _SAID:
        return _PLAIN.get(outcome, "")
    if any(_code(one) == code for one in row.verdicts):
        return ""
    return reason(code, {})


def _channels(row: CampaignPerson) -> list[str]:
    return [
        f"{'not ' if row.outcome == 'sent' else ''}by {channel_name(one.get('channel'))}, {says}"
        if one.get("channel")
        else says
        for one, says in _said(row.verdicts)
    ]


def _said(verdicts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    for one in verdicts:
        yield one, reason(_code(one), one.get("detail") or {})


def _code(verdict: Mapping[str, Any]) -> str:
    return str(verdict.get("reason") or "")
