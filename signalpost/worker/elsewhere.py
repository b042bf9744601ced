"""Shards of a campaign as flow runs on another work pool: a process, a container, a pod each.

The worker only asks for the runs. Each claims its shard from the record itself, so that a run that was
asked for twice, or started late, sends nothing twice.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, WorkPoolStatus
from prefect.exceptions import ObjectNotFound
from sqlalchemy import RowMapping

from signalpost.content.campaigns import from_definition
from signalpost.record import campaign_people
from signalpost.record import campaigns as record
from signalpost.services.campaigns import launching
from signalpost.services.desk import Desk
from signalpost.worker.campaign_deployments import SHARD_FLOW, runs_elsewhere
from signalpost.worker.campaign_runs import run_tags
from signalpost.worker.runs import create_run

log = structlog.get_logger()

ASK_AGAIN = 10.0  #: seconds until we look what became of a run that was asked for
_MOST = 200  #: flow runs asked for in one look


@dataclass(frozen=True)
class _Due:
    """A shard in which somebody is due and that nobody works on."""

    row: RowMapping  #: its run's
    number: int
    pool: str
    key: str  #: the same until somebody has worked on it


def pool_of(desk: Desk, version: str) -> str | None:
    """Name the work pool on which the shards of a campaign's version run; None: in our own worker."""
    with desk.database.reading() as session:
        definition = record.definition(session, version=version)
    campaign = from_definition(definition) if definition else None
    return campaign.run_on if campaign and runs_elsewhere(campaign) else None


class Elsewhere:
    """Asks for the flow runs of shards whose campaign names another pool."""

    def __init__(self, desk: Desk, *, client: PrefectClient) -> None:
        self._desk = desk
        self._client = client
        self._pools: dict[str, str | None] = {}
        self._asked: dict[str, float] = {}

    def pool_of(self, version: str) -> str | None:
        """Name the pool of a version's shards, which never changes; None: this worker itself."""
        if version not in self._pools:
            self._pools[version] = pool_of(self._desk, version)
        return self._pools[version]

    async def ask(self, *, except_campaigns: Collection[str]) -> bool:
        """Ask for what is due and was not asked for lately; False when there was nothing."""
        now = asyncio.get_running_loop().time()
        self._asked = {key: at for key, at in self._asked.items() if now - at < ASK_AGAIN}
        rows = await asyncio.to_thread(self._rows, except_campaigns)
        due = await asyncio.to_thread(self._due, rows, self._desk.clock())
        wanted = [one for one in due if one.key not in self._asked][:_MOST]
        looked_at = {pool: await self._look_at(pool) for pool in {one.pool for one in wanted}}
        for one in wanted:
            self._asked[one.key] = now
            deployment, _ = looked_at[one.pool]
            if deployment is not None:
                await self._ask_for(one, deployment)
        due_now = {one.row["id"] for one in due}
        waits = {row["id"]: None for row, _ in rows if row["id"] not in due_now}
        waits |= {one.row["id"]: looked_at[one.pool][1] for one in wanted}
        await self._say_why(rows, waits)
        return bool(wanted)

    async def _look_at(self, pool: str) -> tuple[UUID | None, str | None]:
        """Find the deployment of a pool's shards; and say what keeps the pool from running them."""
        try:
            there = await self._client.read_work_pool(pool)
        except ObjectNotFound:
            return None, (
                f"Prefect has no work pool {pool!r}. Make it (prefect work-pool create --type process "
                f"{pool}), then `signalpost deploy`"
            )
        try:
            deployment = await self._client.read_deployment_by_name(f"{SHARD_FLOW}/{pool}")
        except ObjectNotFound:
            return (
                None,
                f"Prefect does not know our shards on {pool!r} yet; run `signalpost deploy`",
            )
        why = None
        if there.is_paused:
            why = f"the work pool {pool!r} is paused in Prefect; resume it there"
        elif there.status is WorkPoolStatus.NOT_READY:
            why = f"no worker serves the work pool {pool!r}; start one: prefect worker start -p {pool}"
        return deployment.id, why

    async def _say_why(
        self, rows: Sequence[tuple[RowMapping, str]], waits: Mapping[str, str | None]
    ) -> None:
        """Keep on the record what a run waits for, so that its status says it while Prefect is away."""
        for row, pool in rows:
            why = waits.get(row["id"], row["reason"])
            if why == row["reason"]:
                continue
            if why is not None:
                log.warning("campaigns.pool_waits", pool=pool, campaign=row["campaign"], why=why)
            await asyncio.to_thread(self._keep_why, row["id"], why)

    def _keep_why(self, campaign_run_id: str, why: str | None) -> None:
        with self._desk.database.writing() as session:
            record.say_why_it_waits(session, campaign_run_id=campaign_run_id, why=why)

    def _rows(self, except_campaigns: Collection[str]) -> list[tuple[RowMapping, str]]:
        """Give the runs that go on elsewhere, each with its pool."""
        with self._desk.database.reading() as session:
            rows = record.runs(session, statuses=("running",))
        pools = [(row, self.pool_of(row["version"])) for row in rows]
        return [
            (row, pool)
            for row, pool in pools
            if pool is not None and row["campaign"] not in except_campaigns
        ]

    def _due(self, rows: Sequence[tuple[RowMapping, str]], now: datetime) -> list[_Due]:
        return [one for row, pool in rows for one in self._due_of(row, pool, now)]

    def _due_of(self, row: RowMapping, pool: str, now: datetime) -> list[_Due]:
        with self._desk.database.reading() as session:
            shards = campaign_people.shards(session, campaign_run_id=row["id"])
        return [
            _Due(row, shard["number"], pool, _key(row, shard))
            for shard in shards
            if shard["due_at"] is not None
            and shard["due_at"] <= now
            and (shard["lease_until"] is None or shard["lease_until"] <= now)
        ]

    async def _ask_for(self, due: _Due, deployment_id: UUID) -> None:
        key = due.key
        for _ in range(_MOST):  # a run that died before it claimed its shard is asked for again
            flow_run = await create_run(
                self._client,
                deployment_id,
                parameters={"campaign_run_id": due.row["id"], "shard": due.number},
                name=f"{due.row['campaign']} · shard {due.number + 1}",
                tags=run_tags(campaign=due.row["campaign"], campaign_run_id=due.row["id"]),
                idempotency_key=key,
            )
            state = flow_run.state
            if state is None or not state.is_final() or await self._is_stopped(flow_run, due):
                return
            key = f"{due.key}:{flow_run.id}"

    async def _is_stopped(self, flow_run: FlowRun, due: _Due) -> bool:
        """Whether somebody cancelled the shard's run: then the campaign is paused."""
        if flow_run.state is None or not flow_run.state.is_cancelled():
            return False
        await asyncio.to_thread(
            launching.pause,
            self._desk,
            campaign_run_id=due.row["id"],
            by="prefect",
            actor=f"prefect:{flow_run.id}",
            now=self._desk.clock(),
            why=f"The flow run of shard {due.number + 1} was cancelled in Prefect.",
        )
        return True


def _key(row: RowMapping, shard: RowMapping) -> str:
    last = shard["claim_id"] or "nobody"
    return f"{row['id']}:{shard['number']}:{shard['due_at'].isoformat()}:{last}"
