"""Closing the flow runs of workers that were killed: Prefect alone would show them running for ever."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from signalpost.record import campaign_people, enrolments
from signalpost.services.desk import Desk
from signalpost.worker.campaign_runs import campaign_run_of
from signalpost.worker.runs import runs_of_lane

log = structlog.get_logger()

_MESSAGE = "The worker of this run went away. Its customers are claimed again; nobody is lost."


async def close_lost_runs(
    client: PrefectClient,
    desk: Desk,
    *,
    lane: str,
    running: Collection[UUID],
    older_than: timedelta | None = None,
) -> int:
    """Mark as crashed the lane's runs that nobody works on any more; gives how many.

    A run that began less than a lease ago (or ``older_than``) is left alone, as are ``running``.
    """
    age = desk.lease if older_than is None else older_than
    going_on = (StateType.RUNNING, StateType.PENDING)
    runs = await runs_of_lane(client, lane=lane, states=going_on, limit=50)
    old = [run for run in runs if run.id not in running and _age(run) >= age]
    lost = [run for run in old if _is_lost(run, desk)]
    for run in lost:
        await client.set_flow_run_state(run.id, Crashed(message=_MESSAGE), force=True)
        log.info("prefect.run_closed", run=str(run.id))
    return len(lost)


def _age(run: FlowRun) -> timedelta:
    return datetime.now(UTC) - run.state.timestamp if run.state else timedelta(0)


def _is_lost(run: FlowRun, desk: Desk) -> bool:
    claim_id = run.parameters.get("claim_id")
    if claim_id is None:  # asked for by hand: its claim is not known here
        return _age(run) > 10 * desk.lease and not _sends_campaign(run, desk)
    now = desk.clock()
    with desk.database.reading() as session:
        rows = enrolments.of_claim(session, claim_id=claim_id)
    return not any(row["lease_until"] and row["lease_until"] > now for row in rows)


def _sends_campaign(run: FlowRun, desk: Desk) -> bool:
    """Whether somebody works on a shard of the campaign run that this flow run is about."""
    about = campaign_run_of(run)
    if about is None:
        return False
    with desk.database.reading() as session:
        shards = campaign_people.shards(session, campaign_run_id=about)
    return any(one["lease_until"] and one["lease_until"] > desk.clock() for one in shards)
