"""The web process: signals in, receipts in, the inbox, the record's pages, and signs of life."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from signalpost.bootstrap import Signalpost
from signalpost.record.migrate import is_current
from signalpost.services.intake.signals import SignalPolicy
from signalpost.services.journeys.enrolling import Journeys
from signalpost.web import (
    api,
    audit,
    campaigns,
    edge,
    inbox,
    intake,
    links,
    metrics,
    openapi,
    pages,
    refusals,
    webhooks,
)
from signalpost.web.committer import Committer
from signalpost.web.doorkeeper import Doorkeeper, Route, check_declared, declared
from signalpost.web.guard import Guard, hosts_of, is_https

STATIC = Path(__file__).parent / "static"
_NOTE_USES_EVERY = 60.0  #: seconds


def _nothing() -> None:
    """Nobody to wake: the workers look by themselves."""


def create_app(signalpost: Signalpost, *, on_commit: Callable[[], None] = _nothing) -> FastAPI:
    """Make the web application; ``on_commit`` is called when something was written."""
    settings = signalpost.settings
    committer = Committer(
        database=signalpost.database,
        react=Journeys(signalpost.programs).react,
        policy=SignalPolicy(fingerprints=signalpost.desk.forgetting.fingerprints),
        clock=signalpost.desk.clock,
        on_commit=on_commit,
    )

    doorkeeper = Doorkeeper.of(signalpost)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        noting = asyncio.create_task(_note_uses(doorkeeper))
        yield
        noting.cancel()
        with suppress(asyncio.CancelledError):
            await noting
        await run_in_threadpool(committer.close)

    app = FastAPI(
        title="Signalpost",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        version="0.1.0",
    )
    app.router.route_class = Route
    app.state.doorkeeper = doorkeeper
    app.add_middleware(Guard, hosts=hosts_of(settings), https=is_https(settings))
    app.router.routes.extend(
        intake.routes(committer, doorkeeper=doorkeeper, webhook_secrets=settings.events_signed_with)
    )
    for module in (webhooks, inbox, links):
        app.include_router(module.router(signalpost, doorkeeper=doorkeeper, on_commit=on_commit))
    app.include_router(api.router(signalpost, doorkeeper=doorkeeper))
    app.include_router(metrics.router(signalpost, doorkeeper=doorkeeper))
    app.include_router(audit.router(signalpost, doorkeeper=doorkeeper))
    app.include_router(pages.router(signalpost, doorkeeper=doorkeeper))
    app.include_router(campaigns.json_router(signalpost, doorkeeper=doorkeeper))
    app.include_router(campaigns.router(signalpost, doorkeeper=doorkeeper))
    static = Mount("/static", StaticFiles(directory=STATIC), name="static")
    app.router.routes.append(declared(static, why="styles and scripts, the same for everybody"))
    _add_signs_of_life(app, signalpost, doorkeeper)
    refusals.add(app)
    check_declared(app)
    return app


async def _note_uses(doorkeeper: Doorkeeper) -> None:
    """Write now and then when keys were last used: far from the requests that use them."""
    while True:
        await asyncio.sleep(_NOTE_USES_EVERY)
        with suppress(SQLAlchemyError):  # the record is away; the next time will do
            await run_in_threadpool(doorkeeper.keyring.note_uses)


def _add_signs_of_life(app: FastAPI, signalpost: Signalpost, doorkeeper: Doorkeeper) -> None:
    probes = [doorkeeper.public("probes have no key, and learn one word")]
    described = [doorkeeper.public("describes the routes; holds nothing of the record")]

    @app.get("/openapi.json", include_in_schema=False, dependencies=described)
    async def description() -> Response:
        """Describe the routes that are JSON."""
        return JSONResponse(openapi.describe(app))

    @app.get("/healthz", include_in_schema=False, dependencies=probes)
    async def healthz() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False, dependencies=probes)
    async def readyz() -> Response:
        """Say whether signals can be taken: the database is there and has its tables."""
        try:
            current = await run_in_threadpool(is_current, signalpost.database.engine)
        except Exception as error:
            said = {"status": "the database is away", "error": type(error).__name__}
            return JSONResponse(said, 503, {"Retry-After": edge.RETRY_AFTER})
        if not current:
            said = {"status": "the database needs `signalpost migrate`"}
            return JSONResponse(said, 503, {"Retry-After": edge.RETRY_AFTER})
        return JSONResponse({"status": "ready"})
