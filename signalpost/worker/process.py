"""The process around the loop: environment first, then imports, then work until told to stop."""

import asyncio
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from signalpost.domain.vocabulary import Lane
from signalpost.settings import Settings
from signalpost.worker.environment import prefect_environment, worker_environment

if TYPE_CHECKING:  # Prefect is imported only after its environment is set
    from signalpost.content import Catalogue
    from signalpost.worker.deployments import Deployment

#: How far a campaign steps back when the machine is busy: alerts, signals and Prefect go first.
_COURTESY = 10


def run(lane: str, settings: Settings) -> None:
    """Serve a lane until SIGTERM or SIGINT; the batch that is going on is finished first.

    Raises:
        ConfigurationError: a setting, a journey or a deployment is wrong.
    """
    _prepare(settings, worker_environment(risk=lane == Lane.RISK))
    if lane == Lane.MARKETING:
        os.nice(_COURTESY)
    loop = _Loop(lane, settings)
    # Prefect's engine answers SIGTERM by crashing the run, but only in the main thread; so the
    # loop runs in another, and the main thread does nothing but wait for the signal.
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    loop.thread.start()
    while loop.thread.is_alive() and not told.wait(0.2):
        continue
    loop.stop()
    loop.thread.join()
    if loop.error is not None:
        raise loop.error


def register(settings: Settings) -> list[str]:
    """Make the work pool, its queues and the deployments of journeys and campaigns in Prefect.

    Gives what an operator should know, in sentences: a campaign's file that cannot be read, one that
    is gone, a schedule that was changed in Prefect and so stays.

    Raises:
        ConfigurationError: a deployment is wrong.
        httpx.HTTPError: Prefect does not answer.
    """
    _prepare(settings, {})
    from prefect import get_client

    from signalpost.content import Catalogue
    from signalpost.content.campaigns import load as load_campaigns
    from signalpost.worker.campaign_deployments import everything, files_in
    from signalpost.worker.registering import tell_prefect

    catalogue = Catalogue.load(settings.templates)
    campaigns = load_campaigns(settings.campaigns, catalogue, broken="collect")
    declared = everything(campaigns, catalogue)

    async def tell() -> list[str]:
        async with get_client() as client:
            return await tell_prefect(
                client,
                deployments=declared,
                folder=Path.cwd(),
                broken=files_in(settings.campaigns),
            )

    return [*(str(one) for one in campaigns.problems), *asyncio.run(tell())]


def _prepare(settings: Settings, more: dict[str, str]) -> None:
    """Set Prefect's environment where nobody else did, and make the project's folder importable."""
    ours = prefect_environment(settings.home, settings.prefect_port) | more
    for name, value in ours.items():
        os.environ.setdefault(name, value)
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)


def _described(settings: Settings, catalogue: "Catalogue") -> tuple[list["Deployment"], set[str]]:
    """Describe the deployments by the files as they are now."""
    from signalpost.content.campaigns import load as load_campaigns
    from signalpost.worker.campaign_deployments import everything, files_in

    campaigns = load_campaigns(settings.campaigns, catalogue, broken="collect")
    return everything(campaigns, catalogue), files_in(settings.campaigns)


class _Loop:
    """Runs the loop of a lane in a thread, and keeps what went wrong."""

    def __init__(self, lane: str, settings: Settings) -> None:
        self.thread = threading.Thread(target=self._run, name=f"lane-{lane}")
        self.error: BaseException | None = None
        self._lane = lane
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """Ask the loop to end after what it is doing."""
        if self._loop is not None and self._stop is not None and self.thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        from signalpost import bootstrap
        from signalpost.worker.campaign_deployments import everything, files_in
        from signalpost.worker.lane import serve_lane
        from signalpost.worker.probes import probed

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = bootstrap.build(self._settings)
        bootstrap.use(app)
        try:
            async with probed(app, lane=self._lane):
                await serve_lane(
                    app.desk,
                    lane=self._lane,
                    declared=everything(app.desk.campaigns, app.desk.catalogue),
                    folder=Path.cwd(),
                    stop=self._stop,
                    broken=files_in(self._settings.campaigns),
                    reread=partial(_described, self._settings, app.desk.catalogue),
                )
        finally:
            bootstrap.use(None)
            await app.aclose()
