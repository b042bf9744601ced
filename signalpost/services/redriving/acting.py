"""Another try for what gave up, because an operator says that what was in its way is gone."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.errors import BadInputError, ConflictError, NotFoundError
from signalpost.record import audit, cases, enrolments, redriving
from signalpost.services.desk import Desk
from signalpost.services.intake import signals
from signalpost.services.journeys import resuming
from signalpost.services.journeys.enrolling import Journeys
from signalpost.services.redriving import campaigns
from signalpost.services.redriving.waiting import person_id

_MANY = 100_000  #: people taken up by one call
_TOGETHER = 500  #: of them in one transaction


@dataclass(kw_only=True)
class Redriven:
    """What was tried again, by kind, and what could not be, in sentences."""

    people: int = 0
    events: int = 0
    hooks: int = 0
    campaign_people: int = 0
    not_done: list[str] = field(default_factory=list)

    @property
    def in_words(self) -> str:
        """What was done, for an operator."""
        counts = (
            (self.people, "person of a journey", "people of journeys"),
            (self.campaign_people, "person of a campaign", "people of campaigns"),
            (self.events, "event", "events"),
            (self.hooks, "call", "calls"),
        )
        done = ", ".join(f"{n} {one if n == 1 else many}" for n, one, many in counts if n)
        return " ".join([f"Tried again: {done or 'nothing'}.", *self.not_done])


async def redrive(
    desk: Desk,
    *,
    ids: Sequence[str] = (),
    name: str | None = None,
    reason: str | None = None,
    actor: str,
    now: datetime,
) -> Redriven:
    """Try again what the ids name, or all that gave up in a journey or campaign, of one reason or any.

    Raises:
        BadInputError: neither ids nor a name is given, or both are.
        NotFoundError: there is no journey and no campaign of that name.
    """
    if bool(ids) == (name is not None):
        raise BadInputError("Give ids, or the name of a journey or campaign, and not both.")
    done = Redriven()
    if name is not None and await asyncio.to_thread(_is_journey, desk, name):
        done.people = await asyncio.to_thread(
            resuming.resume_all, desk.database, journey=name, reason=reason, now=now, actor=actor
        )
    elif name is not None:
        ids = await asyncio.to_thread(_of_campaign, desk, name, reason)
    runs: dict[str, list[str]] = defaultdict(list)
    for one in ids:
        run, _, customer = one.partition(":")
        if customer:
            runs[run].append(customer)
        elif not await asyncio.to_thread(_one, desk, one, done, actor, now):
            await _hook(desk, one, done, actor, now)
    for run, people in runs.items():
        await asyncio.to_thread(_campaign, desk, run, people, done, actor, now)
    return done


def _is_journey(desk: Desk, name: str) -> bool:
    """Whether a name is a journey's; else it is a campaign's.

    Raises:
        NotFoundError: it is neither's.
    """
    with desk.database.reading() as session:
        if enrolments.journey_known(session, journey=name):
            return True
        if not redriving.campaign_known(session, campaign=name):
            raise NotFoundError(f"There is no journey and no campaign called {name!r}.")
        return False


def _of_campaign(desk: Desk, name: str, reason: str | None) -> list[str]:
    with desk.database.reading() as session:
        rows = redriving.set_aside_in_campaigns(session, campaign=name, limit=_MANY)
    return [
        person_id(row["campaign_run_id"], row["customer_id"])
        for row in rows
        if resuming.is_of_reason(row["reason"], reason)
    ]


def _one(desk: Desk, found_id: str, done: Redriven, actor: str, now: datetime) -> bool:
    """Try a person of a journey, or an event, again; false when the id is neither's."""
    try:
        with desk.database.writing() as session:
            resumed = resuming.resume(session, enrolment_id=found_id, now=now)
            _log(session, actor, f"enrolment:{found_id}", now, messages=resumed.messages)
        done.people += 1
    except NotFoundError:
        return _event(desk, found_id, done, actor, now)
    except ConflictError as error:
        done.not_done.append(str(error))
    return True


def _event(desk: Desk, event_id: str, done: Redriven, actor: str, now: datetime) -> bool:
    try:
        with desk.database.writing() as session:
            tried = signals.redrive(
                session,
                event_id=event_id,
                now=now,
                react=Journeys(desk.programs).react,
                policy=signals.SignalPolicy(fingerprints=desk.forgetting.fingerprints),
            )
            _log(session, actor, f"event:{event_id}", now, status=tried.status)
    except NotFoundError:
        return False
    except ConflictError as error:
        done.not_done.append(str(error))
        return True
    if tried.status == "parked":
        why = (tried.reason or "it waits").replace("_", " ")
        done.not_done.append(f"Event {event_id} was tried and is still parked ({why}).")
    else:
        done.events += 1
    return True


async def _hook(desk: Desk, call_id: str, done: Redriven, actor: str, now: datetime) -> None:
    """Make a failed call once more; its id is the same, so that the receiver can tell."""
    row = await asyncio.to_thread(_begin_hook, desk, call_id, actor, now)
    if row is None:
        done.not_done.append(f"Nothing that waits for an operator has the id {call_id}.")
        return
    outcome = await desk.hooks.call(hook=row["hook"], call_id=call_id, body=row["body"])
    await asyncio.to_thread(_settle_hook, desk, call_id, outcome.status, outcome.detail)
    if outcome.status == "done":
        done.hooks += 1
    else:
        done.not_done.append(f"The call {call_id} of {row['hook']} failed again: {outcome.detail}.")


def _begin_hook(desk: Desk, call_id: str, actor: str, now: datetime) -> RowMapping | None:
    with desk.database.writing() as session:
        for row in redriving.failed_hooks(session, call_id=call_id):
            _log(session, actor, f"hook:{call_id}", now, hook=row["hook"])
            return row
        return None


def _settle_hook(desk: Desk, call_id: str, status: str, detail: str | None) -> None:
    with desk.database.writing() as session:
        cases.settle_call(session, call_id=call_id, status=status, detail=detail, now=desk.clock())


def _campaign(
    desk: Desk, run: str, people: Sequence[str], done: Redriven, actor: str, now: datetime
) -> None:
    for start in range(0, len(people), _TOGETHER):
        some = people[start : start + _TOGETHER]
        try:
            with desk.database.writing(courteous=True) as session:
                taken = campaigns.take_up(session, campaign_run_id=run, people=some, now=now)
                _log(session, actor, f"campaign_run:{run}", now, people=taken)
        except (NotFoundError, ConflictError) as error:
            done.not_done.append(str(error))
            return
        done.campaign_people += taken


def _log(session: Session, actor: str, subject: str, now: datetime, **detail: Any) -> None:
    audit.add(session, actor=actor, action="redrive", subject=subject, detail=detail, now=now)
