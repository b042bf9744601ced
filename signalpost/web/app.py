"""The web process: signals in, receipts in, the inbox, the record's pages, and signs of life."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.staticfiles import StaticFiles

from signalpost.bootstrap import Signalpost
from signalpost.errors import BadInputError, ConflictError, NotFoundError
from signalpost.record.migrate import is_current
from signalpost.services.intake.signals import SignalPolicy
from signalpost.services.journeys.enrolling import Journeys
from signalpost.web import api, campaigns, edge, inbox, intake, links, metrics, pages, webhooks
from signalpost.web.committer import Committer
from signalpost.web.errors import Problem, problem
from signalpost.web.guard import Guard

STATIC = Path(__file__).parent / "static"
_AWAY = "The record cannot be reached at the moment; please come again."


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

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(committer.close)

    app = FastAPI(
        title="Signalpost", docs_url=None, redoc_url=None, lifespan=lifespan, version="0.1.0"
    )
    app.add_middleware(Guard)
    app.router.routes.extend(
        intake.routes(
            committer,
            write_key=settings.keys["write_key"],
            webhook_secrets=settings.events_signed_with,
        )
    )
    app.include_router(webhooks.router(signalpost, on_commit=on_commit))
    app.include_router(inbox.router(signalpost, on_commit=on_commit))
    app.include_router(links.router(signalpost, on_commit=on_commit))
    app.include_router(api.router(signalpost))
    app.include_router(metrics.router(signalpost))
    app.include_router(pages.router(signalpost))
    app.include_router(campaigns.json_router(signalpost))
    app.include_router(campaigns.router(signalpost))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _add_signs_of_life(app, signalpost)
    _add_refusals(app)
    return app


def _add_signs_of_life(app: FastAPI, signalpost: Signalpost) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
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


def _add_refusals(app: FastAPI) -> None:
    """Every refusal says what is wrong, and repeats nothing that was sent."""

    async def refused(_: Request, error: Any) -> Response:
        return error.response()

    async def http(request: Request, error: Any) -> Response:
        if pages.wants_page(request):
            return pages.error_page(request, error.status_code, str(error.detail), error.headers)
        return problem(error.status_code, str(error.detail), headers=error.headers)

    async def invalid(_: Request, error: Any) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(422, f"{where}: {first['msg']}", title="Not valid", where=where)

    async def away(request: Request, error: Any) -> Response:
        del error
        headers = {"Retry-After": edge.RETRY_AFTER}
        if pages.wants_page(request):
            return pages.error_page(request, 503, _AWAY, headers)
        return problem(503, _AWAY, headers=headers)

    def said(status: int) -> Callable[[Request, Any], Any]:
        async def answer(_: Request, error: Any) -> Response:
            return problem(status, str(error))

        return answer

    app.add_exception_handler(Problem, refused)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        app.add_exception_handler(kind, away)
    app.add_exception_handler(BadInputError, said(400))
    app.add_exception_handler(NotFoundError, said(404))
    app.add_exception_handler(ConflictError, said(409))
