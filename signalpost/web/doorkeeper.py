"""Who is let in where: every route says which area it belongs to, or why it is open to everybody.

A key comes as a bearer token; senders of signals may also give it as the user name of Basic
authentication. Browsers have a session that was opened with a key.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from signalpost.bootstrap import Signalpost
from signalpost.domain.access import Area, Grant, area_of_signal
from signalpost.errors import ConfigurationError
from signalpost.services.access.keyring import BuiltIn, Keyring
from signalpost.services.access.keys import PREFIX, parts_of
from signalpost.services.intake.signals import Signal
from signalpost.web import bodies
from signalpost.web.errors import Problem
from signalpost.web.limits import Buckets, Rates
from signalpost.web.session import API_KEY, COOKIE, Sessions

#: The areas that have pages, each with its first, in the order of the navigation.
PAGES: Mapping[Area, str] = {
    Area.CUSTOMERS: "/customers",
    Area.CASES: "/cases",
    Area.JOURNEYS: "/journeys",
    Area.CAMPAIGNS: "/campaigns",
    Area.PARKED: "/events",
    Area.AUDIT: "/audit",
}
_GRANT = "signalpost.grant"  #: in the ASGI scope
_SAFE = ("GET", "HEAD", "OPTIONS")
_SENDING = frozenset({Area.SIGNALS, Area.FRAUD_SIGNALS})

RouteT = TypeVar("RouteT", bound=BaseRoute)


class SignInFirst(Problem):
    """A page was asked for without a session."""

    def __init__(self) -> None:
        super().__init__(401, "Sign in first.")


class Doorkeeper:
    """Knows the keys and the sessions, and counts how often each comes."""

    def __init__(self, *, keyring: Keyring, sessions: Sessions, rates: Rates | None = None) -> None:
        rates = rates or Rates()
        self.keyring = keyring
        self.sessions = sessions
        self.signals = Buckets(rates.signals)
        self.requests = Buckets(rates.requests)
        self.attempts = Buckets(rates.attempts)

    @classmethod
    def of(cls, signalpost: Signalpost) -> "Doorkeeper":
        """Make the doorkeeper of this product."""
        settings, keys = signalpost.settings, signalpost.settings.keys
        return cls(
            keyring=Keyring(
                database=signalpost.database,
                built_in=(
                    BuiltIn("write_key", keys["write_key"], _SENDING),
                    BuiltIn(API_KEY, keys["api_key"], frozenset(Area)),
                ),
                clock=signalpost.desk.clock,
            ),
            sessions=Sessions(
                settings.links_signed_with, secure=settings.base_url.startswith("https://")
            ),
            rates=Rates(settings.signal_rate, settings.request_rate, settings.address_rate),
        )

    # -- who it is --------------------------------------------------------------------------------

    async def known(self, token: str | None) -> Grant | None:
        """Tell whom a key lets in."""
        if token and token.startswith(PREFIX) and (parts := parts_of(token)):
            await self._look_again(parts[0])
        return self.keyring.grant(token)

    async def signed_in(self, request: Request) -> Grant | None:
        """Tell whom the session of a browser lets in."""
        named = self.sessions.read(request.cookies.get(COOKIE, ""))
        return await self._sealed(*named) if named else None

    async def accept(self, request: Request, given: str) -> Grant | None:
        """Tell whom a key or a ticket lets in to the pages; wrong ones are counted.

        Raises:
            Problem: 429, too many wrong ones came from there.
        """
        named = self.sessions.read_ticket(given)
        grant = await (self._sealed(*named) if named else self.known(given))
        if grant is None or grant.areas.isdisjoint(PAGES):
            self.attempts.take(address_of(request))
            return None
        return grant

    async def _sealed(self, key_id: str, seal: str) -> Grant | None:
        if key_id != API_KEY:
            await self._look_again(key_id)
        return self.keyring.sealed(key_id, seal)

    async def _look_again(self, key_id: str) -> None:
        if self.keyring.is_stale(key_id):
            await run_in_threadpool(self.keyring.refresh)

    # -- senders of signals -----------------------------------------------------------------------

    async def sender(self, request: Request, token: str | None) -> Grant:
        """Tell who sends signals.

        Raises:
            Problem: 401 for what is no key, 403 for one that sends nothing, 429 for too many.
        """
        grant = await self.known(token)
        if grant is None:
            self.attempts.take(address_of(request))
            raise bodies.unauthorised()
        if grant.areas.isdisjoint(_SENDING):
            raise _not_allowed("sending signals")
        self.signals.check(grant.key_id)
        return grant

    def check_signal(self, grant: Grant, name: str, *, where: str | None = None) -> None:
        """Refuse a signal that this key may not send.

        Raises:
            Problem: 403.
        """
        if area_of_signal(name) not in grant.areas:
            raise _not_allowed(f"signals called {name[:100]!r}", where=where)

    def check_signals(self, grant: Grant, signals: Sequence[Signal]) -> None:
        """Refuse a batch with a signal that this key may not send.

        Raises:
            Problem: 403; it says which one.
        """
        if grant.areas >= _SENDING:
            return
        for place, signal in enumerate(signals):
            if area_of_signal(signal.name) not in grant.areas:
                self.check_signal(grant, signal.name, where=f"batch[{place}]")

    def count_signals(self, grant: Grant, signals: Sequence[Signal]) -> None:
        """Have a key pay for what it sends."""
        self.signals.pay(grant.key_id, len(signals) or 1)

    # -- routes -----------------------------------------------------------------------------------

    def needs(self, area: Area, *, page: bool = False) -> Any:
        """Declare that a route is for keys that open an area; a page leads to the sign-in."""
        return Depends(Door(self, area=area, page=page))

    def public(self, why: str, *, counted: bool = False) -> Any:
        """Declare that a route is open to everybody, and why; ``counted`` for each address."""
        return Depends(Door(self, why=why, counted=counted))


@dataclass(frozen=True, eq=False)
class Door:
    """What a route asks of whoever comes; as FastAPI's dependency it sees to it."""

    doorkeeper: Doorkeeper | None = None
    area: Area | None = None
    page: bool = False
    why: str = ""  #: it is open to everybody
    counted: bool = False

    async def __call__(self, request: Request) -> None:
        """Let a request pass.

        Raises:
            Problem: 401, 403 or 429.
        """
        if _GRANT in request.scope or self.doorkeeper is None:
            return
        if self.area is not None:
            request.scope[_GRANT] = await self._admit(request, self.doorkeeper, self.area)
        elif self.counted:
            self.doorkeeper.attempts.take(address_of(request))
            request.scope[_GRANT] = None

    async def _admit(self, request: Request, doorkeeper: Doorkeeper, area: Area) -> Grant:
        token = bodies.bearer(request)
        by_key = token is not None
        grant = await (doorkeeper.known(token) if by_key else doorkeeper.signed_in(request))
        if grant is None:
            if by_key:
                doorkeeper.attempts.take(address_of(request))
            raise SignInFirst if self.page and not by_key else _unknown()
        if area not in grant.areas:
            raise _not_allowed("this")
        if not by_key and request.method not in _SAFE:
            check_same_origin(request)
        doorkeeper.requests.take(grant.key_id)
        return grant


class Route(APIRoute):
    """FastAPI's route, which asks who comes before it reads what they brought."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["method"] in self.methods:
            for one in self.dependencies:
                if isinstance(one.dependency, Door):
                    await one.dependency(Request(scope, receive))
        await super().handle(scope, receive, send)


def declared(route: RouteT, *, area: Area | None = None, why: str = "") -> RouteT:
    """Declare the area of a route that is not FastAPI's and sees to it itself, or why it is open."""
    route.door = Door(area=area, why=why)  # type: ignore[attr-defined]
    return route


@dataclass(frozen=True)
class Declared:
    """A route with its door; None when it declares nothing."""

    path: str
    methods: frozenset[str]
    door: Door | None


def routes_of(app: FastAPI) -> list[Declared]:
    """Give every route of an application; of what is mounted, the mount stands for all."""
    found = []
    for route in iter_route_contexts(app.routes):
        doors = [
            one.dependency
            for one in getattr(route, "dependencies", None) or ()
            if isinstance(one.dependency, Door)
        ]
        door = doors[0] if doors else getattr(route.original_route, "door", None)
        found.append(Declared(route.path or "", frozenset(route.methods or {"GET"}), door))
    return found


def check_declared(app: FastAPI) -> None:
    """Refuse to serve a route that nobody has thought about.

    Raises:
        ConfigurationError: a route declares neither its area nor why it is open.
    """
    for route in routes_of(app):
        if route.door is None or not (route.door.area or route.door.why):
            raise ConfigurationError(
                f"The route {route.path} says neither which area it belongs to nor why it is public; "
                "give it doorkeeper.needs(area) or doorkeeper.public(why)."
            )


def grant_in(request: Request) -> Grant | None:
    """Give whom the door of this request let in."""
    return request.scope.get(_GRANT)


def address_of(request: Request) -> str:
    """Give where a request comes from; of IPv6 the network, since a household has that whole."""
    host = request.client.host if request.client else ""
    if ":" not in host:
        return host
    try:
        return str(ipaddress.ip_network(f"{host.partition('%')[0]}/64", strict=False))
    except ValueError:
        return host


def check_same_origin(request: Request) -> None:
    """Refuse a form that another site sends; SameSite=Strict does so too, this says it again.

    Raises:
        Problem: 403.
    """
    origin = request.headers.get("origin")
    fetched = request.headers.get("sec-fetch-site", "same-origin")
    elsewhere = origin is not None and urlsplit(origin).netloc != request.url.netloc
    if elsewhere or fetched not in ("same-origin", "none"):
        raise Problem(403, "This form was sent from another site.")


def _unknown() -> Problem:
    return Problem(
        401,
        "The key is missing or wrong; send it as Authorization: Bearer <key>.",
        headers={"www-authenticate": "Bearer"},
    )


def _not_allowed(what: str, *, where: str | None = None) -> Problem:
    return Problem(403, f"Your key does not open {what}; ask for one that does.", where=where)
