"""The record as JSON, for keys that may read it."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, Field
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool

from signalpost.bootstrap import Signalpost
from signalpost.content.campaigns import Folder
from signalpost.domain.access import Area, Grant
from signalpost.domain.identity import KINDS
from signalpost.errors import BadInputError, NotFoundError
from signalpost.record import api_keys, audit
from signalpost.services.privacy import exporting
from signalpost.services.reading import overview, sheet
from signalpost.services.reading.audience import standing
from signalpost.services.reading.timeline import timeline
from signalpost.services.reading.why import why
from signalpost.web import edge
from signalpost.web.doorkeeper import Doorkeeper, Route, grant_in

EXPORTED = "customer.exported"

T = TypeVar("T")
Id = Annotated[str, Field(max_length=36)]
Limit = Annotated[int, Query(ge=1, le=2000)]


class Lookup(BaseModel):
    """A key that leads to a customer; sent as a body, so that no address ends up in a log."""

    kind: str = Field(max_length=32, json_schema_extra={"enum": ["id", *KINDS]})
    value: str = Field(max_length=512)


def router(signalpost: Signalpost, *, doorkeeper: Doorkeeper) -> APIRouter:
    """Make the routes that read the record."""
    door = _Door(signalpost)
    routes = APIRouter(prefix="/v1", tags=["record"], route_class=Route)
    for path, handler, method, area in (
        ("/customers/lookup", door.lookup, "POST", Area.CUSTOMERS),
        ("/customers/{customer_id}", door.customer, "GET", Area.CUSTOMERS),
        ("/customers/{customer_id}/timeline", door.timeline, "GET", Area.CUSTOMERS),
        ("/customers/{customer_id}/why", door.why, "GET", Area.CUSTOMERS),
        ("/customers/{customer_id}/export", door.export, "GET", Area.EXPORTS),
        ("/journeys", door.journeys, "GET", Area.JOURNEYS),
        ("/cases", door.cases, "GET", Area.CASES),
        ("/events", door.events, "GET", Area.PARKED),
    ):
        needs = [doorkeeper.needs(area)]
        routes.add_api_route(path, handler, methods=[method], dependencies=needs)
    return routes


class ApiDoor:
    """What all JSON of the record shares: one reading transaction."""

    def __init__(self, signalpost: Signalpost) -> None:
        self._database = signalpost.database

    async def read(self, work: Callable[[Session], T]) -> T:
        """Read from the record; what is not there is 404."""

        def reading() -> T:
            with self._database.reading() as session:
                return work(session)

        try:
            return await edge.in_transaction(reading)
        except NotFoundError as error:
            raise HTTPException(404, str(error)) from None
        except BadInputError as error:
            raise HTTPException(400, str(error)) from None


def actor_of(session: Session, grant: Grant | None) -> str:
    """Say whom the audit log names for a key or a session: the key's name, or the installation's."""
    key_id = grant.key_id if grant else "unknown"
    made = [key for key in api_keys.called(session, which=key_id) if key.id == key_id]
    return f"key:{made[0].name if made else key_id}"


class _Door(ApiDoor):
    """The handlers."""

    def __init__(self, signalpost: Signalpost) -> None:
        super().__init__(signalpost)
        self._programs = signalpost.programs
        self._clock = signalpost.desk.clock
        self._folder = Folder(signalpost.settings.campaigns, signalpost.catalogue)

    async def customer(self, customer_id: Id) -> dict[str, Any]:
        """Who a customer is, how they may be reached, what they allow and what runs."""
        return await self.read(lambda s: sheet.sheet(s, customer_id=customer_id).to_json())

    async def timeline(
        self, customer_id: Id, limit: Limit = 500, before: datetime | None = None
    ) -> dict[str, Any]:
        """Everything that happened, oldest first; ``earlier`` says that there is more before."""
        if before is not None and before.tzinfo is None:
            raise HTTPException(400, "'before' needs a zone, such as 2026-03-02T09:30:00Z.")
        found = await self.read(
            lambda s: timeline(s, customer_id=customer_id, limit=limit, before=before)
        )
        return {
            "customer_id": customer_id,
            "earlier": found.earlier,
            "entries": [entry.to_json() for entry in found.entries],
        }

    async def why(
        self,
        customer_id: Id,
        about: Annotated[str | None, Query(max_length=100)] = None,
        limit: Limit = 500,
    ) -> dict[str, Any]:
        """Why messages were sent or not: the decisions with their reasons, oldest first.

        About a campaign also ``audience``: which clause holds for the customer, and which does not.
        """
        found = await self.read(lambda s: why(s, customer_id=customer_id, about=about, limit=limit))
        campaigns = await run_in_threadpool(self._folder.read)
        place = await self.read(
            lambda s: standing(
                s,
                campaigns=campaigns,
                about=about,
                customer_id=customer_id,
                now=self._clock(),
            )
        )
        decisions = [one.to_json() for one in found]
        audience = {"audience": place.to_json()} if place else {}
        return {"customer_id": customer_id, "decisions": decisions, **audience}

    async def export(self, request: Request, customer_id: Id) -> dict[str, Any]:
        """All data of a person, both ways, every table (docs/privacy.md shows the shape)."""
        now, grant = self._clock(), grant_in(request)
        found = await self.read(lambda s: exporting.export(s, customer_id=customer_id, now=now))

        def write_down() -> None:
            with self._database.writing() as session:
                audit.add(
                    session,
                    actor=actor_of(session, grant),
                    action=EXPORTED,
                    subject=f"customer:{found['customer_id']}",
                    detail={"rows": sum(found["rows"].values())},
                    now=now,
                )

        await edge.in_transaction(write_down)  # who was handed everything is on the log before
        return found

    async def lookup(self, wanted: Lookup) -> dict[str, str]:
        """Find a customer by a key: id, user_id, email, phone, order_id and so on."""
        found = await self.read(lambda s: sheet.find(s, kind=wanted.kind, value=wanted.value))
        return {"customer_id": found}

    async def journeys(self) -> dict[str, Any]:
        """Every journey with the number of people at each step."""
        found = await self.read(lambda s: overview.journeys(s, programs=self._programs))
        return {"journeys": [one.to_json() for one in found]}

    async def cases(
        self,
        status: Literal["awaiting_customer", "open", "closed"] | None = None,
        limit: Limit = 200,
    ) -> dict[str, Any]:
        """Cases, the most urgent first."""
        found = await self.read(lambda s: overview.cases(s, status=status, limit=limit))
        return {"cases": [sheet.case_json(one) for one in found]}

    async def events(
        self,
        status: Literal["parked", "guest", "historic", "conflict", "accepted"] = "parked",
        limit: Limit = 200,
    ) -> dict[str, Any]:
        """Events of one status, the newest first; parked ones say what they wait for."""
        found = await self.read(lambda s: overview.events(s, status=status, limit=limit))
        return {"events": [overview.event_json(one) for one in found]}
