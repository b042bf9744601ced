"""The loop of a lane: claim who is due, run their flow, look again."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from prefect.client.orchestration import PrefectClient
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bound_contextvars

from signalpost import bootstrap
from signalpost.domain.vocabulary import Lane
from signalpost.record import enrolments
from signalpost.services.desk import Desk
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import Claim, claim_due, release
from signalpost.worker.campaigns import Campaigns
from signalpost.worker.chores import Chores, Reread
from signalpost.worker.client import shared_client
from signalpost.worker.deployments import Deployment
from signalpost.worker.prefect_view import PrefectView
from signalpost.worker.runs import Outcome, Runs
from signalpost.worker.wake import Wake

log = structlog.get_logger()

#: People claimed at once. In lane risk each has a run of their own, and as many go on side by side: most
#: of an alert's time is waiting, for Prefect, the record and the provider.
RISK_AT_ONCE, LIMIT = 8, 500
#: Seconds until a run must have begun: fraud then goes on without Prefect, the others can wait.
RISK_PATIENCE, PATIENCE = 0.6, 30.0

RECORD_AWAY = 1.0  #: seconds until the record is tried again


class LaneWorker:
    """Serves one lane in this process, one run at a time."""

    def __init__(
        self,
        desk: Desk,
        *,
        lane: str,
        client: PrefectClient,
        declared: Collection[Deployment],
        folder: Path,
        broken: Collection[str] = (),
        patience: float | None = None,
        reread: Reread | None = None,
    ) -> None:
        """Prepare to serve ``lane``; ``patience`` is for slow machines, see ``RISK_PATIENCE``.

        ``broken``: campaigns whose file cannot be read. ``reread`` gives what the files say by then.
        """
        self.wake = Wake(desk.database, lane=lane)
        self.view = PrefectView(
            client, lane=lane, declared=[*declared], folder=folder, broken=broken
        )
        self._desk = desk
        self._lane = lane
        self._is_risk = lane == Lane.RISK
        self._patience = patience or (RISK_PATIENCE if self._is_risk else PATIENCE)
        self._runs = Runs(client, patience=self._patience)
        self.campaigns = Campaigns(desk, client=client, view=self.view, runs=self._runs)
        self.chores = Chores(
            desk, lane=lane, client=client, view=self.view, runs=self._runs, reread=reread
        )
        self._claims: deque[Claim] = deque()
        self._serving: set[asyncio.Task[Any]] = set()
        self._waited_for: str | None = None

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until told to stop; what is going on then is finished."""
        self.view.import_flows()
        bootstrap.spare_the_collector()
        async with self._beside(self.view.watch(), self.wake.listen()):
            await self.view.looked()  # else what is paused would not be known yet
            log.info("worker.ready", lane=self._lane, prefect=self.view.reachable)
            campaigns = asyncio.create_task(self._serve_campaigns(stop))
            async with self._beside(*self.chores.of_lane(stop)):
                while not stop.is_set():
                    await self._round_or_rest(stop)
                await self.served()
                await campaigns
            await self._runs.finished()
        await asyncio.to_thread(self._give_back)
        self.wake.close()
        log.info("worker.stopped", lane=self._lane, left=len(self._claims))

    def _give_back(self) -> None:
        """Let other workers have at once whom this one has claimed and not begun with."""
        with suppress(SQLAlchemyError), self._desk.database.writing() as session:
            for claim in self._claims:
                enrolments.let_go(session, claim_id=claim.id)

    async def _serve_campaigns(self, stop: asyncio.Event) -> None:
        if self._lane == Lane.MARKETING:
            await self.campaigns.serve(stop)

    async def _round_or_rest(self, stop: asyncio.Event) -> None:
        try:
            if not await self.round(stop):
                await self.wake.wait()
        except Exception as error:  # the record is away: its people keep their places in it
            log.warning("worker.round_failed", lane=self._lane, error=type(error).__name__)
            await asyncio.sleep(RECORD_AWAY)

    async def round(self, stop: asyncio.Event | None = None) -> bool:
        """Run what is wanted and who is due; False when there was nothing to do."""
        worked = False
        while self.view.wanted and self.view.reachable:
            worked |= await self.run_wanted()
        if self._is_risk:
            return await self._serve_side_by_side() or worked
        if not self._claims:
            self._claims.extend(await asyncio.to_thread(self._claim, LIMIT))
        while self._claims and not (stop and stop.is_set()):
            if not await self._serve_claim(self._claims[0]):
                break  # Prefect is away and this lane waits for it; the claim is kept meanwhile
            self._claims.popleft()
            worked = True
        return worked

    async def _serve_side_by_side(self) -> bool:
        """Begin with whoever is due, as many as there is room for; False when nobody is."""
        if len(self._serving) >= RISK_AT_ONCE:
            await asyncio.wait(self._serving, return_when=asyncio.FIRST_COMPLETED)
        room = RISK_AT_ONCE - len(self._serving)
        claims = await asyncio.to_thread(self._claim, room)
        for claim in claims:
            task = asyncio.create_task(self._serve_surely(claim))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        return bool(claims)

    async def served(self) -> None:
        """Wait until those whom the rounds began with are through."""
        if self._serving:
            await asyncio.wait(set(self._serving))

    async def _serve_surely(self, claim: Claim) -> None:
        """Serve a claim, trying again while the record is away; after that its lease runs out."""
        for _ in range(int(self._desk.lease.total_seconds() / RECORD_AWAY)):
            try:
                await self._serve_claim(claim)
            except Exception as error:
                name = type(error).__name__
                log.warning("worker.claim_failed", lane=self._lane, claim=claim.id, error=name)
                await asyncio.sleep(RECORD_AWAY)
            else:
                return

    def _claim(self, limit: int) -> list[Claim]:
        """Claim who is due, but nobody whose lane or journey an operator paused."""
        if self.view.lane_paused or not (self.view.reachable or self._is_risk):
            return []
        return claim_due(
            self._desk,
            lane=self._lane,
            now=self._desk.clock(),
            limit=limit,
            except_journeys=self.view.paused_journeys,
        )

    async def _serve_claim(self, claim: Claim) -> bool:
        """Take a claim to its end; False when it has to wait for Prefect."""
        with bound_contextvars(lane=self._lane, claim=claim.id, journey=claim.journey):
            return await self._take(claim)

    async def _take(self, claim: Claim) -> bool:
        if not self.view.is_declared(claim.journey):
            log.error("worker.no_deployment", journey=claim.journey, add_it_to="prefect.yaml")
            await self._without_prefect(claim)
        elif self.view.reachable:
            return await self._with_prefect(claim)
        elif self._is_risk:
            await self._without_prefect(claim)
        else:
            return False
        return True

    async def _with_prefect(self, claim: Claim) -> bool:
        outcome = await self._runs.of_claim(
            claim,
            flow=self.view.flow_of(claim.journey),
            deployment_id=self.view.deployment_id(claim.journey),
        )
        if outcome is not Outcome.NOT_BEGUN:
            return True
        self.view.lost()
        if self._is_risk:
            await self._without_prefect(claim)
        elif self._waited_for != claim.id:
            self._waited_for = claim.id  # once more, when Prefect answers again
            return False
        else:
            reason = "Prefect did not let the run begin"
            release(self._desk, claim_id=claim.id, reason=reason, now=self._desk.clock())
        return True

    async def _without_prefect(self, claim: Claim) -> None:
        """Fraud goes first, also when Prefect is away; ``run_id`` None on the record says so."""
        units = Direct(self._desk)
        try:
            report = await advance(self._desk, claim_id=claim.id, units=units, run_id=None)
        except Exception as error:
            reason = f"{type(error).__name__} without Prefect"
            log.warning("worker.batch_failed", claim=claim.id, reason=reason)
            release(self._desk, claim_id=claim.id, reason=reason, now=self._desk.clock())
        else:
            log.warning("worker.without_prefect", claim=claim.id, people=report.people)

    async def run_wanted(self) -> bool:
        """Run what a person or a schedule asked for, unless it belongs to another worker."""
        flow_run = self.view.wanted.popleft()
        name = self.view.deployment_of(flow_run)
        if name is None:
            return False
        outcome = await self._runs.asked_for(flow_run, flow=self.view.flow_of(name))
        return outcome is not Outcome.NOT_BEGUN

    @asynccontextmanager
    async def _beside(self, *chores: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(chore) for chore in chores]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def serve_lane(
    desk: Desk,
    *,
    lane: str,
    declared: Collection[Deployment],
    folder: Path,
    stop: asyncio.Event,
    broken: Collection[str] = (),
    reread: Reread | None = None,
) -> None:
    """Serve a lane with the one client that its runs share; the rest is as for ``LaneWorker``."""
    async with shared_client() as client:
        worker = LaneWorker(
            desk,
            lane=lane,
            client=client,
            declared=declared,
            folder=folder,
            broken=broken,
            reread=reread,
        )
        await worker.serve(stop)
