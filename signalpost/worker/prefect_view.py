"""What Prefect says at this moment: which lanes and journeys are paused, and which runs are wanted."""

import asyncio
import os
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse

from signalpost.worker.campaign_deployments import ENTRYPOINT as CAMPAIGN_FLOW
from signalpost.worker.deployments import POOL, Deployment
from signalpost.worker.registering import is_campaign, known_deployments, tell_prefect
from signalpost.worker.runs import runs_of_lane

log = structlog.get_logger()

LOOK_EVERY = 2.0  #: seconds; a pause in the UI holds after at most this
HEARTBEAT_EVERY = 30.0
_SLOWEST = 10.0  #: seconds between looks while Prefect is away


class PrefectView:
    """Prefect as this lane saw it last; ``reachable`` is False until the first good look."""

    def __init__(
        self,
        client: PrefectClient,
        *,
        lane: str,
        declared: Sequence[Deployment],
        folder: Path,
        broken: Collection[str] = (),
    ) -> None:
        self.reachable = False
        self.lane_paused = False
        self.paused_lanes: frozenset[str] = frozenset()
        self.paused_journeys: frozenset[str] = frozenset()
        self.wanted: deque[FlowRun] = deque()
        self.wanted_campaigns: deque[FlowRun] = deque()
        self.campaigns: Mapping[str, DeploymentResponse] = {}
        self._ids: Mapping[str, UUID] = {}
        self._client = client
        self._lane = lane
        self._declared = {one.name: one for one in declared}
        self._folder = folder
        self._broken = broken
        self._flows: dict[str, Flow[..., Any]] = {}
        self._told = False
        self._last_heartbeat = float("-inf")
        self._looked = asyncio.Event()

    def declare(self, declared: Collection[Deployment], broken: Collection[str]) -> None:
        """Take what the files say now; Prefect is told at the next look when they have changed."""
        now = {one.name: one for one in declared}
        if {n: one.version for n, one in now.items()} != {
            n: one.version for n, one in self._declared.items()
        }:
            self._declared, self._broken, self._told = now, broken, False

    async def looked(self) -> None:
        """Wait until the first look is over, well or badly."""
        await self._looked.wait()

    def flow_of(self, name: str) -> Flow[..., Any]:
        """Give the flow of a deployment, imported once."""
        if name not in self._flows:
            # A campaign's file may be newer than this process; all of them have one flow.
            declared = self._declared.get(name) or Deployment(
                name=name, entrypoint=CAMPAIGN_FLOW, lane=self._lane
            )
            self._flows[name] = declared.load_flow()
        return self._flows[name]

    def import_flows(self) -> None:
        """Import the lane's flows now, so that no customer waits for it."""
        for deployment in self._declared.values():
            if deployment.lane == self._lane and deployment.pool == POOL:
                self.flow_of(deployment.name)

    def is_known(self, campaign: str) -> bool:
        """Whether Prefect has a deployment of this campaign."""
        return campaign in self.campaigns

    def is_declared(self, journey: str) -> bool:
        """Whether a journey has a deployment in our file."""
        return journey in self._declared

    def deployment_id(self, journey: str) -> UUID:
        """Give Prefect's id of a declared journey's deployment, after a good look."""
        return self._ids[journey]

    def deployment_of(self, flow_run: FlowRun) -> str | None:
        """Name the deployment of ours that a run belongs to."""
        names = (name for name, id_ in self._ids.items() if id_ == flow_run.deployment_id)
        ours = self._declared.keys() | self.campaigns.keys()
        return next((name for name in names if name in ours), None)

    def lost(self) -> None:
        """Note that Prefect did not answer; the next good look makes it reachable again."""
        if self.reachable:
            log.warning("prefect.away", lane=self._lane)
        self.reachable = False

    async def watch(self) -> None:
        """Keep looking."""
        pause = LOOK_EVERY
        while True:
            try:
                await self.look()
                pause = LOOK_EVERY
            except Exception as error:
                self.lost()
                pause = min(pause * 2, _SLOWEST)
                log.debug("prefect.look_failed", error=type(error).__name__)
            self._looked.set()
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Look once; raises what Prefect's client raises."""
        if not self._told:
            await self._tell()
        known = await known_deployments(self._client)
        ids = {one.name: one.id for one in known}
        if not {one.name for one in self._declared.values() if one.pool == POOL} <= ids.keys():
            self._told = False  # Prefect's database was lost: tell it again
            return await self.look()
        pool = await self._client.read_work_pool(POOL)
        queues = await self._client.read_work_queues(work_pool_name=POOL)
        self._ids = ids
        self.campaigns = {one.name: one for one in known if is_campaign(one)}
        self.paused_lanes = frozenset(
            queue.name for queue in queues if queue.is_paused or pool.is_paused
        )
        self.lane_paused = pool.is_paused or self._lane in self.paused_lanes
        self.paused_journeys = frozenset(one.name for one in known if one.paused)
        await self._fetch_wanted()
        if not self.reachable:
            log.info("prefect.reached", lane=self._lane)
        self.reachable = True
        return None

    async def _tell(self) -> None:
        notes = await tell_prefect(
            self._client,
            deployments=[*self._declared.values()],
            folder=self._folder,
            broken=self._broken,
        )
        for note in notes:  # `signalpost deploy` prints them instead
            log.warning("prefect.deployed", note=note)
        self._told = True

    async def _fetch_wanted(self) -> None:
        """See which runs are wanted.

        What a worker asks is dear, since Prefect also notes who asked: its pages call a queue ready for
        a minute from then on. So we ask with each sign of life, and else when there are any.
        """
        now = datetime.now(UTC)  # else those of the next days come too
        answers = (
            await self._client.get_scheduled_flow_runs_for_work_pool(
                POOL, work_queue_names=[self._lane], scheduled_before=now
            )
            if await self._beat() or await self._any_wanted(now)
            else []
        )
        flow_runs = [answer.flow_run for answer in answers]
        self.wanted_campaigns = deque(one for one in flow_runs if self._is_campaigns(one))
        self.wanted = deque(one for one in flow_runs if not self._is_campaigns(one))

    async def _any_wanted(self, now: datetime) -> bool:
        scheduled = (StateType.SCHEDULED,)
        found = await runs_of_lane(
            self._client, lane=self._lane, states=scheduled, begins_before=now, limit=1
        )
        return bool(found)

    def _is_campaigns(self, flow_run: FlowRun) -> bool:
        return self.deployment_of(flow_run) in self.campaigns

    async def _beat(self) -> bool:
        """Give a sign of life when it is time for one; says whether it was."""
        now = asyncio.get_running_loop().time()
        if now - self._last_heartbeat < HEARTBEAT_EVERY:
            return False
        self._last_heartbeat = now
        await self._client.send_worker_heartbeat(
            POOL, f"signalpost {self._lane} {os.getpid()}", HEARTBEAT_EVERY
        )
        return True
