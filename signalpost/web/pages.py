"""The pages: a customer's record, journeys, cases and parked events. A GET changes nothing."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from signalpost.bootstrap import Signalpost
from signalpost.domain.access import Area, Grant
from signalpost.domain.local_time import zone
from signalpost.services.reading import overview, sheet
from signalpost.web import edge, page_words
from signalpost.web.doorkeeper import PAGES, Doorkeeper, Route, check_same_origin
from signalpost.web.page_door import HOME, PageDoor, inside, templates

Show = Literal["all", "messages", "events", "decisions", "cases"]
MOST_FORM_BYTES = 8 * 1024
Order = Literal["newest", "oldest"]
_PAGES = re.compile(r"/(?!v1/|static/|webhooks/|links/)")


def wants_page(request: Request) -> bool:
    """Tell whether a person with a browser asks, and not a program."""
    accepts = request.headers.get("accept", "")
    return "text/html" in accepts and _PAGES.match(request.url.path) is not None


def error_page(
    request: Request, status: int, says: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Say on a page what is wrong; nothing of what was asked for is repeated."""
    values = {"status": status, "says": says, "may": frozenset(), "here": ""}
    return templates.TemplateResponse(
        request, "error.html", values, status_code=status, headers=dict(headers or {})
    )


def router(signalpost: Signalpost, *, doorkeeper: Doorkeeper) -> APIRouter:
    """Make the pages."""
    door = _Door(signalpost, doorkeeper)
    routes = APIRouter(
        include_in_schema=False, default_response_class=HTMLResponse, route_class=Route
    )
    start = doorkeeper.public("leads to the first page that a session may see, else to the sign-in")
    coming = doorkeeper.public("whoever signs in or out has no session yet, or none any more")

    def add(path: str, handler: Any, area: Area, method: str = "GET") -> None:
        needs = [doorkeeper.needs(area, page=True)]
        routes.add_api_route(path, handler, methods=[method], dependencies=needs)

    routes.add_api_route("/", door.start, methods=["GET"], dependencies=[start])
    routes.add_api_route("/login", door.login_page, methods=["GET"], dependencies=[coming])
    routes.add_api_route("/login", door.login, methods=["POST"], dependencies=[coming])
    routes.add_api_route("/logout", door.logout, methods=["POST"], dependencies=[coming])
    add("/customers", door.customers, Area.CUSTOMERS)
    add("/customers", door.search, Area.CUSTOMERS, "POST")
    add("/customers/{customer_id}", door.customer, Area.CUSTOMERS)
    add("/customers/{customer_id}/timeline", door.timeline, Area.CUSTOMERS)
    add("/customers/{customer_id}/why", door.why, Area.CUSTOMERS)
    add("/journeys", door.journeys, Area.JOURNEYS)
    add("/cases", door.cases, Area.CASES)
    add("/events", door.events, Area.PARKED)
    return routes


class _Door(PageDoor):
    """The handlers of the pages."""

    def __init__(self, signalpost: Signalpost, doorkeeper: Doorkeeper) -> None:
        super().__init__(signalpost)
        self._doorkeeper = doorkeeper
        self._programs = signalpost.programs

    # -- coming and going -------------------------------------------------------------------------

    async def start(self, request: Request) -> Response:
        """Lead to the first page that the session may see."""
        grant = await self._doorkeeper.signed_in(request)
        return RedirectResponse(_first(grant) if grant else "/login", 303)

    async def login_page(self, request: Request, next: str = HOME) -> Response:  # noqa: A002
        """Ask for the key."""
        return self.show(request, "login.html", next=inside(next), wrong=False, here="")

    async def login(self, request: Request) -> Response:
        """Open a session for whoever has the key or a fresh ticket."""
        form = await _form(request)
        where = inside(form.get("next", ""))
        grant = await self._doorkeeper.accept(request, form.get("key", "").strip())
        if grant is None:
            return self.show(request, "login.html", status=403, next=where, wrong=True, here="")
        allowed = where != HOME or Area.CUSTOMERS in grant.areas
        response = RedirectResponse(where if allowed else _first(grant), 303)
        self._doorkeeper.sessions.open(response, grant)
        return response

    async def logout(self, request: Request) -> Response:
        """End the session."""
        await _form(request)
        response = RedirectResponse("/login", 303)
        self._doorkeeper.sessions.close(response)
        return response

    # -- customers --------------------------------------------------------------------------------

    async def customers(self, request: Request) -> Response:
        """Show the people of whom we heard last, and a field to find others."""
        found = await self.read(lambda s: overview.customers(s))
        return self.show(request, "customers.html", found=found, nobody=False, here="customers")

    async def search(self, request: Request) -> Response:
        """Find a customer by any key; a POST, so that no address ends up in a URL or a log."""
        text = (await _form(request)).get("text", "")
        one = await self.read(lambda s: sheet.search(s, text=text[:512]))
        if one is not None:
            return RedirectResponse(f"/customers/{quote(one, safe='')}", 303)
        found = await self.read(lambda s: overview.customers(s))
        return self.show(
            request, "customers.html", status=404, found=found, nobody=True, here="customers"
        )

    async def customer(
        self, request: Request, customer_id: str, show: Show = "all", order: Order = "newest"
    ) -> Response:
        """Show one customer: the timeline, and beside it who it is and what is allowed."""
        found = await self._sheet(customer_id)
        values = self._timeline_values(found, show, order)
        return self.show(request, "customer.html", one=found, here="customers", **values)

    async def timeline(
        self,
        request: Request,
        customer_id: str,
        show: Show = "all",
        order: Order = "newest",
        seen: Annotated[str, Query(max_length=64)] = "",
        before: datetime | None = None,
    ) -> Response:
        """Give the timeline alone; 204 when it is what the page shows already."""
        before = before if before is None or before.tzinfo else None
        found = await self._sheet(customer_id, before=before)
        values = self._timeline_values(found, show, order, before=before)
        if seen and seen == values["seen"]:
            return Response(status_code=204)
        return self.show(request, "_timeline.html", one=found, here="customers", **values)

    async def why(self, request: Request, customer_id: str) -> Response:
        """Show every decision with its reason, grouped by what it was about."""
        found = await self._sheet(customer_id)
        tz = zone(found.who.root.zone or "") or page_words.UTC_ZONE
        groups = page_words.by_subject(found)
        return self.show(request, "why.html", one=found, groups=groups, tz=tz, here="customers")

    def _timeline_values(
        self, found: sheet.Sheet, show: str, order: str, before: datetime | None = None
    ) -> dict[str, Any]:
        tz = zone(found.who.root.zone or "") or page_words.UTC_ZONE
        entries = [e for e in found.timeline.entries if page_words.shown(e, show)]
        if order == "newest":
            entries.reverse()
        state = repr([(e.kind, e.id, e.says, e.at) for e in entries])
        return {
            "days": page_words.by_day(entries, tz),
            "count": len(entries),
            "show": show,
            "order": order,
            "tz": tz,
            "seen": hashlib.sha256(state.encode()).hexdigest()[:16],
            "first": found.timeline.entries[0].at if found.timeline.earlier else None,
            "older": before is not None,
            "prefect": self.settings.prefect_url,
        }

    async def _sheet(self, customer_id: str, before: datetime | None = None) -> sheet.Sheet:
        return await self.read(
            lambda s: sheet.sheet(s, customer_id=customer_id[:36], limit=400, before=before)
        )

    # -- many people ------------------------------------------------------------------------------

    async def journeys(self, request: Request) -> Response:
        """Show every journey with the people at each step."""
        found = await self.read(lambda s: overview.journeys(s, programs=self._programs))
        return self.show(request, "journeys.html", found=found, here="journeys")

    async def cases(
        self,
        request: Request,
        status: Literal["awaiting_customer", "open", "closed"] | None = None,
    ) -> Response:
        """Show what people of ours must see to."""
        found = await self.read(lambda s: overview.cases(s, status=status))
        counts = await self.read(overview.case_counts)
        values = {"found": found, "counts": counts, "chosen": status, "tz": page_words.UTC_ZONE}
        return self.show(request, "cases.html", here="cases", **values)

    async def events(self, request: Request) -> Response:
        """Show what waits for an order, a time or a repair."""
        found = await self.read(lambda s: overview.events(s, status="parked"))
        values = {"found": found, "tz": page_words.UTC_ZONE}
        return self.show(request, "events.html", here="events", **values)


def _first(grant: Grant) -> str:
    """The first page that somebody may see."""
    return next(path for area, path in PAGES.items() if area in grant.areas)


async def _form(request: Request) -> dict[str, str]:
    check_same_origin(request)
    return edge.form_of(await edge.body_of(request, limit=MOST_FORM_BYTES))
