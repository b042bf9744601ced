"""Why something was sent or not, in plain words: one sentence for each reason on the record."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.domain.program import Node
from signalpost.errors import NotFoundError
from signalpost.record import timeline as record
from signalpost.record.decisions import DecisionRow

#: Reason code → sentence. ``{…}`` are filled from the decision's detail.
REASONS: Mapping[str, str] = {
    # the gate
    "allowed": "every rule of its purpose allowed it",
    "next_channel": "the channel before it did not work, so this one was tried",
    "no_contact_point": "there is no address for this channel",
    "unverified_contact_point": "the address is not known to be the customer's own",
    "not_written_for_channel": "the message is not written for this channel",
    "suppressed_stop": "the customer said STOP on this channel",
    "suppressed_hard_bounce": "an earlier message to this address came back: it does not exist",
    "suppressed_complaint": "the customer reported an earlier message as unwanted",
    "suppressed_unsubscribe": "the customer unsubscribed",
    "suppressed_bad_address": "the provider says that this address cannot be written to",
    "suppressed_manual": "an operator blocked this address",
    "no_consent": "marketing needs the customer's consent, and there is none",
    "consent_denied": "the customer said no to this kind of message (since {since})",
    "consent_pending": "the customer's consent is not confirmed yet",
    "holdout": "the customer is among those held out, so that marketing can be measured",
    "duplicate": "the same message was sent not long ago (at {last_sent})",
    "frequency_cap": "the customer has had as much marketing as the cap allows ({cap})",
    "quiet_hours": "it is night where the customer is; it goes out at {until}",
    "expired": "it came too late to be of use (after {expired_at})",
    "expires_before_morning": "it would be too late by the time it may be sent ({until})",
    "already_happened": "what it is about had happened already ({event})",
    "render_failed": "the template broke on this customer's values",
    "missing_fact": "a fact that it must show is missing: {subject}",
    "bad_fact": "a fact that it must show is not of its type: {subject}",
    "sender_stopped": "its sender stopped half way, so nobody knows whether it went out",
    "provider_refuses": "the provider put it off again and again ({subject})",
    # entry into a journey
    "stale_event": "the event is too old to act on",
    "already_entered": "the customer has entered it for the same thing before",
    "still_inside": "the customer is inside already",
    # steps
    "waits": "it waits until {until}",
    "timeout": "what it waited for did not come in time",
    "event_came": "{name} came",
    "answer_came": "the customer answered {name}",
    "branch": "the question was: {condition}",
    "split": "the customer always falls on this side of {name}",
    "issue": "the promotion {promotion_id} was issued",
    "set": "the attribute {name} was set",
    "handed_off": "the case went to a person in {team}",
    "case_closed": "the case was closed",
    "called": "{hook} was called",
    "by_operator": "an operator says that what stopped it is repaired",
}

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

_CHANNELS: Mapping[str, str] = {
    "sms": "SMS",
    "email": "email",
    "in_app": "in-app",
    "whatsapp": "WhatsApp",
    "messenger": "Messenger",
}


def channel_name(channel: str | None) -> str:
    """A channel as people write it."""
    return _CHANNELS.get(channel or "", channel or "")


def reason(code: str, detail: Mapping[str, Any]) -> str:
    """Say a reason in plain words; an unknown code is shown as it is, spaces for underscores."""
    name, _, subject = code.partition(":")
    sentence = REASONS.get(code) or REASONS.get(name)
    if sentence is None:
        return f"{code} came" if "." in code and " " not in code else code.replace("_", " ")
    known = {key: _shown(value) for key, value in detail.items()}
    return sentence.format_map(_Known({**known, "subject": subject}))


class _Known(dict[str, str]):
    """What is not known is left out of a sentence, rather than breaking it."""

    def __missing__(self, key: str) -> str:
        return "…"


def _shown(value: Any) -> str:
    if isinstance(value, str) and len(value) > 16 and value[10:11] == "T":
        try:
            return f"{datetime.fromisoformat(value):%-d %B %Y, %H:%M %Z}"
        except ValueError:
            return value
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


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
    """Explain a person's decisions, oldest first; ``about`` keeps one message's or journey's.

    Raises:
        NotFoundError: there is no such customer.
    """
    root = record.root_of(session, customer_id)
    if root is None:
        raise NotFoundError(f"There is no customer {customer_id}.")
    found = record.history(session, record.profile(session, root), limit=limit)
    return explain_all(found, about=about)


def explain_all(found: record.History, *, about: str | None = None) -> list[Explained]:
    """Explain the decisions of a history."""
    chosen = []
    for row in found.decisions:
        enrolment = found.enrolments.get(row.enrolment_id or "")
        names = {row.subject, row.subject.partition(":")[0], enrolment and enrolment.journey}
        if about is None or about in names:
            chosen.append(explain(row, found.programs, enrolment.version if enrolment else ""))
    return chosen
