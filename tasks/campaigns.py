"""The units of work of a campaign as Prefect tasks: one a shard, never one a batch or a person."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from signalpost import bootstrap
from signalpost.content.campaigns import Occurrence
from signalpost.domain.campaign import Campaign
from signalpost.errors import BadInputError, ConfigurationError, ConflictError, NotFoundError
from signalpost.services.campaigns import following, launching, sending
from signalpost.services.campaigns.runs import Launch, Run
from signalpost.services.campaigns.sending import ShardClaim, ShardReport
from tasks.quiet import UnitFailedError, quiet

Result = TypeVar("Result")

_ONCE: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}

#: These say what somebody has to change, in words of ours and without anybody's data.
_FOR_PEOPLE = (BadInputError, ConfigurationError, NotFoundError)


class NotAsItStandsError(UnitFailedError):
    """What was to be done contradicts what is on the record now."""


@task(task_run_name="plan {title}", **_ONCE)
async def plan(launch: Launch, by: str, title: str) -> Run:
    """Plan a launch and write it down; the same occurrence gives the same run."""
    flow_run_id = str(flow_run.id)
    return await _do(
        f"plan {title}",
        launching.launch,
        launch=launch,
        by=by,
        run_id=flow_run_id,
        actor=f"prefect:{flow_run_id}",
    )


@task(task_run_name="launch {title} by its schedule", **_ONCE)
async def occur(campaign: Campaign, at: Occurrence, title: str) -> Run | None:
    """Launch one time of a schedule, as the marketing worker does: whoever is first, it is one run."""
    return await _do(
        f"launch {title}", following.occur, campaign=campaign, at=at, run_id=str(flow_run.id)
    )


@task(task_run_name="freeze the audience of {title}", **_ONCE)
async def freeze(campaign_run_id: str, title: str) -> Run:
    """Write down who is meant, and let it begin."""
    return await _do(f"freeze {title}", launching.start, campaign_run_id=campaign_run_id)


@task(task_run_name="send {about}", **_ONCE)
async def send(claim: ShardClaim, about: str, stop: Callable[[], bool]) -> ShardReport:
    """Send a shard until nobody in it is due, it is paused, or somebody says stop."""
    with quiet(f"send {about}"):
        return await sending.send_shard(
            bootstrap.current().desk, claim=claim, run_id=str(flow_run.id), stop=stop
        )


async def _do(what: str, act: Callable[..., Result], **given: Any) -> Result:
    """Do one act beside the event loop: it may take seconds."""
    desk = bootstrap.current().desk
    with quiet(what):
        try:
            return await asyncio.to_thread(act, desk, now=desk.clock(), **given)
        except ConflictError as error:
            raise NotAsItStandsError(str(error)) from None
        except _FOR_PEOPLE as error:
            raise UnitFailedError(str(error)) from None


async def decide(act: Callable[..., Run], **given: Any) -> Run:
    """Approve, refuse or pause a run; raises ``UnitFailedError`` with what stands against it."""
    return await _do("the decision", act, **given)
