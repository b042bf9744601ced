"""A campaign: plan it, have it approved, freeze its people, and send to whoever is due.

What to do next is on the record, so a flow run that is retried, asked for twice, or begun again after a
crash takes up the same campaign run where it stands. It ends when nobody is due. Those who wait for
their morning are taken up by the marketing worker, in another flow run of the same deployment.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import AsyncClientContext, FlowRunContext
from prefect.states import Cancelled, Completed, Failed

from flows.batch import NO_RESULTS
from flows.campaign_approval import Answer, ask
from signalpost import bootstrap
from signalpost.content import campaigns as files
from signalpost.domain.campaign import Campaign, Schedule
from signalpost.errors import BadInputError
from signalpost.services.campaigns import following, launching, sending
from signalpost.services.campaigns import runs as record
from signalpost.services.campaigns.runs import Launch, Run
from signalpost.services.campaigns.sending import ShardClaim, ShardReport
from signalpost.services.campaigns.standing import counted, in_words
from signalpost.worker import runs
from signalpost.worker.campaign_deployments import SHARD_FLOW
from signalpost.worker.campaign_runs import campaign_run_of, run_tags
from signalpost.worker.campaign_schedules import begun_at, is_over
from signalpost.worker.elsewhere import pool_of
from signalpost.worker.runs import Halt
from tasks.campaign_artifacts import show_outcomes, show_plan
from tasks.campaigns import NotAsItStandsError, decide, freeze, occur, plan, send
from tasks.quiet import UnitFailedError

SIDE_BY_SIDE = 2  #: shards that one flow run sends at once
LINGER = 60.0  #: seconds that a flow run waits for who is due soon, instead of another one
_GLANCE = 0.5
_STUMBLE = 5.0  #: seconds after a shard in which nothing could be done


@flow(name="campaign", **NO_RESULTS)
async def campaign(
    campaign: str,
    stage: str | None = None,
    series: str | None = None,
    facts: dict[str, Any] | None = None,
    at: str | None = None,
    test_on: int | None = None,
    run: str | None = None,
) -> State[None]:
    """Launch a campaign, or go on with the ``run`` of it that is named."""
    asked = {"stage": stage, "series": series, "facts": facts or {}, "sample_of": test_on}
    with runs.body():
        try:
            known = run or campaign_run_of(_flow_run())  # the tag: this flow run was here before
            found = await _known(known) if known else await _launch(campaign, at, asked)
            return await _go_on(found) if isinstance(found, Run) else Completed(message=found)
        except UnitFailedError as error:
            return Failed(message=str(error))


@flow(name=SHARD_FLOW, **NO_RESULTS)
async def campaign_shard(campaign_run_id: str, shard: int) -> State[None]:
    """Send one shard of a campaign's run, on whichever work pool this is."""
    with runs.body():
        found = _find(campaign_run_id)
        claims = await asyncio.to_thread(_claim, found, shard)
        reports = [await _send(found, claim) for claim in claims]
        await show_outcomes(found, reports)
        if not reports:
            return Completed(message="Somebody else has it, or nobody in it is due.")
        said = counted(reports[0].counts)
        return Completed(message=f"{said or 'Nobody decided'}: {reports[0].ended}.")


# -- a run to work on ------------------------------------------------------------------------------


def _find(campaign_run_id: str) -> Run:
    with bootstrap.current().desk.database.reading() as session:
        return record.find(session, which=campaign_run_id)


async def _known(campaign_run_id: str) -> Run:
    """Find a run that was launched before, by the command line for instance, and show its plan."""
    run = _find(campaign_run_id)
    if run.status in ("awaiting_approval", "approved"):
        await show_plan(run)
    return run


async def _launch(name: str, at: str | None, asked: Mapping[str, Any]) -> Run | str:
    """Launch the campaign as its file is now, or say why nothing is to be done here."""
    flow_run = _flow_run()
    await _call(f"{name} · launch")  # before anything can fail: else it keeps Prefect's random name
    campaign = _read(name)
    if flow_run.auto_scheduled and at is None and flow_run.expected_start_time:
        one = begun_at(_counted(campaign), campaign.schedule, flow_run.expected_start_time)
        if is_over(campaign.schedule, one.local):
            return "The schedule is over."
        run = await occur(campaign, one, name)
        if run is None:
            return "Another run of it goes on; the marketing worker launches this one after it."
    else:
        run = await plan(_wanted(campaign, flow_run, at, asked), "prefect", name)
    await _name(run, "launch")
    if run.plan:
        await show_plan(run)
    return run


def _read(name: str) -> Campaign:
    app = bootstrap.current()
    found = files.load(app.settings.campaigns, app.desk.catalogue, broken="collect")
    if name in found:
        return found[name]
    wrong = [str(one) for one in found.problems if name in str(one)]
    says = "; ".join(wrong) or f"there is no file for it in {app.settings.campaigns}"
    raise UnitFailedError(f"The campaign {name!r} cannot be launched: {says}.")


def _wanted(
    campaign: Campaign, flow_run: FlowRun, at: str | None, asked: Mapping[str, Any]
) -> Launch:
    """Say what is to be launched; the same flow run says the same.

    Who gives a time at which the campaign comes anyway launches that occurrence, ahead.
    """
    schedule = campaign.schedule
    wall = _wall(at) if at else None
    if wall is not None and (told := files.not_on_the_clock(schedule, wall)):
        raise UnitFailedError(f"{told}. Choose a time outside that night's hour.")
    comes = None
    if wall is not None and asked["sample_of"] is None:
        comes = files.occurrence_at(_counted(campaign), wall)
    one = comes or (files.at_wall(schedule, wall) if wall else None)
    return Launch(
        campaign=campaign,
        occurrence=comes.key if comes else f"run-{flow_run.id}",
        scheduled_at=one.begins_at if one else None,
        local_at=one.local if one and one.at is None else None,
        **asked,
    )


def _counted(campaign: Campaign) -> Sequence[Schedule]:
    return following.counted(bootstrap.current().desk, campaign=campaign)


def _wall(at: str) -> datetime:
    try:
        wall = datetime.fromisoformat(at)
    except ValueError:
        wall = None
    if wall is None or wall.tzinfo is not None:
        raise UnitFailedError(f"{at!r} is no date and time; write it like 2026-12-01T10:00.")
    return wall


# -- what to do next -------------------------------------------------------------------------------


async def _go_on(run: Run) -> State[None]:
    """Take a run as far as it goes now; the record says where it stands."""
    runs.is_about(run.id)
    if run.status == "awaiting_approval":
        run = await _decided(run)
    now = bootstrap.current().desk.clock()
    if run.status == "approved" and run.scheduled_at <= now:
        try:
            run = await freeze(run.id, run.title)
        except NotAsItStandsError as error:
            if _find(run.id).status == "approved":  # another run of the campaign is still going
                return Completed(message=f"{error} Then this one begins by itself.")
            raise
    reports: list[ShardReport] = []
    if run.status == "running" and pool_of(bootstrap.current().desk, run.version) is None:
        reports = await _send_due(run)
        await show_outcomes(run, reports)
    return await _end(run)


async def _decided(run: Run) -> Run:
    """Ask a person, with the plan in front of them; the flow run is suspended until they answer."""
    await _name(run, "approval")
    answer: Answer = await ask(run)
    who = {"by": answer.by, "actor": _actor()}
    if answer.decision == "refuse":
        why = answer.why or "no reason was given"
        return await decide(launching.refuse, campaign_run_id=run.id, why=why, **who)
    try:
        return await decide(launching.approve, campaign_run_id=run.id, seen=answer.seen, **who)
    except NotAsItStandsError:
        now = _find(run.id)
        if now.status == "awaiting_approval" and now.plan.get("digest") != answer.seen:
            await show_plan(now)
            return await _decided(now)  # the plan has changed meanwhile: they see the new one
        if now.status != "awaiting_approval":
            return now
        raise


async def _end(run: Run) -> State[None]:
    """Say how it stands; a flow run that was cancelled in Prefect pauses the campaign."""
    desk = bootstrap.current().desk
    stopped = runs.halt()
    if stopped is Halt.CANCELLED and _find(run.id).status == "running":
        why = "its flow run was cancelled in Prefect"
        who = {"by": "prefect", "actor": _actor()}
        await decide(launching.pause, campaign_run_id=run.id, why=why, **who)
    now = desk.clock()
    found = _find(run.id)
    with desk.database.reading() as session:
        progress = record.progress(session, campaign_run_id=run.id, now=now)
    said = in_words(found, progress, now=now)
    if stopped is Halt.CANCELLED:
        return Cancelled(message=said)
    if found.status == "refused" and not found.plan:
        return Failed(message=found.reason)
    return Completed(message=f"{said} ({stopped})" if stopped else said)


# -- sending ---------------------------------------------------------------------------------------


async def _send_due(run: Run) -> list[ShardReport]:
    """Send to everybody who is due, or will be in a moment, some shards side by side."""
    senders = [_sender(run) for _ in range(SIDE_BY_SIDE)]
    return [report for reports in await asyncio.gather(*senders) for report in reports]


async def _sender(run: Run) -> list[ShardReport]:
    reports: list[ShardReport] = []
    while not runs.halt():
        claims = await asyncio.to_thread(_claim, run)
        for claim in claims:
            report = await _send(run, claim)
            reports.append(report)
            if not report.counts and report.ended != "nobody due":
                await _rest(_STUMBLE)
        if not claims and not await _soon(run):
            break
    return reports


def _claim(run: Run, shard: int | None = None) -> list[ShardClaim]:
    desk = bootstrap.current().desk
    return sending.claim_shards(
        desk, now=desk.clock(), limit=1, campaign_run_id=run.id, shard=shard
    )


async def _send(run: Run, claim: ShardClaim) -> ShardReport:
    return await send(claim, f"{run.title} · shard {claim.shard + 1}", _told_to_stop)


def _told_to_stop() -> bool:
    return runs.halt() is not None


async def _soon(run: Run) -> bool:
    """Wait for who is due soon; False when that is nobody."""
    desk = bootstrap.current().desk
    with desk.database.reading() as session:
        due = record.progress(session, campaign_run_id=run.id, now=desk.clock()).next_due
    if due is None or due <= desk.clock():
        return False  # done, or another sender has the rest
    left = (due - desk.clock()).total_seconds()
    if left > LINGER or _find(run.id).status != "running":
        return False
    await _rest(left)
    return True


async def _rest(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not runs.halt() and (left := end - loop.time()) > 0:
        await asyncio.sleep(min(left, _GLANCE))


# -- Prefect ---------------------------------------------------------------------------------------


def _flow_run() -> FlowRun:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise BadInputError(
            "A campaign is launched by Prefect, or by `signalpost campaign launch`."
        )
    return context.flow_run


def _actor() -> str:
    """Who acts, for the audit log: Prefect's pages do not tell us who pressed the button."""
    return f"prefect:{_flow_run().id}"


async def _call(name: str) -> None:
    async with AsyncClientContext.get_or_create() as shared:
        await shared.client.update_flow_run(_flow_run().id, name=name)


async def _name(run: Run, what: str) -> None:
    """Name the flow run after the campaign's run, and tag it, so that one finds the other."""
    flow_run = _flow_run()
    tags = sorted({*flow_run.tags, *run_tags(campaign=run.campaign, campaign_run_id=run.id)})
    async with AsyncClientContext.get_or_create() as shared:
        await shared.client.update_flow_run(flow_run.id, name=f"{run.title} · {what}", tags=tags)
