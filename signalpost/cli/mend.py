"""Putting things right: one person out of two, what waits for an operator, blocks on addresses."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.markup import escape
from sqlmodel import Session

from signalpost.cli import door, say
from signalpost.cli.write import put
from signalpost.domain.vocabulary import Channel
from signalpost.errors import BadInputError, ConflictError, NotFoundError
from signalpost.record import audit, consents, enrolments, redriving
from signalpost.record.customers import Merge
from signalpost.services import retention
from signalpost.services.inbound import optouts
from signalpost.services.intake import addresses, identity, signals
from signalpost.services.journeys import resuming
from signalpost.services.reading import commands, sheet
from signalpost.services.reading.why import channel_name
from signalpost.services.redriving import acting
from signalpost.services.redriving.waiting import waiting
from signalpost.settings import Settings

_SOURCE = "operator"
#: What a customer said by their own word or click; only they take it back.
_THEIR_OWN_WORD = {
    "stop": "They open it again by writing START.",
    "unsubscribe": "They open it again on their preferences page, from the foot of any email.",
    "complaint": "They open it again on their preferences page, from the foot of any email.",
}
#: Why an address is blocked; the gate has a sentence for each (domain.reason_words).
REASONS = ("manual", "hard_bounce", "bad_address", *_THEIR_OWN_WORD)


def _now(settings: Settings) -> datetime:
    from signalpost.bootstrap import clock_of

    return clock_of(settings)()


def _log(session: Session, settings: Settings, action: str, subject: str, **detail: Any) -> None:
    """Write what was done into the audit log, in the transaction that did it."""
    audit.add(
        session,
        actor=door.actor(),
        action=action,
        subject=subject,
        detail=detail,
        now=_now(settings),
    )


# -- one person ----------------------------------------------------------------------------------


def merge(settings: Settings, kept: str, other: str, *, reason: str) -> None:
    """Make one person of two customers, and say what changed."""
    if not reason.strip():
        raise BadInputError("The reason is empty. Say why they are one person; it is kept.")
    with door.opened(settings) as database:
        with database.reading() as session:
            kept_id = door.find(session, kept)
            before = sheet.sheet(session, customer_id=kept_id)
            joined = sheet.sheet(session, customer_id=door.find(session, other))
        with database.writing() as session:
            row = identity.merge(
                session,
                kept=kept_id,
                merged=joined.id,
                reason=reason.strip(),
                now=_now(settings),
            )
            if row is not None:
                _log(session, settings, "merge", f"merge:{row.id}", kept=kept_id, other=joined.id)
        if row is None:
            raise ConflictError(f"They are one person already: customer {kept_id}.")
        with database.reading() as session:
            after = sheet.sheet(session, customer_id=kept_id)
    _say_merged(row, before, joined, after)


def _say_merged(row: Merge, before: sheet.Sheet, joined: sheet.Sheet, after: sheet.Sheet) -> None:
    say.out.print(f"{_who(joined)} is one person with {_who(before)} now.", soft_wrap=True)
    _list("Keys that lead there too", (f"{k.kind} {k.value}" for k in joined.who.identities))
    _list("Journeys that go on", (one.enrolment.journey for one in joined.running))
    _say_consents(after, f"merge:{row.id}")
    settled = {one.id for one in before.conflicts} - {one.id for one in after.conflicts}
    _list("Mix-ups settled", [str(len(settled))] if settled else [])
    say.out.print(f"[dim]Undo it with: {commands.unmerge(row.id)}[/dim]", soft_wrap=True)


def unmerge(settings: Settings, merge_id: str) -> None:
    """Undo a merge, and say what changed."""
    with door.opened(settings) as database:
        with database.writing() as session:
            row = identity.unmerge(session, merge_id=merge_id, now=_now(settings))
            ids = {"kept": row.kept_id, "other": row.merged_id}
            _log(session, settings, "unmerge", f"merge:{row.id}", **ids)
        with database.reading() as session:
            kept = sheet.sheet(session, customer_id=row.kept_id)
            other = sheet.sheet(session, customer_id=row.merged_id)
    say.out.print(f"{_who(kept)} and {_who(other)} are two people again.", soft_wrap=True)
    for one in (kept, other):
        keys = (f"{key.kind} {key.value}" for key in one.who.identities)
        _list(f"Keys that lead to {one.id}", keys)
    _say_consents(kept, f"unmerge:{row.id}")


def _who(one: sheet.Sheet) -> str:
    return f"[bold]{escape(one.name or 'Unnamed customer')}[/bold] ({one.id})"


def _list(what: str, values: Iterable[str]) -> None:
    if found := ", ".join(values):
        say.out.print(f"  {what}: {escape(found)}", soft_wrap=True)


def _say_consents(one: sheet.Sheet, source: str) -> None:
    said = (
        f"{row.status} for {'everything' if row.topic == '*' else row.topic} by "
        f"{'every channel' if row.channel == '*' else channel_name(row.channel)}"
        for row in one.consents
        if row.source == source
    )
    _list("Consent from now on", said)


# -- what waits for an operator ------------------------------------------------------------------


def redrive(
    settings: Settings,
    found_id: str | None,
    *,
    journey: str | None,
    facts: Sequence[str],
    reason: str | None = None,
) -> None:
    """Try what gave up again; without an id, list it."""
    if facts and (found_id is None or journey is not None):
        raise BadInputError("A fact is put right for one person: give the id of their enrolment.")
    if found_id is not None and journey is not None:
        raise BadInputError("Give an id, or --all-set-aside with a journey, and not both.")
    if reason is not None and journey is None:
        raise BadInputError(
            "A reason is looked for in a journey or campaign: --all-set-aside NAME."
        )
    if journey is not None and not _is_journey(settings, journey):
        _redrive_rest(settings, name=journey, reason=reason)
    elif journey is not None:
        with door.opened(settings) as database:
            count = resuming.resume_all(
                database, journey=journey, reason=reason, now=_now(settings), actor=door.actor()
            )
        people = "1 person is" if count == 1 else f"{count} people are"
        say.out.print(f"{people} resumed in {escape(journey)}.")
    elif found_id is None:
        _list_waiting(settings)
    elif not _resume(settings, found_id, put({}, facts)):
        if facts:
            raise NotFoundError(f"There is no enrolment {found_id}.")
        if _is_event(settings, found_id):
            _redrive_event(settings, found_id)
        else:
            _redrive_rest(settings, ids=[found_id])


def _is_journey(settings: Settings, name: str) -> bool:
    with door.reading(settings) as session:
        return enrolments.journey_known(session, journey=name) or not redriving.campaign_known(
            session, campaign=name
        )


def _is_event(settings: Settings, found_id: str) -> bool:
    """Whether an id is an event's, rather than a failed call's or a campaign's person's."""
    with door.reading(settings) as session:
        return ":" not in found_id and not redriving.failed_hooks(session, call_id=found_id)


def _redrive_rest(
    settings: Settings,
    *,
    ids: Sequence[str] = (),
    name: str | None = None,
    reason: str | None = None,
) -> None:
    """Try again what takes the whole product: calls, people of campaigns, all of one reason."""
    with door.built(settings) as product:
        done = asyncio.run(
            acting.redrive(
                product.desk,
                ids=ids,
                name=name,
                reason=reason,
                actor=door.actor(),
                now=_now(settings),
            )
        )
    say.out.print(escape(done.in_words), soft_wrap=True)
    if ids and done.not_done:
        raise ConflictError("Not everything could be tried again.")


def _resume(settings: Settings, found_id: str, facts: dict[str, Any]) -> bool:
    """Resume somebody, if the id is an enrolment's."""
    with door.opened(settings) as database, database.writing() as session:
        try:
            done = resuming.resume(session, enrolment_id=found_id, now=_now(settings), facts=facts)
        except NotFoundError:
            return False
        put_right = {"messages": done.messages, "facts": sorted(facts)}
        _log(session, settings, "redrive", f"enrolment:{found_id}", **put_right)
    again = {0: "", 1: ", with the message that failed"}.get(
        done.messages, f", with the {done.messages} messages that failed"
    )
    say.out.print(
        f"Resumed in [bold]{done.journey}[/bold]{again}. [dim]A worker takes them up at once; "
        f"see signalpost why {done.customer_id}[/dim]",
        soft_wrap=True,
    )
    return True


def _redrive_event(settings: Settings, event_id: str) -> None:
    from signalpost.bootstrap import forgetting, load_programs
    from signalpost.services.journeys.enrolling import Journeys

    react = Journeys(load_programs(settings)).react
    policy = signals.SignalPolicy(fingerprints=forgetting(settings).fingerprints)
    with door.opened(settings) as database, database.writing() as session:
        try:
            done = signals.redrive(
                session, event_id=event_id, now=_now(settings), react=react, policy=policy
            )
        except NotFoundError:
            raise NotFoundError(
                f"There is no event and no enrolment {event_id}. `signalpost redrive` lists what "
                "waits for an operator."
            ) from None
        _log(session, settings, "redrive", f"event:{event_id}", status=done.status)
    why = f" ({done.reason.replace('_', ' ')})" if done.reason else ""
    if done.status == "parked":
        raise ConflictError(f"Event {event_id} was tried and is still parked{why}.")
    led = f" See signalpost record {done.customer_id}" if done.customer_id else ""
    line = f"Event {event_id} is {done.status} now{why}."
    say.out.print(f"{escape(line)}[dim]{led}[/dim]", soft_wrap=True)


_GAVE_UP = {
    "person": "[bold]{name}[/bold] set aside: {says}",
    "event": "[bold]{name}[/bold] parked: {says}",
    "hook": "[bold]{name}[/bold] failed: {says}",
    "campaign": "[bold]{name}[/bold] set aside in the campaign: {says}",
}


def _list_waiting(settings: Settings) -> None:
    with door.reading(settings) as session:
        found = waiting(session)
    if not found:
        say.out.print("Nobody is set aside, and no event is parked.")
    for one in found:
        line = _GAVE_UP[one.kind].format(name=escape(one.name), says=escape(one.says))
        say.out.print(f"{line}  [dim]{commands.redrive(one.id)}[/dim]", soft_wrap=True)


# -- what is old --------------------------------------------------------------------------------


def prune(settings: Settings, *, dry_run: bool) -> None:
    """Delete what is older than the settings keep it, and say how many rows of each table."""
    from signalpost.bootstrap import keep

    kept, now = keep(settings), _now(settings)
    if not kept:
        raise BadInputError(
            "Everything is kept for ever. Set SIGNALPOST_KEEP_EVENTS_DAYS or "
            "SIGNALPOST_KEEP_MESSAGES_DAYS to a number of days, 90 or more."
        )
    with door.opened(settings) as database:
        if dry_run:
            gone = retention.preview(database, keep=kept, now=now)
        else:
            gone = retention.prune(database, keep=kept, now=now)
            with database.writing() as session:
                _log(session, settings, "prune", "project:record", **gone)
    what = ", ".join(f"{count:,} {table.replace('_', ' ')}" for table, count in (+gone).items())
    verb = "would go" if dry_run else "are gone"
    say.out.print(f"{what} {verb}." if what else "Nothing is that old.", soft_wrap=True)


# -- addresses -----------------------------------------------------------------------------------


def suppress(
    settings: Settings,
    address: str,
    *,
    channel: Channel | None,
    scope: str,
    reason: str,
    lift: bool,
) -> None:
    """Block an address whatever the consent, or lift such a block."""
    if reason not in REASONS:
        raise BadInputError(f"The reason {reason!r} is unknown; use {', '.join(REASONS)}.")
    if lift and reason in _THEIR_OWN_WORD:
        raise BadInputError(
            f"The customer's own word is not lifted here. {_THEIR_OWN_WORD[reason]}"
        )
    channel = channel or (Channel.EMAIL if "@" in address else Channel.SMS)
    _check_scope(settings, scope)
    block = optouts.Block(
        channel=channel.value,
        address=_in_one_spelling(channel, address),
        scope=scope,
        reason=reason,
        source=_SOURCE,
    )
    with door.opened(settings) as database, database.writing() as session:
        change = optouts.lift if lift else optouts.block
        changed = change(session, blocks=[block], now=_now(settings))
        about = {"channel": block.channel, "scope": scope, "reason": reason}
        action = "lift" if lift else "suppress"
        _log(session, settings, action, _block(session, block), changed=changed, **about)
        _say_blocked(session, block, lift=lift, changed=bool(changed))


def _block(session: Session, block: optouts.Block) -> str:
    """Name a block by its newest row: the log holds no address."""
    rows = consents.suppressions(session, {block.address}).get(block.address, [])
    ids = [row.id for row in rows if (row.channel, row.scope) == (block.channel, block.scope)]
    return f"block:{ids[-1] if ids else 'none'}"


def _in_one_spelling(channel: Channel, address: str) -> str:
    if channel is Channel.EMAIL:
        return addresses.email(address)
    if channel in (Channel.SMS, Channel.WHATSAPP):
        return addresses.phone(address)
    return address.strip()


def _check_scope(settings: Settings, scope: str) -> None:
    from signalpost.content import Catalogue

    if scope in ("all", "marketing"):
        return
    catalogue = Catalogue.load(settings.templates, broken="collect")
    topics = sorted({catalogue[name].topic for name in catalogue.names()})
    if scope not in topics:
        raise BadInputError(
            f"The scope {scope!r} is unknown; use all, marketing, or a topic: {', '.join(topics)}."
        )


def _say_blocked(session: Session, block: optouts.Block, *, lift: bool, changed: bool) -> None:
    place = f"{channel_name(block.channel)} to {block.address}"
    about = "everything" if block.scope == "all" else block.scope
    if lift:
        news = "is lifted" if changed else "was not there"
    else:
        news = "holds now" if changed else "held already"
    line = f"The {block.reason.replace('_', ' ')} block on {place} for {about} {news}."
    say.out.print(escape(line), soft_wrap=True)
    held = sorted(
        f"{reason} for {'everything' if scope == 'all' else scope}"
        for channel, _, scope, reason in optouts.in_force(session, [block.address])
        if channel == block.channel
    )
    _list("In force", held if lift else [])
    if sheet.search(session, text=block.address) is None:
        say.out.print("  [dim]Nobody on the record has this address yet.[/dim]")
