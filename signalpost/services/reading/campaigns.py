"""What campaigns decided about a customer, in the words that journeys use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from signalpost.domain.reason_words import channel_name, reason, to_measure
from signalpost.record import timeline as record
from signalpost.record.campaigns import CampaignPerson, CampaignRun

#: What to call somebody on whom nothing is decided yet.
OPEN = "open"

#: The reason on the place of somebody who was merged into another: that one is asked instead.
_MERGED = "merged"

_HEADS: Mapping[str, str] = {
    "sent": "Sent {title}{by}",
    "skipped": "Did not send {title}",
    "held_out": "Held out on purpose from {title}",
    "set_aside": "Set aside in {title}",
    "cancelled": "Did not send {title}",
    OPEN: "Waits in {title} until {due}{so_far}",
}


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
    """Tell of every run that had this customer among its people, once.

    Whoever was merged since the run began has a place there that says so; it is told when it is all
    that the run has of them.
    """
    asked = {row.campaign_run_id for row in found.campaign_people if row.reason != _MERGED}
    for row in found.campaign_people:
        if row.reason == _MERGED and row.campaign_run_id in asked:
            continue
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
        "channels": [{**one, "says": _verdict(one)} for one in row.verdicts],
        "due_at": row.due_at.isoformat() if row.outcome is None else None,
    }
    return {key: value for key, value in known.items() if value}


def sentence(row: CampaignPerson, run: CampaignRun, *, channels: Sequence[str]) -> str:
    """Say in one sentence what a run decided about a person, and why."""
    outcome = row.outcome or OPEN
    by = " and ".join(dict.fromkeys(channel_name(one) for one in channels))
    head = _HEADS.get(outcome, f"{{title}}: {outcome.replace('_', ' ')}").format(
        title=title(run),
        by=f" by {by}" if by else "",
        so_far=f" (sent by {by} so far)" if by else "",
        due=f"{row.due_at:%-d %B %Y, %H:%M %Z}",
    )
    because = why(row)
    return f"{head}: {because}." if because else f"{head}."


def why(row: CampaignPerson) -> str:
    """Say why a run decided so about a person: the reason, and each channel's own."""
    outcome, code = row.outcome or OPEN, row.reason or ""
    others = [one for one in row.verdicts if one.get("outcome") != "held_out"]
    said = any(_code(one) == code for one in others) or (code == "allowed" and others)
    own = "" if said else _in_words(outcome, code)
    return "; ".join(filter(None, [own, *(_by_channel(row, one) for one in others)]))


def _in_words(outcome: str, code: str) -> str:
    if outcome == "held_out":
        return to_measure(code)
    return reason(code, {}) if code else ""


def _by_channel(row: CampaignPerson, verdict: Mapping[str, Any]) -> str:
    if not verdict.get("channel"):
        return _verdict(verdict)
    not_ = "not " if row.outcome == "sent" else ""
    return f"{not_}by {channel_name(verdict['channel'])}, {_verdict(verdict)}"


def _verdict(verdict: Mapping[str, Any]) -> str:
    if verdict.get("outcome") == "held_out":
        return to_measure(_code(verdict))
    return reason(_code(verdict), verdict.get("detail") or {})


def _code(verdict: Mapping[str, Any]) -> str:
    return str(verdict.get("reason") or "")
