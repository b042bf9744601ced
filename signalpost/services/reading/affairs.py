"""The timeline's part about what happened and what was decided: all but the messages themselves."""

from collections.abc import Iterator, Mapping
from typing import Any

from signalpost.domain.reason_words import channel_name
from signalpost.record import timeline as record
from signalpost.services.reading import campaigns
from signalpost.services.reading.entries import Entry, known
from signalpost.services.reading.why import explain_journeys


def entries(found: record.History) -> Iterator[Entry]:
    """Tell it all, in no order."""
    yield from _events(found)
    yield from _decisions(found)
    yield from _campaigns(found)
    yield from _cases(found)
    yield from _hook_calls(found)
    yield from _identity(found)
    yield from _permissions(found)
    yield from _journeys(found)


_EVENT_NEWS = {
    "parked": ("warn", ", parked"),
    "historic": ("quiet", ", too old to act on"),
    "conflict": ("bad", ", refused: its id came before with another body"),
    "guest": ("quiet", ", from a guest"),
}


def _events(found: record.History) -> Iterator[Entry]:
    merges = {merge.id for merge in found.merges}
    for row in found.events:
        if row.name in ("customer.merged", "customer.unmerged") and (
            row.facts.get("merge_id") in merges
        ):
            continue  # told by the merge itself
        tone, news = _EVENT_NEWS.get(row.status, ("plain", ""))
        why = f": {row.reason.replace('_', ' ')}" if row.reason and row.status == "parked" else ""
        yield Entry(
            at=min(row.occurred_at, row.received_at),
            kind="event",
            id=row.id,
            says=f"{row.name}{news}{why}",
            tone=tone,
            detail=known(
                facts=row.facts,
                source=row.source,
                status=row.status,
                note=row.reason,
                occurred_at=row.occurred_at,
                received_at=row.received_at,
            ),
            rank=(row.id, 0),
        )


_LOUDNESS = {"skip": "warn", "hold": "warn", "set_aside": "bad", "not_entered": "warn"}


def _decisions(found: record.History) -> Iterator[Entry]:
    for row, explained in zip(found.decisions, explain_journeys(found), strict=True):
        yield Entry(
            at=row.at,
            kind="decision",
            id=row.id,
            says=explained.says,
            tone=_LOUDNESS.get(row.outcome, "quiet"),
            channel=row.channel,
            message_id=row.message_id,
            enrolment_id=row.enrolment_id,
            run_id=row.run_id,
            detail=known(outcome=row.outcome, reason=row.reason, **row.detail),
            rank=(row.message_id or row.id, 0),
        )


_CAMPAIGN_TONE = {"skipped": "warn", "open": "warn", "set_aside": "bad", "cancelled": "warn"}


def _campaigns(found: record.History) -> Iterator[Entry]:
    for one in campaigns.passages(found):
        yield Entry(
            at=one.at,
            kind="campaign",
            id=f"{one.run.id}-{one.customer_id}",
            says=one.says,
            tone=_CAMPAIGN_TONE.get(one.outcome, "quiet"),
            campaign_run_id=one.run.id,
            run_id=one.run.run_id,
            detail=known(outcome=one.outcome, reason=one.reason, **one.detail),
        )


def _cases(found: record.History) -> Iterator[Entry]:
    for row in found.case_entries:
        case = found.cases[row.case_id]
        yield Entry(
            at=row.at,
            kind="case",
            id=row.id,
            says=f"{case.kind.capitalize()} case {row.what}: {_case_news(row.what, row.detail, case)}",
            tone="bad" if case.priority == "high" and row.what != "closed" else "plain",
            enrolment_id=case.enrolment_id,
            detail=known(
                **{"case_id": case.id, "team": case.team, "assignee": case.assignee, **row.detail}
            ),
            rank=(row.id, 5),
        )


def _case_news(what: str, detail: Mapping[str, Any], case: Any) -> str:
    if what == "closed":
        return str(detail.get("outcome") or case.outcome or "done").replace("_", " ")
    if what in ("assigned", "raised"):
        return f"{detail.get('assignee') or case.assignee} in {case.team}, {case.priority} priority"
    return str(detail.get("reason") or case.reason)


def _hook_calls(found: record.History) -> Iterator[Entry]:
    tones = {"done": "good", "calling": "quiet", "retry": "warn"}
    for row in found.hook_calls:
        tries = "once" if row.attempts <= 1 else f"{row.attempts} times"
        yield Entry(
            at=row.started_at,
            kind="hook_call",
            id=row.id,
            says=f"Called {row.hook} {tries}: {row.status}",
            tone=tones.get(row.status, "bad"),
            enrolment_id=row.enrolment_id,
            detail=known(body=row.body, note=row.detail, settled_at=row.settled_at),
            rank=(row.id, 6),
        )


def _identity(found: record.History) -> Iterator[Entry]:
    for row in found.merges:
        detail = known(kept=row.kept_id, merged=row.merged_id, reason=row.reason)
        says = f"Found to be one person with {row.merged_id}: {row.reason}"
        yield Entry(at=row.at, kind="merge", id=row.id, says=says, detail=detail, rank=(row.id, 0))
        if row.undone_at is not None:
            yield Entry(
                at=row.undone_at,
                kind="merge",
                id=f"{row.id}:undone",
                says=f"The merge with {row.merged_id} was undone",
                tone="warn",
                detail=detail,
                rank=(row.id, 1),
            )
    for row in found.conflicts:
        yield Entry(
            at=row.at,
            kind="conflict",
            id=row.id,
            says=f"{row.kind} {row.value} belongs to another customer; nothing was merged",
            tone="quiet" if row.resolved_at else "warn",
            detail=known(customer=row.customer_id, other=row.other_id, resolved_at=row.resolved_at),
            rank=(row.id, 0),
        )


def _permissions(found: record.History) -> Iterator[Entry]:
    for row in found.consents:
        channel = "every channel" if row.channel == "*" else channel_name(row.channel)
        topic = "everything" if row.topic == "*" else row.topic
        yield Entry(
            at=row.at,
            kind="consent",
            id=row.id,
            says=f"Consent {row.status} for {topic} by {channel}",
            tone={"granted": "good", "denied": "warn"}.get(row.status, "quiet"),
            channel=None if row.channel == "*" else row.channel,
            text={"wording": row.wording} if row.wording else {},
            detail=known(source=row.source, recorded_at=row.recorded_at),
            rank=(row.id, 0),
        )
    for row in found.suppressions:
        what = "blocked" if row.active else "open again"
        scope = "" if row.scope == "all" else f" for {row.scope}"
        yield Entry(
            at=row.at,
            kind="suppression",
            id=row.id,
            says=f"{row.address} {what}{scope}: {row.reason.replace('_', ' ')}",
            tone="bad" if row.active else "good",
            channel=row.channel,
            detail=known(source=row.source, scope=row.scope),
            rank=(row.id, 7),
        )


def _journeys(found: record.History) -> Iterator[Entry]:
    for row in found.ended:
        if row.ended_at is not None:
            how = f"left: {row.reason}" if row.status == "exited" and row.reason else row.status
            yield Entry(
                at=row.ended_at,
                kind="journey",
                id=row.id,
                says=f"Journey {row.journey} {how.replace('_', ' ')}",
                tone="quiet",
                enrolment_id=row.id,
                detail=known(version=row.version, key=row.key, started_at=row.started_at),
                rank=("~", 9),
            )
