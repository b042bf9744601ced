"""Why something was sent or not, in plain words: one sentence for each reason on the record."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.domain.program import Node
from signalpost.domain.reason_words import REASONS, channel_name, reason
from signalpost.record import timeline as record
from signalpost.record.decisions import DecisionRow
from signalpost.services.reading import campaigns

__all__ = [
    "REASONS", "Explained", "channel_name", "describe", "explain", "explain_all", "reason",
    "sentence", "why",
]  # fmt: skip

_OUTCOMES: Mapping[tuple[str, str], str] = {
    ("gate", "send"): "Decided to send {subject}{by}",
    ("gate", "skip"): "Did not send {subject}{by}",
    ("gate", "hold"): "Held {subject}{by}",
    ("entry", "entered"): "Entered the journey {subject}",
    ("entry", "joined"): "Joined the journey {subject}, which was running",
    ("entry", "not_entered"): "Did not enter the journey {subject}",
    ("step", "wait"): "Waits in {subject}",
    ("step", "woken"): "Woken in {subject}",
    ("step", "exited"): "Left {subject}",
    ("step", "set_aside"): "Set aside in {subject}",
    ("step", "resumed"): "Resumed in {subject}",
    ("step", "then"): "Yes, in {subject}",
    ("step", "otherwise"): "No, in {subject}",
}


def sentence(row: DecisionRow, *, node: Node | None = None) -> str:
    """Say a decision in one sentence; ``node`` is the journey's step that it is about."""
    subject = row.subject
    if row.kind == "step":
        journey, _, step = row.subject.partition(":")
        subject = f"{journey} ({describe(node) if node else f'step {step}'})"
    pattern = _OUTCOMES.get((row.kind, row.outcome))
    by = f" by {channel_name(row.channel)}" if row.channel else ""
    if pattern is None:
        head = f"{subject}{by}: {row.outcome.replace('_', ' ')}"
    else:
        head = pattern.format(subject=subject, by=by)
    return f"{head}: {reason(row.reason, row.detail)}."


def describe(node: Node) -> str:
    """Say in a few words what a step does."""
    maker = _STEPS.get(node.kind)
    return maker(node.args) if maker else node.kind.replace("_", " ")


def _chains(via: Sequence[Mapping[str, Any]]) -> str:
    chains = [" else ".join(map(channel_name, chain["channels"])) for chain in via]
    return " and ".join(
        f"preferred channel, else {text}" if chain["preferred"] else text
        for chain, text in zip(via, chains, strict=True)
    )


def _length(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = seconds / size
            return f"{number:g} {unit}{'' if number == 1 else 's'}"
    return f"{seconds:g} seconds"


def _wait(args: Mapping[str, Any]) -> str:
    clock = f", until {args['at']} in the {args['zone']}'s zone" if args["at"] else ""
    return f"wait {_length(args['seconds'])}{clock}"


def _waiting(args: Mapping[str, Any]) -> str:
    what, _, name = args["wait_for"].partition(":")
    length = _length(args["seconds"])
    return f"wait up to {length} for {'an answer to ' if what == 'answer' else ''}{name}"


def _question(args: Mapping[str, Any]) -> str:
    kind, _, name = args["subject"].partition(":")
    value = ", ".join(map(str, args["value"])) if isinstance(args["value"], list) else args["value"]
    op = _OPERATORS.get(args["op"], args["op"])
    return f"{'answer to ' if kind == 'answer' else ''}{name} {op} {value}?"


_OPERATORS: Mapping[str, str] = {
    "==": "is",
    "!=": "is not",
    "<": "below",
    "<=": "at most",
    ">": "above",
    ">=": "at least",
    "in": "one of",
}
_STEPS: Mapping[str, Any] = {
    "send": lambda args: f"send {args['message']} by {_chains(args['via'])}",
    "ask": lambda args: f"ask {args['message']} by {_chains(args['via'])}",
    "wait": _wait,
    "wait_for": _waiting,
    "branch": _question,
    "split": lambda args: f"split {args['name']}",
    "open_case": lambda args: f"open a {args['case']} case",
    "hand_off": lambda args: f"hand the {args['case']} case to {args['team']}",
    "close_case": lambda args: f"close the {args['case']} case: {args['outcome']}",
    "call": lambda args: f"call {args['hook']}",
    "recall": lambda args: f"recall the {args['what'].replace('_', ' ')}",
    "issue": lambda args: f"issue {args['promotion']}, {args['percent']} percent",
    "set": lambda args: f"set {args['name']}",
    "exit": lambda args: f"leave: {args.get('reason', '')}",
}


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One decision with its sentence."""

    at: datetime
    kind: str
    subject: str
    channel: str | None
    outcome: str
    reason: str
    says: str
    enrolment_id: str | None = None
    campaign_run_id: str | None = None
    message_id: str | None = None
    run_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return asdict(self) | {"at": self.at.isoformat()}


def explain(row: DecisionRow, programs: Mapping[str, Mapping[str, Any]], version: str) -> Explained:
    """Explain one decision; ``programs`` are the pinned journeys as kept, by version."""
    return Explained(
        at=row.at,
        kind=row.kind,
        subject=row.subject,
        channel=row.channel,
        outcome=row.outcome,
        reason=row.reason,
        says=sentence(row, node=_node(row, programs.get(version))),
        enrolment_id=row.enrolment_id,
        message_id=row.message_id,
        run_id=row.run_id,
        detail=row.detail,
    )


def _node(row: DecisionRow, program: Mapping[str, Any] | None) -> Node | None:
    if row.kind != "step" or program is None:
        return None
    found = program["nodes"].get(row.subject.partition(":")[2])
    return Node(**found) if found else None


def why(
    session: Session, *, customer_id: str, about: str | None = None, limit: int = 500
) -> list[Explained]:
    """Explain a person's decisions, oldest first; ``about`` keeps one message, journey or campaign.

    Raises:
        NotFoundError: there is no such customer.
    """
    ids = record.family(session, customer_id)
    found = record.history(session, ids, limit=limit, with_programs=True)
    return explain_all(found, about=about)


def explain_all(found: record.History, *, about: str | None = None) -> list[Explained]:
    """Explain the decisions of a history, oldest first: those of journeys and those of campaigns."""
    both = [*explain_journeys(found, about=about), *_of_campaigns(found, about)]
    return sorted(both, key=lambda one: one.at)


def explain_journeys(found: record.History, *, about: str | None = None) -> list[Explained]:
    """Explain what journeys decided, in the order of the history."""
    chosen = []
    for row in found.decisions:
        enrolment = found.enrolments.get(row.enrolment_id or "")
        names = {row.subject, row.subject.partition(":")[0], enrolment and enrolment.journey}
        if about is None or about in names:
            chosen.append(explain(row, found.programs, enrolment.version if enrolment else ""))
    return chosen


def _of_campaigns(found: record.History, about: str | None) -> list[Explained]:
    return [
        Explained(
            at=one.at,
            kind="campaign",
            subject=one.title,
            channel=None,
            outcome=one.outcome,
            reason=one.reason,
            says=one.says,
            campaign_run_id=one.run.id,
            run_id=one.run.run_id,
            detail=one.detail,
        )
        for one in campaigns.passages(found)
        if about in (None, one.run.campaign, *one.messages)
    ]
