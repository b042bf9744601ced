"""Signals in: every route that takes them, and the writer behind them."""

from collections.abc import Sequence

from starlette.routing import BaseRoute

from signalpost.web import cloudevents, segment
from signalpost.web.committer import Committer, Unavailable
from signalpost.web.doorkeeper import Doorkeeper

__all__ = ["Committer", "Unavailable", "routes"]


def routes(
    committer: Committer, *, doorkeeper: Doorkeeper, webhook_secrets: Sequence[str] = ()
) -> list[BaseRoute]:
    """Return the routes that take signals in: Segment's, and ``/v1/events``.

    Raises:
        ConfigurationError: a webhook secret cannot be read.
    """
    return [
        *segment.routes(committer, doorkeeper=doorkeeper),
        *cloudevents.routes(committer, doorkeeper=doorkeeper, webhook_secrets=webhook_secrets),
    ]
