"""How the web is served: bounds on heads, connections and patience, which the application cannot set."""

from asyncio import Transport
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from signalpost.settings import Settings
from signalpost.web.guard import MOST_HEADER_BYTES

HEAD_SECONDS = 10.0  #: within about twice this, a head must have come, or the next request begun
KEEP_ALIVE = 5  #: seconds that an idle connection is kept
MOST_CONNECTIONS = 2_000  #: beyond them 503; people who watch their inbox hold one each


class Impatient(H11Protocol):
    """Uvicorn's protocol, and an end to its patience with whoever drips a head or a refused body."""

    head_seconds = HEAD_SECONDS

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to look whether requests come."""
        super().connection_made(transport)
        self._look_later(None)

    def _look_later(self, seen: RequestResponseCycle | None) -> None:
        self.loop.call_later(self.head_seconds, self._look, seen)

    def _look(self, seen: RequestResponseCycle | None) -> None:
        if self.transport.is_closing():
            return
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self.cycle is seen:
            self.transport.close()
        else:
            self._look_later(self.cycle if waits else None)


def config(app: Any, settings: Settings, **more: Any) -> Config:
    """Make Uvicorn's configuration; ``more`` goes before what is said here."""
    said: dict[str, Any] = {
        "host": settings.host,
        "port": settings.web_port,
        "http": Impatient,
        "ws": "none",
        "log_config": None,
        "access_log": False,  # its lines would hold addresses of links
        "server_header": False,
        "proxy_headers": bool(settings.proxies),
        "forwarded_allow_ips": ",".join(settings.proxies),
        "h11_max_incomplete_event_size": MOST_HEADER_BYTES,
        "limit_concurrency": MOST_CONNECTIONS,
        "timeout_keep_alive": KEEP_ALIVE,
        "timeout_graceful_shutdown": 3,
    }
    return Config(app, **said | more)
