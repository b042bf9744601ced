"""The in-app inbox over HTTP: for our own app, with a token that opens one person's inbox.

The app's server gets a token for its signed-in user with a key of the scope ``inbox``, and hands it
to the app.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field, model_validator
from sqlmodel import Session
from sse_starlette import EventSourceResponse, ServerSentEvent

from signalpost.bootstrap import Signalpost
from signalpost.domain.access import Area
from signalpost.errors import BadInputError, ConflictError, NotFoundError
from signalpost.services.inbound import inbox
from signalpost.services.links import LIFETIME, BadLinkError
from signalpost.web import bodies, edge
from signalpost.web.doorkeeper import Doorkeeper, Route, address_of
from signalpost.web.errors import Problem
from signalpost.web.feed import Feed

HEARTBEAT = 15  #: seconds between signs of life on an idle connection
MOST_CUSTOMERS = 100

T = TypeVar("T")


def _nothing() -> None:
    """Nobody to wake: the worker polls."""


class TokenFor(BaseModel):
    """Whose inbox a token is for: our customer id, or the shop's user id."""

    customer_id: str | None = Field(default=None, max_length=36)
    user_id: str | None = Field(default=None, max_length=512)

    @model_validator(mode="after")
    def _one(self) -> "TokenFor":
        if (self.customer_id is None) == (self.user_id is None):
            raise ValueError("give customer_id or user_id, one of them")
        return self


class AnswerIn(BaseModel):
    """An answer to the question of an item: yes, no, ok, or a number."""

    answer: str = Field(max_length=8)


def router(
    signalpost: Signalpost,
    *,
    doorkeeper: Doorkeeper,
    on_commit: Callable[[], None] = _nothing,
) -> APIRouter:
    """Make the inbox's routes; ``on_commit`` is called when an answer made an enrolment due."""
    door = _Door(signalpost, doorkeeper, on_commit)
    theirs: dict[str, Any] = {
        "dependencies": [doorkeeper.public("a token, signed for one person's inbox")]
    }
    ours: dict[str, Any] = {"dependencies": [doorkeeper.needs(Area.INBOXES)]}
    routes = APIRouter(prefix="/v1/inbox", tags=["inbox"], route_class=Route)
    routes.add_api_route("", door.page, methods=["GET"], **theirs)
    routes.add_api_route("/unread", door.unread, methods=["GET"], **theirs)
    stream: dict[int | str, dict[str, Any]] = {
        200: {"description": "News, as it comes", "content": {"text/event-stream": {}}}
    }
    routes.add_api_route(
        "/events",
        door.events,
        methods=["GET"],
        response_class=EventSourceResponse,
        responses=stream,
        **theirs,
    )
    routes.add_api_route("/customers", door.customers, methods=["GET"], **ours)
    routes.add_api_route("/tokens", door.make_token, methods=["POST"], status_code=201, **ours)
    routes.add_api_route("/seen-all", door.see_all, methods=["POST"], **theirs)
    routes.add_api_route("/{item_id}/answer", door.answer, methods=["POST"], **theirs)
    routes.add_api_route(
        "/{item_id}/{action}", door.act, methods=["POST"], status_code=204, **theirs
    )
    return routes


class _Door:
    """The handlers of the inbox."""

    def __init__(
        self, signalpost: Signalpost, doorkeeper: Doorkeeper, on_commit: Callable[[], None]
    ) -> None:
        self._desk = signalpost.desk
        self._database = signalpost.database
        self._doorkeeper = doorkeeper
        self._on_commit = on_commit
        self._feed = Feed(
            database=signalpost.database,
            catalogue=signalpost.desk.catalogue,
            clock=signalpost.desk.clock,
        )

    async def page(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        before: Annotated[str | None, Query(max_length=36)] = None,
        archived: bool = False,
    ) -> dict[str, Any]:
        """Give a page of the inbox, newest first."""
        return await self._read(
            self._customer(request),
            lambda session, root: inbox.page(
                session,
                catalogue=self._desk.catalogue,
                root=root,
                limit=limit,
                before=before,
                archived=archived,
                now=self._desk.clock(),
            ),
        )

    async def unread(self, request: Request) -> dict[str, int]:
        """Count what is neither read nor archived."""
        return await self._read(
            self._customer(request),
            lambda session, root: {
                "unread": inbox.unread(session, root=root, now=self._desk.clock())
            },
        )

    async def act(
        self,
        request: Request,
        item_id: str,
        action: Literal["seen", "read", "archive", "unarchive"],
    ) -> Response:
        """Mark an item."""
        await self._write(
            self._customer(request),
            lambda session, root: inbox.act(
                session, root=root, item_id=item_id, action=action, now=self._desk.clock()
            ),
        )
        return Response(status_code=204)

    async def see_all(self, request: Request) -> dict[str, int]:
        """Mark everything as seen."""
        return await self._write(
            self._customer(request),
            lambda session, root: {
                "seen": inbox.see_all(session, root=root, now=self._desk.clock())
            },
        )

    async def answer(self, request: Request, item_id: str, said: AnswerIn) -> dict[str, str]:
        """Answer the question an item asks."""
        done = await self._write(
            self._customer(request),
            lambda session, root: inbox.answer(
                session,
                catalogue=self._desk.catalogue,
                root=root,
                item_id=item_id,
                text=said.answer,
                now=self._desk.clock(),
            ),
        )
        if done.woke:
            self._on_commit()
        return {"status": "answered"}

    async def make_token(self, whose: TokenFor) -> dict[str, str]:
        """Make a token for one person's inbox."""

        def find(session: Session) -> str:
            if whose.user_id is not None:
                return inbox.root_of_user(session, user_id=whose.user_id)
            return inbox.root_of(session, customer_id=whose.customer_id or "")

        root = await self._attempt(partial(self._reading, find))
        return self._token(root)

    async def customers(self) -> list[dict[str, Any]]:
        """List the people who have in-app messages, with a token for each."""

        def find(session: Session) -> list[dict[str, Any]]:
            return inbox.people(session, limit=MOST_CUSTOMERS, now=self._desk.clock())

        people = await self._attempt(partial(self._reading, find))
        return [{**one, "token": self._token(one["customer_id"])["token"]} for one in people]

    async def events(
        self, request: Request, token: Annotated[str, Query(max_length=2000)] = ""
    ) -> EventSourceResponse:
        """Send news as it comes: ``item``, ``state`` and ``unread`` events (server-sent events).

        A browser's EventSource cannot set headers, so here, and only here, the token may be in the
        address.
        """
        customer_id = self._customer(request, token)
        root = await self._read(customer_id, lambda _session, root: root)
        return EventSourceResponse(self._news(root), ping=HEARTBEAT)

    async def _news(self, root: str) -> AsyncIterator[ServerSentEvent]:
        async with aclosing(self._feed.listen(root)) as heard:
            async for news in heard:
                for item in news.items:
                    yield _event("item", item)
                for state in news.states:
                    yield _event("state", state)
                yield _event("unread", {"unread": news.unread})

    def _token(self, root: str) -> dict[str, str]:
        now = self._desk.clock()
        until = datetime.fromtimestamp(int((now + LIFETIME["inbox"]).timestamp()), UTC)
        token = self._desk.links.token("inbox", now=now, c=root)
        return {"token": token, "expires_at": until.isoformat()}

    def _customer(self, request: Request, token: str = "") -> str:
        """Give the customer whose token this is."""
        given = bodies.bearer(request) or token
        try:
            return str(self._desk.links.read("inbox", given, now=self._desk.clock())["c"])
        except (BadLinkError, KeyError):
            self._doorkeeper.attempts.take(address_of(request))
            raise Problem(
                401,
                "The inbox token is missing, altered or too old; get one at POST /v1/inbox/tokens.",
                headers={"WWW-Authenticate": "Bearer"},
            ) from None

    async def _read(self, customer_id: str, work: Callable[[Session, str], T]) -> T:
        """Do ``work`` with the root of a token's customer."""
        return await self._attempt(partial(self._reading, _of(customer_id, work)))

    async def _write(self, customer_id: str, work: Callable[[Session, str], T]) -> T:
        done = await self._attempt(partial(self._writing, _of(customer_id, work)))
        self._feed.notify()
        return done

    def _reading(self, work: Callable[[Session], T]) -> T:
        with self._database.reading() as session:
            return work(session)

    def _writing(self, work: Callable[[Session], T]) -> T:
        with self._database.writing() as session:
            return work(session)

    @staticmethod
    async def _attempt(work: Callable[[], T]) -> T:
        """Answer with what went wrong: 404, 409 or 400."""
        try:
            return await edge.in_transaction(work)
        except NotFoundError as error:
            raise HTTPException(404, str(error)) from None
        except ConflictError as error:
            raise HTTPException(409, str(error)) from None
        except BadInputError as error:
            raise HTTPException(400, str(error)) from None


def _of(customer_id: str, work: Callable[[Session, str], T]) -> Callable[[Session], T]:
    return lambda session: work(session, inbox.root_of(session, customer_id=customer_id))


def _event(name: str, data: Any) -> ServerSentEvent:
    return ServerSentEvent(event=name, data=orjson.dumps(data).decode())
