"""The port of a worker: is it alive, can it work, and its figures. Open only when a port is set.

It is served by the loop that serves the lane, so an answer proves that this loop goes round. There is
no key: bind it where only your orchestrator and your scraper reach it (docs/operating.md).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from signalpost.bootstrap import Signalpost
from signalpost.errors import ConfigurationError
from signalpost.record.migrate import is_current
from signalpost.services.watching.panel import CONTENT_TYPE, Panel


class Probes:
    """Answers probes and scrapers."""

    def __init__(self, app: Signalpost, *, lane: str) -> None:
        self._app = app
        self._lane = lane
        self._panel = Panel(app.database, clock=app.desk.clock)

    async def alive(self, _: web.Request) -> web.Response:
        """Say that the loop goes round."""
        return web.json_response({"status": "ok", "lane": self._lane})

    async def ready(self, _: web.Request) -> web.Response:
        """Say whether there is anything to work with: the record, with this version's tables."""
        try:
            current = await asyncio.to_thread(is_current, self._app.database.engine)
        except Exception as error:
            said = {"status": "the database is away", "error": type(error).__name__}
            return web.json_response(said, status=503)
        if not current:
            said = {"status": "the database needs `signalpost migrate`"}
            return web.json_response(said, status=503)
        return web.json_response({"status": "ready", "lane": self._lane})

    async def metrics(self, _: web.Request) -> web.Response:
        """Give every figure."""
        text = await asyncio.to_thread(self._panel.text)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})


@asynccontextmanager
async def probed(app: Signalpost, *, lane: str) -> AsyncIterator[None]:
    """Answer at ``SIGNALPOST_WORKER_PORT`` meanwhile; without the setting, nowhere.

    Raises:
        ConfigurationError: somebody listens there already.
    """
    settings = app.settings
    if settings.worker_port is None:
        yield
        return
    probes = Probes(app, lane=lane)
    served = web.Application()
    served.router.add_get("/healthz", probes.alive)
    served.router.add_get("/readyz", probes.ready)
    served.router.add_get("/metrics", probes.metrics)
    runner = web.AppRunner(served, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await _listen(runner, settings.host, settings.worker_port)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ConfigurationError(
            f"Port {port} (a worker's) is taken, or {host} is no address of this machine. Stop what "
            "listens there, or set SIGNALPOST_WORKER_PORT; each worker on a machine needs its own."
        ) from error
