"""What a worker does now and then beside the runs of its lane.

Most of it is one lane's to do for all: what is about people in need the service lane's, what is about
campaigns the marketing lane's. That a chore fails is logged, and it is done again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import partial
from typing import Any

import structlog
from prefect.client.orchestration import PrefectClient

from signalpost import bootstrap
from signalpost.domain.vocabulary import Lane, Purpose
from signalpost.services import retention
from signalpost.services.desk import Desk
from signalpost.services.intake import signals
from signalpost.services.journeys.enrolling import Journeys
from signalpost.services.privacy import erasing
from signalpost.services.ways_out import watching
from signalpost.services.ways_out.once_more import OnceMore
from signalpost.worker.campaign_artifacts import CampaignArtifacts
from signalpost.worker.campaign_clock import LOOK_EVERY as CLOCK_EVERY
from signalpost.worker.campaign_clock import CampaignClock
from signalpost.worker.deployments import Deployment
from signalpost.worker.diagrams import show_diagrams
from signalpost.worker.prefect_view import PrefectView
from signalpost.worker.reconciling import RECONCILE_EVERY, Reconciling
from signalpost.worker.runs import Runs
from signalpost.worker.sweep import close_lost_runs
from signalpost.worker.watcher import LOOK_EVERY, Watcher

log = structlog.get_logger()

# Seconds.
FILES_EVERY = 20.0
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


class Chores:
    """The chores of one lane's worker."""

    def __init__(
        self,
        desk: Desk,
        *,
        lane: str,
        client: PrefectClient,
        view: PrefectView,
        runs: Runs,
        reread: Reread | None,
    ) -> None:
        """Prepare them; ``reread``: see ``Reread``, None where the files do not change."""
        self.view = view
        self.artifacts = CampaignArtifacts(desk, client=client)
        self.watcher = Watcher(desk, client=client, view=view)
        self._desk, self._lane, self._client, self._runs = desk, lane, client, runs
        self._reread = reread
        purposes = [purpose for other, purpose in _ONCE_MORE.items() if other == lane]
        self._once_more = OnceMore(codes=bootstrap.ONCE_MORE_CODES, purposes=purposes)

    def of_lane(self, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
        """Give the chores that are this lane's to do; each goes on until it is cancelled."""
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


async def _every(seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
    """Do a chore now and then; that it fails is logged, and it is done again."""
    while True:
        try:
            await chore()
        except Exception as error:
            name = getattr(chore, "func", chore).__name__
            log.warning("worker.chore_failed", chore=name, error=type(error).__name__)
        await asyncio.sleep(seconds)
