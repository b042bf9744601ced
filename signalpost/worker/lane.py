"""The loop of a lane: claim who is due, run their flow, look again."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from prefect.client.orchestration import PrefectClient
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bound_contextvars

from signalpost import bootstrap
from signalpost.domain.vocabulary import Lane, Purpose
from signalpost.record import enrolments
from signalpost.services import retention
from signalpost.services.desk import Desk
from signalpost.services.intake import signals
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import Claim, claim_due, release
from signalpost.services.journeys.enrolling import Journeys
from signalpost.services.privacy import erasing
from signalpost.services.ways_out import watching
from signalpost.services.ways_out.once_more import OnceMore
from signalpost.worker.campaign_artifacts import CampaignArtifacts
from signalpost.worker.campaign_clock import LOOK_EVERY as CLOCK_EVERY
from signalpost.worker.campaign_clock import CampaignClock
from signalpost.worker.campaigns import Campaigns
from signalpost.worker.client import shared_client
from signalpost.worker.deployments import Deployment
from signalpost.worker.diagrams import show_diagrams
from signalpost.worker.prefect_view import PrefectView
from signalpost.worker.reconciling import RECONCILE_EVERY, Reconciling
from signalpost.worker.runs import Outcome, Runs
from signalpost.worker.sweep import close_lost_runs
from signalpost.worker.wake import Wake
from signalpost.worker.watcher import LOOK_EVERY, Watcher

log = structlog.get_logger()

#: People claimed at once. In lane risk each has a run of their own, and as many go on side by side: most
#: of an alert's time is waiting, for Prefect, the record and the provider.
RISK_AT_ONCE, LIMIT = 8, 500
#: Seconds until a run must have begun: fraud then goes on without Prefect, the others can wait.
RISK_PATIENCE, PATIENCE = 0.6, 30.0

FILES_EVERY = 20.0
RECORD_AWAY = 1.0  #: seconds until the record is tried again
SWEEP_EVERY = 60.0
PARKED_EVERY = 5.0
ERASURES_EVERY = 15.0
PROVIDERS_EVERY = 30.0
ONCE_MORE_EVERY = 10.0
PRUNE_EVERY = 3600.0
PROGRESS_EVERY = 3.0
RESULTS_EVERY = 3600.0

#: What did not arrive is tried once more in its own lane; marketing is not.
_ONCE_MORE = {Lane.RISK: Purpose.SECURITY, Lane.SERVICE: Purpose.TRANSACTIONAL}


#: Gives the deployments as the files describe them, and the campaigns whose file cannot be read.
Reread = Callable[[], tuple[Collection[Deployment], Collection[str]]]


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
        self._client = client
        self._patience = patience or (RISK_PATIENCE if self._is_risk else PATIENCE)
        self._runs = Runs(client, patience=self._patience)
        self.campaigns = Campaigns(desk, client=client, view=self.view, runs=self._runs)
        self.artifacts = CampaignArtifacts(desk, client=client)
        self.watcher = Watcher(desk, client=client, view=self.view)
        self._reread = reread
        purposes = [purpose for other, purpose in _ONCE_MORE.items() if other == lane]
        self._once_more = OnceMore(codes=bootstrap.ONCE_MORE_CODES, purposes=purposes)
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
            async with self._beside(*self._chores(stop)):
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

    def _chores(self, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
        chores: list[Coroutine[Any, Any, None]] = [
            _every(SWEEP_EVERY, self.sweep),
            _every(SWEEP_EVERY, self.draw),
        ]
        if self._lane != Lane.MARKETING:  # two lanes look at all: one of them may be the trouble
            chores.append(_every(LOOK_EVERY, self.watcher.look))
        if self._lane in _ONCE_MORE:
            chores.append(_every(ONCE_MORE_EVERY, self._try_once_more))
        if self._lane == Lane.SERVICE:  # one lane does it for all
            chores.append(_every(PARKED_EVERY, self._release_parked))
            chores.append(_every(ERASURES_EVERY, self._go_on_erasing))
            chores.append(_every(PROVIDERS_EVERY, self._look_at_providers))
            reconciling = Reconciling(self._desk, client=self._client, view=self.view)
            chores.append(_every(RECONCILE_EVERY, reconciling.look))
            chores.append(_every(PRUNE_EVERY, partial(self._prune, stop)))
        if self._lane == Lane.MARKETING:
            chores.append(_every(PROGRESS_EVERY, self._show_progress))
            chores.append(_every(FILES_EVERY, self._read_files))
            chores.append(_every(RESULTS_EVERY, self._look_at_results))
            folder = bootstrap.current().settings.campaigns
            clock = CampaignClock(self._desk, view=self.view, folder=folder)
            chores.append(_every(CLOCK_EVERY, clock.look))
        return chores

    async def _read_files(self) -> None:
        """See campaign files that were written, or changed, while this worker goes on."""
        if self._reread is not None:
            self.view.declare(*await asyncio.to_thread(self._reread))

    async def _look_at_results(self) -> None:
        await self.artifacts.look(tell=self.view.reachable)

    async def _show_progress(self) -> None:
        if self.view.reachable:
            await self.artifacts.keep()

    async def _go_on_erasing(self) -> None:
        """Go on with erasures that a provider delayed."""
        await erasing.proceed_all(
            self._desk.database, forgetting=self._desk.forgetting, now=self._desk.clock()
        )

    async def _prune(self, stop: asyncio.Event) -> None:
        """Delete what has been kept for long enough; a worker that is stopped leaves off."""
        if self._desk.keep:
            gone = await asyncio.to_thread(
                retention.prune,
                self._desk.database,
                keep=self._desk.keep,
                now=self._desk.clock(),
                stop=stop.is_set,
            )
            log.info("worker.pruned", **gone)

    async def _try_once_more(self) -> None:
        await self._once_more.look(self._desk, now=self._desk.clock())

    async def _look_at_providers(self) -> None:
        """See whether texts arrive slowly, or are filtered."""
        await asyncio.to_thread(
            watching.look, self._desk.database, signs=bootstrap.SIGNS, now=self._desk.clock()
        )

    async def _release_parked(self) -> None:
        await asyncio.to_thread(self._let_parked_through)

    def _let_parked_through(self) -> None:
        with self._desk.database.writing() as session:
            signals.release_parked(
                session,
                now=self._desk.clock(),
                react=Journeys(self._desk.programs).react,
                policy=signals.SignalPolicy(fingerprints=self._desk.forgetting.fingerprints),
            )

    async def sweep(self) -> None:
        """Close the flow runs of workers that were killed."""
        if self.view.reachable:
            running = self._runs.going
            await close_lost_runs(self._client, self._desk, lane=self._lane, running=running)

    async def draw(self) -> None:
        """Show the lane's journeys as diagrams."""
        if self.view.reachable:
            ours = [one for one in self._desk.programs.values() if one.lane == self._lane]
            await show_diagrams(self._client, ours)

    @asynccontextmanager
    async def _beside(self, *chores: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(chore) for chore in chores]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _every(seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
    """Do a chore now and then; that it fails is logged, and it is done again."""
    while True:
        try:
            await chore()
        except Exception as error:
            name = getattr(chore, "func", chore).__name__
            log.warning("worker.chore_failed", chore=name, error=type(error).__name__)
        await asyncio.sleep(seconds)


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
