"""Launching a run and steering it: plan, approval, start, pause, resume, cancel.

A launch is kept before anything is sent, pinned to the campaign as it is now. Whoever acts on a run is
written down with what they saw.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.content.campaigns import from_definition
from signalpost.domain.campaign import Campaign
from signalpost.errors import BadInputError, ConflictError, NotFoundError
from signalpost.record import campaign_people, campaigns, enrolments, messages
from signalpost.record.base import new_id
from signalpost.services.campaigns import again, freezing, renewing, series
from signalpost.services.campaigns.keeping import HOUSE, keep, note
from signalpost.services.campaigns.plan import make_plan
from signalpost.services.campaigns.runs import AGAIN, WAITS, Launch, Run, not_waiting
from signalpost.services.desk import Desk
from signalpost.telemetry import traces


def launch(
    desk: Desk,
    *,
    launch: Launch,
    by: str,
    now: datetime,
    run_id: str | None = None,
    actor: str | None = None,
) -> Run:
    """Keep a launch with its plan; who may launch unapproved is on its way at once.

    The same launch of an occurrence, done again, gives the run that it has. ``run_id``: the Prefect
    flow run's. ``by`` is who they say they are, here and below; ``actor`` how we know them, for the
    audit log.

    Raises:
        BadInputError: the plan says why it cannot go: nobody, an offer that is over, a fact missing.
        ConflictError: the occurrence has the run of another launch, or one that ended unsent.
    """
    with desk.database.reading() as session:
        known = again.run_of(session, launch=launch)
        if known is not None:
            return again.same(session, run=known, launch=launch, run_id=run_id)
    plan = make_plan(desk, launch=launch, now=now)
    if plan.refusals:
        raise BadInputError(
            f"{launch.campaign.name} cannot be launched. " + " ".join(plan.refusals)
        )
    run = keep(
        desk,
        launch=launch,
        status=WAITS if plan.needs_approval else "approved",
        plan={**plan.to_json(), "digest": plan.digest},
        by=by,
        actor=actor,
        run_id=run_id,
        now=now,
    )
    if launch.occurrence is None:
        return run
    with desk.database.reading() as session:  # somebody else may have been first meanwhile
        return again.same(session, run=run, launch=launch, run_id=run_id)


def approve(
    desk: Desk,
    *,
    campaign_run_id: str,
    by: str,
    seen: str,
    now: datetime,
    actor: str | None = None,
) -> Run:
    """Let a run go. ``seen``: the digest of the plan that the person had in front of them.

    The plan is made again: what they saw may be days old, and another campaign launched since.

    Raises:
        ConflictError: the plan has changed since, and the new one is kept to be looked at; or the run
            does not wait for approval.
    """
    if changed := renewing.renew(desk, campaign_run_id=campaign_run_id, seen=seen, now=now):
        raise ConflictError(
            f"The plan has changed since it was seen ({seen}): {'; '.join(changed)}. Look at the new "
            f"one: `signalpost campaign approve {campaign_run_id}`."
        )

    def change(session: Session, run: Run) -> dict[str, Any]:
        if run.status != WAITS:
            raise ConflictError(not_waiting(run))
        if seen != run.plan.get("digest"):
            raise ConflictError(
                f"The plan of {run.title} is not the one you saw ({seen}); look at it again: "
                f"`signalpost campaign approve {run.id}` shows it before it asks."
            )
        saw = {"digest": seen, "people": run.plan.get("people")}
        note(session, run.id, "approved", by, now, actor=actor, **saw)
        return {"status": "approved"}

    return _change(desk, campaign_run_id, change)


def refuse(
    desk: Desk, *, campaign_run_id: str, by: str, why: str, now: datetime, actor: str | None = None
) -> Run:
    """Say no to a run that waits for approval.

    Raises:
        ConflictError: the run does not wait for approval.
    """

    def change(session: Session, run: Run) -> dict[str, Any]:
        if run.status != WAITS:
            raise ConflictError(not_waiting(run))
        note(session, run.id, "refused", by, now, actor=actor, why=why)
        return {"status": "refused", "reason": why, "ended_at": now}

    return _change(desk, campaign_run_id, change)


def start(desk: Desk, *, campaign_run_id: str, now: datetime) -> Run:
    """Freeze the audience of an approved run and let its people be due; nothing when it runs already.

    Whoever comes while another process freezes waits for it, and takes over when that one dies.

    Raises:
        ConflictError: it is not approved, another run of the campaign is still going, or its series is
            over, and then it is refused.
    """
    claim_id = new_id()
    while (run := _claimed(desk, campaign_run_id, claim_id, now)) is None:
        time.sleep(_LOOK)
    if run.status == "refused":  # just now: its series is over
        raise ConflictError(run.reason or "")
    if run.status != "approved":
        return run
    with desk.database.reading() as session:
        campaign = _pinned(session, run)
    people = freezing.freeze(desk, run=run, campaign=campaign, claim_id=claim_id, now=now)

    def change(session: Session, run: Run) -> dict[str, Any]:
        until = desk.clock() + desk.lease
        held = campaigns.hold_run(session, campaign_run_id=run.id, claim_id=claim_id, until=until)
        if held != "approved":  # cancelled, or another process took over and started it
            raise ConflictError(f"{run.title} is {_word(run)}; it was not started a second time.")
        _alone(session, run)
        if over := series.refused(session, run, campaign, now):
            return over
        series.mark(session, run, campaign, now)
        note(session, run.id, "froze", HOUSE, now, people=people)
        enrolments.announce(session)
        over = {"status": "done", "reason": "nobody", "ended_at": now} if not people else {}
        free = {"claim_id": None, "lease_until": None}
        return {"status": "running", "people": people, "started_at": now, **free, **over}

    started = _change(desk, campaign_run_id, change)
    if started.status == "refused":
        raise ConflictError(started.reason or "")
    traces.began("campaign", cause=started.id, campaign=started.campaign, people=started.people)
    return started


def _pinned(session: Session, run: Run) -> Campaign:
    return from_definition(campaigns.definition(session, version=run.version) or {})


#: Seconds between looks while another process freezes the same run.
_LOOK = 0.2


def _claimed(desk: Desk, campaign_run_id: str, claim_id: str, now: datetime) -> Run | None:
    """Claim a run in order to freeze its people; None while another process does."""
    held = False

    def change(session: Session, run: Run) -> dict[str, Any]:
        nonlocal held
        if run.status in ("running", "paused", "done"):
            return {}
        if run.status != "approved":
            raise ConflictError(_not_approved(run))
        _alone(session, run)
        if over := series.refused(session, run, _pinned(session, run), now):
            return over
        at = desk.clock()
        lease = campaigns.run_lease(session, campaign_run_id=run.id)
        held = lease is not None and lease > at
        return {} if held else {"claim_id": claim_id, "lease_until": at + desk.lease}

    run = _change(desk, campaign_run_id, change)
    return None if held else run


def _not_approved(run: Run) -> str:
    remedy = f"It has ended; {AGAIN}."
    if run.status == WAITS:
        remedy = f"Approve it with `signalpost campaign approve {run.id}`."
    return f"{run.title} is {_word(run)}; only an approved run is started. {remedy}"


def _alone(session: Session, run: Run) -> None:
    """Two runs of one campaign must not overlap; those of a series, and its stages, may."""
    campaigns.lock_campaign(session, campaign=run.campaign)
    going = campaigns.runs(session, campaign=run.campaign, statuses=("running", "paused"))
    others = [one for one in going if one["id"] != run.id and one["series"] == run.series]
    if others and run.stage is None:
        raise ConflictError(
            f"Another run of {run.campaign} is still going ({others[0]['id']}). Wait for its end, or "
            f"cancel it: `signalpost campaign cancel {others[0]['id']}`."
        )


def pause(
    desk: Desk,
    *,
    campaign_run_id: str,
    by: str,
    now: datetime,
    why: str = "",
    actor: str | None = None,
) -> Run:
    """Stop a run within a batch; its people keep their places.

    Raises:
        ConflictError: it is not running.
    """

    def change(session: Session, run: Run) -> dict[str, Any]:
        if run.status == "paused":
            return {}
        if run.status != "running":
            raise ConflictError(f"{run.title} is {_word(run)}; only a running one can be paused.")
        note(session, run.id, "paused", by, now, actor=actor, why=why)
        return {"status": "paused", "reason": why or None}

    return _change(desk, campaign_run_id, change)


def resume(
    desk: Desk, *, campaign_run_id: str, by: str, now: datetime, actor: str | None = None
) -> Run:
    """Go on with exactly the people who are left.

    Raises:
        ConflictError: it is not paused.
    """

    def change(session: Session, run: Run) -> dict[str, Any]:
        if run.status == "running":
            return {}
        if run.status != "paused":
            raise ConflictError(f"{run.title} is {_word(run)}; only a paused one can be resumed.")
        note(session, run.id, "resumed", by, now, actor=actor)
        enrolments.announce(session)
        return {"status": "running", "reason": None}

    return _change(desk, campaign_run_id, change)


def cancel(
    desk: Desk,
    *,
    campaign_run_id: str,
    by: str,
    now: datetime,
    why: str = "",
    actor: str | None = None,
) -> Run:
    """End a run: nobody else is sent anything, and its offers leave the inboxes.

    Raises:
        ConflictError: it has ended already.
    """

    def change(session: Session, run: Run) -> dict[str, Any]:
        if run.status not in campaigns.LIVE:
            raise ConflictError(f"{run.title} is {_word(run)}; there is nothing to cancel.")
        campaign_people.close_people(
            session, campaign_run_id=run.id, outcome="cancelled", reason="cancelled", now=now
        )
        messages.close_campaign(session, campaign_run_id=run.id, now=now)
        messages.withdraw_campaign(session, campaign_run_id=run.id, now=now)
        note(session, run.id, "cancelled", by, now, actor=actor, why=why)
        return {"status": "cancelled", "reason": why or None, "ended_at": now}

    return _change(desk, campaign_run_id, change)


def pause_for_fault(session: Session, *, campaign_run_id: str, why: str, now: datetime) -> None:
    """Pause a run because our own account or request is wrong: going on would burn the list.

    In a transaction of its own: whoever cancels locks the run first and its shards after.
    """
    row = campaigns.run(session, campaign_run_id=campaign_run_id, lock=True)
    if row is not None and row["status"] == "running":
        campaigns.set_run(session, campaign_run_id=campaign_run_id, status="paused", reason=why)
        note(session, campaign_run_id, "paused", HOUSE, now, why=why)


def end_when_over(session: Session, *, campaign_run_id: str, now: datetime) -> None:
    """Say that a run is done, when everybody in it is decided. The run is locked already."""
    row = campaigns.run(session, campaign_run_id=campaign_run_id)
    if (
        row is not None
        and row["status"] == "running"
        and campaign_people.is_over(session, campaign_run_id=campaign_run_id)
    ):
        over = {"status": "done", "reason": None, "ended_at": now}
        campaigns.set_run(session, campaign_run_id=campaign_run_id, **over)
        note(session, campaign_run_id, "ended", HOUSE, now)


def go_on_after_all(session: Session, *, campaign_run_id: str, now: datetime) -> None:
    """Take up a run that was done: somebody in it was not reached. The run is locked already."""
    row = campaigns.run(session, campaign_run_id=campaign_run_id)
    if row is not None and row["status"] == "done":
        campaigns.set_run(session, campaign_run_id=campaign_run_id, status="running", ended_at=None)
        note(session, campaign_run_id, "resumed", HOUSE, now, why="somebody was not reached")


def _change(
    desk: Desk, campaign_run_id: str, change: Callable[[Session, Run], dict[str, Any]]
) -> Run:
    with desk.database.writing() as session:
        row = campaigns.run(session, campaign_run_id=campaign_run_id, lock=True)
        if row is None:
            raise NotFoundError(
                f"There is no run {campaign_run_id!r}; `signalpost campaign status` lists them."
            )
        run = Run.of(row)
        values = change(session, run)
        if values:
            campaigns.set_run(session, campaign_run_id=run.id, **values)
        row = campaigns.run(session, campaign_run_id=run.id)
        return Run.of(row) if row is not None else run


def _word(run: Run) -> str:
    return run.status.replace("_", " ")
