"""Who did what, as a page and as JSON. It is shown here; the log itself is verified by the command."""

from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Row
from starlette.responses import HTMLResponse

from signalpost.bootstrap import Signalpost
from signalpost.domain.access import Area
from signalpost.record import audit
from signalpost.web.api import Limit
from signalpost.web.doorkeeper import Doorkeeper, Route
from signalpost.web.page_door import PageDoor

_ON_A_PAGE = 100

Subject = Annotated[str, Query(max_length=200)]
Before = Annotated[int | None, Query(ge=1, le=2**62)]


def router(signalpost: Signalpost, *, doorkeeper: Doorkeeper) -> APIRouter:
    """Make the page and the JSON of the audit log."""
    door = _Door(signalpost)
    routes = APIRouter(route_class=Route)
    routes.add_api_route(
        "/audit",
        door.page,
        methods=["GET"],
        dependencies=[doorkeeper.needs(Area.AUDIT, page=True)],
        include_in_schema=False,
        response_class=HTMLResponse,
    )
    routes.add_api_route(
        "/v1/audit",
        door.entries,
        methods=["GET"],
        dependencies=[doorkeeper.needs(Area.AUDIT)],
        tags=["audit"],
    )
    return routes


class _Door(PageDoor):
    """The handlers."""

    async def page(
        self, request: Request, subject: Subject = "", before: Before = None
    ) -> Response:
        """Show what was done, the newest first."""
        found = await self._found(subject, before, _ON_A_PAGE)
        values = {"found": [_as_json(row) for row in found], "subject": subject, "here": "audit"}
        more = found[-1].number if len(found) == _ON_A_PAGE else None
        return self.show(request, "audit.html", more=more, **values)

    async def entries(
        self, subject: Subject = "", before: Before = None, limit: Limit = 200
    ) -> dict[str, Any]:
        """What operators and marketers did, the newest first; ``before`` is an entry's number."""
        found = await self._found(subject, before, limit)
        head = await self.read(audit.head)
        return {"head": str(head), "entries": [_as_json(row) for row in found]}

    async def _found(self, subject: str, before: int | None, limit: int) -> list[Row[Any]]:
        about = subject.strip().replace("\0", "") or None
        return await self.read(
            lambda s: audit.entries(s, subject=about, before=before, limit=limit)
        )


def _as_json(row: Row[Any]) -> dict[str, Any]:
    at: datetime = row.at
    return {**row._asdict(), "at": at, "detail": orjson.loads(row.detail)}
