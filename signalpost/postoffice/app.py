"""The ASGI application, and the process that serves it."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from signalpost.errors import BadInputError, NotFoundError
from signalpost.postoffice import desk, page, sendgrid_api, twilio_api
from signalpost.postoffice.config import PostOfficeConfig
from signalpost.postoffice.guard import Guard
from signalpost.postoffice.http import TooLargeError, json_response
from signalpost.postoffice.office import Office


class PostOfficeApp(Starlette):
    """A Starlette application that lets fault injection reach the connection itself."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; only the server's own ``send``, not yet wrapped, knows its socket."""
        scope["signalpost.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        await super().__call__(scope, receive, send)


def create_app(config: PostOfficeConfig) -> Starlette:
    """Return the post office as an ASGI application; it opens its log when it starts.

    Raises ConfigurationError when the webhook key is not usable.
    """
    office = Office(config)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await office.open()
        try:
            yield
        finally:
            await office.close()

    app = PostOfficeApp(
        routes=[
            *twilio_api.routes(),
            *sendgrid_api.routes(),
            *desk.routes(),
            *page.routes(),
        ],
        middleware=[Middleware(Guard, host=config.host)],
        exception_handlers={BadInputError: _bad_input, NotFoundError: _not_found},
        lifespan=lifespan,
    )
    app.state.office = office
    return app


def serve(config: PostOfficeConfig) -> None:
    """Serve until SIGINT or SIGTERM; no access log, for its lines would hold addresses.

    Raises ConfigurationError, before anything listens, when the log or the key cannot be used.
    """
    app = create_app(config)
    app.state.office.load()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)  # uvicorn raises the signal again when it has closed
    uvicorn.run(
        app,
        host=config.host,
        port=config.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=2,
    )


def _leave(*_: object) -> None:
    raise SystemExit(0)


async def _bad_input(_: Request, error: Exception) -> Response:
    if isinstance(error, TooLargeError):
        return json_response({"error": "The body is too large."}, 413)
    return json_response({"error": str(error)}, 400)


async def _not_found(_: Request, error: Exception) -> Response:
    return json_response({"error": str(error)}, 404)
