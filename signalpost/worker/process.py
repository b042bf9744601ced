"""The process around the loop: environment first, then imports, then work until told to stop."""

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from signalpost.domain.vocabulary import Lane
from signalpost.settings import Settings
from signalpost.worker.environment import prefect_environment, worker_environment

if TYPE_CHECKING:  # Prefect is imported only after its environment is set
    from signalpost.bootstrap import Signalpost
    from signalpost.content import Catalogue
    from signalpost.worker.deployments import Deployment

#: How far a campaign steps back when the machine is busy: alerts, signals and Prefect go first.
_COURTESY = 10
_GLANCE = 0.1  #: seconds between looks for a signal
_LAST_MOMENT = 10.0  #: seconds to settle what was left behind
#: Of glibc's malloc.h: M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD. There is one heap, where each
#: thread would have its own; what is large lies outside, and goes back to the system when it is free.
_MEMORY = {-8: 1, -3: 128 * 1024, -1: 1024 * 1024}


def run(lane: str, settings: Settings) -> None:
    """Serve a lane until SIGTERM or SIGINT.

    Then nothing else is claimed or sent; requests that are under way are waited for, for the grace
    time at most or until a second signal. What they came to by then is settled, as unknown if need be.

    Raises:
        ConfigurationError: a setting, a journey or a deployment is wrong.
    """
    _prepare(settings, worker_environment(risk=lane == Lane.RISK))
    _give_memory_back()
    if lane == Lane.MARKETING:
        os.nice(_COURTESY)
    loop = _Loop(lane, settings)
    # Prefect's engine answers SIGTERM by crashing the run, but only in the main thread; so the
    # loop runs in another, and the main thread does nothing but wait for the signal.
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: told.append(number))
    loop.thread.start()
    _while(loop, lambda: not told)
    loop.stop()
    end = time.monotonic() + settings.grace
    _while(loop, lambda: len(told) < 2 and time.monotonic() < end)
    if loop.thread.is_alive():
        loop.hasten()
        _leave(loop)
    if loop.error is not None:
        raise loop.error


def _while(loop: "_Loop", holds: Callable[[], bool]) -> None:
    """Wait for the end of the loop, for as long as something holds."""
    while loop.thread.is_alive() and holds():
        loop.thread.join(_GLANCE)


def _leave(loop: "_Loop") -> None:
    """End the process when the loop has settled, without waiting for the threads of lost requests."""
    end = time.monotonic() + _LAST_MOMENT
    _while(loop, lambda: time.monotonic() < end)
    unsettled = loop.thread.is_alive()  # the record is away: leases and the sweeper see to the rest
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if unsettled or loop.error is not None else 0)


def register(settings: Settings) -> list[str]:
    """Make work pool, queues, the deployments of journeys and campaigns, and automations in Prefect.

    Gives what an operator should know, in sentences: a campaign's file that cannot be read, one that
    is gone, a schedule that was changed in Prefect and so stays, an automation that lacks a block.

    Raises:
        ConfigurationError: a deployment or an automation is wrong.
        httpx.HTTPError: Prefect does not answer.
    """
    _prepare(settings, {})
    from prefect import get_client

    from signalpost.content import Catalogue
    from signalpost.content.campaigns import load as load_campaigns
    from signalpost.worker import automations
    from signalpost.worker.campaign_deployments import everything, files_in
    from signalpost.worker.registering import tell_prefect

    catalogue = Catalogue.load(settings.templates)
    campaigns = load_campaigns(settings.campaigns, catalogue, broken="collect")
    declared = everything(campaigns, catalogue)

    async def tell() -> list[str]:
        async with get_client() as client:
            notes = await tell_prefect(
                client,
                deployments=declared,
                folder=Path.cwd(),
                broken=files_in(settings.campaigns),
            )
            return [*notes, *await automations.register(client, automations.read())]

    return [*(str(one) for one in campaigns.problems), *asyncio.run(tell())]


def _prepare(settings: Settings, more: dict[str, str]) -> None:
    """Set Prefect's environment where nobody else did, and make the project's folder importable."""
    ours = prefect_environment(settings.home, settings.prefect_port) | more
    for name, value in ours.items():
        os.environ.setdefault(name, value)
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)


def _give_memory_back() -> None:
    """Have glibc keep less of what a thread once needed, or a batch.

    Else a worker takes a fifth more, and grows while a million are sent to (``benchmarks/million.py``).
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if tune is None:  # not in every C library
        return
    for what, value in _MEMORY.items():
        tune(what, value)


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
        self._app: Signalpost | None = None

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """Ask the loop to end after what it is doing."""
        if self._stop is not None:
            self._tell(self._stop.set)
        if self._app is not None:
            self._tell(self._app.stopping.begin)

    def hasten(self) -> None:
        """Have the loop wait for no provider any more."""
        if self._app is not None:
            self._tell(self._app.stopping.hasten)

    def _tell(self, act: Callable[[], None]) -> None:
        if self._loop is not None and self.thread.is_alive():
            with suppress(RuntimeError):  # it ended just now
                self._loop.call_soon_threadsafe(act)

    async def _serve(self) -> None:
        from signalpost import bootstrap
        from signalpost.worker.campaign_deployments import everything, files_in
        from signalpost.worker.lane import serve_lane
        from signalpost.worker.probes import probed

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = self._app = bootstrap.build(self._settings)
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
