"""Signals in: every route that takes them, and the writer behind them."""

from collections.abc import Sequence

from starlette.routing import BaseRoute

from signalpost.web import cloudevents, segment
from signalpost.web.committer import Committer, Unavailable

__all__ = ["Committer", "Unavailable", "routes"]


def routes(
    committer: Committer, *, write_key: str, webhook_secrets: Sequence[str] = ()
) -> list[BaseRoute]:
    """Return the routes that take signals in: Segment's, and ``/v1/events``.

    Raises:
        ConfigurationError: a webhook secret cannot be read.
    """
    return [
        *segment.routes(committer, write_key=write_key),
        *cloudevents.routes(committer, write_key=write_key, webhook_secrets=webhook_secrets),
    ]
