"""Tells Prefect of trouble, as events on which an operator's automations act.

``signalpost.lane.behind`` and so on (``services.watching.troubles``), once when trouble begins and
once, with ``.over``, when it has gone. What is said follows from the record, so a watcher that starts
anew, or a second one beside it, says the same under the same id, and Prefect takes it once.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import structlog
from prefect.client.orchestration import PrefectClient

from signalpost.services.desk import Desk
from signalpost.services.watching.troubles import Trouble, standing
from signalpost.worker.prefect_view import PrefectView

log = structlog.get_logger()

LOOK_EVERY = 15.0  #: seconds
_NAMESPACE = UUID("018f4f6e-6d3c-7c1e-9d0a-5c1f0e7b2a41")
#: What Prefect calls the resource of each kind.
_RESOURCES = {
    "provider.degraded": "signalpost.provider",
    "alert.unanswered": "signalpost.case",
    "lane.behind": "signalpost.lane",
    "campaign.paused": "signalpost.campaign-run",
}
#: A case that was answered speaks for itself.
_NEVER_OVER = ("alert.unanswered",)


class Watcher:
    """Looks now and then; says what has begun and what is over since it looked last."""

    def __init__(self, desk: Desk, *, client: PrefectClient, view: PrefectView) -> None:
        self._desk = desk
        self._client = client
        self._view = view
        self._told: dict[tuple[str, str, str], Trouble] = {}

    async def look(self) -> None:
        """Look once. While Prefect is away nothing is said; what still stands is said afterwards."""
        if not self._view.reachable:
            return
        found = {one.key: one for one in await asyncio.to_thread(self._standing)}
        begun = [one for key, one in found.items() if key not in self._told]
        over = [
            one
            for key, one in self._told.items()
            if key not in found and one.kind not in _NEVER_OVER
        ]
        events = [
            *(self._event(one) for one in begun),
            *(self._event(one, ".over") for one in over),
        ]
        if events:
            await self._client.request("POST", "/events", json=events)
        for one in begun:
            log.warning(f"trouble.{one.kind}", subject=one.subject, since=one.since.isoformat())
        for one in over:
            log.info(f"trouble.{one.kind}.over", subject=one.subject)
        self._told = found

    def _standing(self) -> list[Trouble]:
        with self._desk.database.reading() as session:
            return standing(
                session,
                now=self._desk.clock(),
                paused_journeys=self._view.paused_journeys,
                paused_lanes=self._view.paused_lanes,
            )

    def _event(self, one: Trouble, ending: str = "") -> dict[str, Any]:
        name = f"signalpost.{one.kind}{ending}"
        return {
            "event": name,
            "id": str(uuid5(_NAMESPACE, f"{name}:{one.subject}:{one.since.isoformat()}")),
            "occurred": datetime.now(UTC).isoformat(),  # Prefect sorts by its own clock
            "resource": {
                "prefect.resource.id": f"{_RESOURCES[one.kind]}.{one.subject}",
                "prefect.resource.name": one.name,
            },
            "related": [],
            "payload": {
                **one.detail,
                "since": one.since.isoformat(),
                "page": self._desk.links.base_url + _page(one.kind, one.detail),
            },
        }


def _page(kind: str, detail: Mapping[str, Any]) -> str:
    """Where the record shows it."""
    if kind == "campaign.paused":
        return f"/campaigns/{detail['run']}"
    if kind == "alert.unanswered":
        return f"/customers/{detail['customer']}"
    return "/journeys"
