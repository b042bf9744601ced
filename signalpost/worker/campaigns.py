"""Campaigns in the marketing lane: what is launched, due, paused and asked for, as flow runs.

They run beside the lane's journeys, several at once and each for as long as it takes, so that a big
campaign keeps nobody waiting. What is to be done is read from the record: a killed worker, or a flow
run that was lost, is made up for by the next look.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from sqlalchemy import RowMapping

from signalpost.record import campaign_people
from signalpost.record import campaigns as record
from signalpost.services.desk import Desk
from signalpost.worker.campaign_runs import OpenRuns, run_tags
from signalpost.worker.elsewhere import Elsewhere
from signalpost.worker.prefect_view import PrefectView
from signalpost.worker.runs import Halt, Outcome, Runs

log = structlog.get_logger()

LOOK_EVERY = 1.0  #: seconds between looks at the record
OPEN_EVERY = 5.0  #: seconds between looks for runs that wait for a person, or for their start
AFTER_FAILURE = 30.0  #: seconds until a campaign whose flow run failed gets another
MOST_AT_ONCE = 8  #: flow runs of campaigns in one worker: a small one seldom waits for big ones


class Campaigns:
    """Serves the campaigns of this process's lane."""

    def __init__(self, desk: Desk, *, client: PrefectClient, view: PrefectView, runs: Runs) -> None:
        self._desk = desk
        self._client = client
        self._view = view
        self._runs = runs
        self._open = OpenRuns(desk, client=client, view=view)
        self._elsewhere = Elsewhere(desk, client=client)
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until told to stop; what is being sent then ends with its batch."""
        looked_at_open = float("-inf")
        while not stop.is_set():
            now = asyncio.get_running_loop().time()
            try:
                if now - looked_at_open >= OPEN_EVERY:
                    looked_at_open = now
                    await self.open()
                await self.round()
            except Exception as error:  # the record or Prefect is away: both keep what they have
                log.warning("campaigns.round_failed", error=type(error).__name__)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_EVERY)
        for flow_run_id in self._tasks:
            self._runs.halt(flow_run_id, Halt.WORKER_STOPS)
        await self.settled()

    async def settled(self) -> None:
        """Wait until everything that goes on has ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def open(self) -> None:
        """See that whatever waits for a person or for its start has a flow run to do it in."""
        if self._view.reachable:
            await self._open.look_after()

    async def round(self) -> bool:
        """Begin what is wanted and due; False when there was nothing to begin."""
        if not self._view.reachable:
            return False
        await self._heed()
        began = self._begin_wanted()
        if not self._view.lane_paused:
            began |= await self._begin_due()
            began |= await self._elsewhere.ask(except_campaigns=self._view.paused_journeys)
        return began

    def _begin_wanted(self) -> bool:
        """Begin what a schedule or a person asked for, and what goes on after an approval."""
        began = False
        while self._view.wanted_campaigns and len(self._tasks) < MOST_AT_ONCE:
            flow_run = self._view.wanted_campaigns.popleft()
            name = self._view.deployment_of(flow_run)
            if name is not None and flow_run.id not in self._tasks:
                asked = self._runs.asked_for(flow_run, flow=self._view.flow_of(name))
                self._begin(flow_run.id, self._unless_it_fails(flow_run.id.hex, asked))
                began = True
        return began

    async def _heed(self) -> None:
        """Let flow runs end that were cancelled, or whose deployment or lane was paused, in Prefect."""
        if not self._tasks:
            return
        going = FlowRunFilter(id=FlowRunFilterId(any_=[*self._tasks]))
        for flow_run in await self._client.read_flow_runs(flow_run_filter=going):
            state = flow_run.state
            if state is not None and (state.is_cancelling() or state.is_cancelled()):
                self._runs.halt(flow_run.id, Halt.CANCELLED)
            elif self._is_paused(flow_run):
                self._runs.halt(flow_run.id, Halt.PAUSED)

    def _is_paused(self, flow_run: FlowRun) -> bool:
        name = self._view.deployment_of(flow_run)
        return self._view.lane_paused or name in self._view.paused_journeys

    async def _begin_due(self) -> bool:
        """Begin a flow run for each campaign run in which somebody is due and that nobody sends."""
        began = False
        for row, shards in await asyncio.to_thread(self._due, self._desk.clock()):
            if len(self._tasks) < MOST_AT_ONCE and self._view.is_known(row["campaign"]):
                await self._begin_wave(row, shards)
                began = True
        return began

    def _due(self, now: datetime) -> list[tuple[RowMapping, int]]:
        """Find runs with shards that nobody works on, and how many those are."""
        with self._desk.database.reading() as session:
            rows = campaign_people.due_shards(
                session,
                now=now,
                limit=1000,
                except_campaigns=self._view.paused_journeys,
                lock=False,
            )
            shards = Counter(row["campaign_run_id"] for row in rows)
            found = [(record.run(session, campaign_run_id=id_), n) for id_, n in shards.items()]
        return [(row, number) for row, number in found if row and self._is_ours(row)]

    def _is_ours(self, row: RowMapping) -> bool:
        """Whether this worker may send for a run: nothing here does, and no other pool has to."""
        return row["id"] not in self._runs.about and self._elsewhere.pool_of(row["version"]) is None

    async def _begin_wave(self, row: RowMapping, shards: int) -> None:
        id_ = row["id"]
        if self._not_before.get(id_, 0) > asyncio.get_running_loop().time():
            return
        flow_run_id, running = await self._runs.of_campaign(
            self._view.flow_of(row["campaign"]),
            deployment_id=self._view.deployment_id(row["campaign"]),
            name=f"{row['campaign']} · wave · {shards} shard{'' if shards == 1 else 's'}",
            campaign_run_id=id_,
            tags=run_tags(campaign=row["campaign"], campaign_run_id=id_),
        )
        self._begin(flow_run_id, self._unless_it_fails(id_, running))

    async def _unless_it_fails(self, which: str, running: Coroutine[Any, Any, Outcome]) -> None:
        outcome = await running
        if outcome is not Outcome.DONE:
            loop = asyncio.get_running_loop()
            self._not_before[which] = loop.time() + AFTER_FAILURE
            log.warning("campaigns.run_failed", which=which, outcome=str(outcome))

    def _begin(self, flow_run_id: UUID, running: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(running)
        self._tasks[flow_run_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(flow_run_id, None))
