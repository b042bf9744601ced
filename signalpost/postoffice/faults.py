"""Faults on request: the next matching calls go wrong in a chosen way.

===================  ==============================================================================
``429``              too many requests, with ``Retry-After`` when ``retry_after`` is given
``400``              refused; Twilio by ``code``
``401``              the key is revoked
``500`` ``503``      an error page; ``_processed``: the message was taken, ``_not_processed``: it was not
``html``             200 and a page in HTML, as a captive portal answers
``garbled``          the answer is cut off in the middle of its JSON
``redirect``         301 to another host
``timeout``          no answer at all
``slow``             the right answer after ``seconds``
``drip``             the right answer, a byte a second
``reset``            the connection is torn down
===================  ==============================================================================

``html``, ``garbled``, ``timeout`` and ``reset`` also as ``…_processed``; ``slow`` and ``drip`` always
take the message.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from signalpost.errors import BadInputError

_ERRORS = frozenset({"500", "502", "503", "504"})
_EITHER_WAY = frozenset({"timeout", "reset", "html", "garbled"})
_LATE = frozenset({"slow", "drip"})
FAULTS = frozenset(
    {"429", "400", "401", "redirect", *_LATE, *_EITHER_WAY}
    | {f"{name}_processed" for name in _ERRORS | _EITHER_WAY}
    | {f"{name}_not_processed" for name in _ERRORS}
)
_PROVIDERS = frozenset({"twilio", "sendgrid"})
_HANG = 120.0  #: seconds a call without an answer is held at most


@dataclass(slots=True)
class Fault:
    """One way to go wrong, for a number of calls."""

    provider: str
    fault: str
    times: int
    to: str | None = None
    code: int | None = None  #: Twilio's error code for fault ``400``
    retry_after: int | None = None  #: seconds, sent with fault ``429``
    seconds: float = 1.0  #: how long the answer takes with fault ``slow``

    @property
    def processed(self) -> bool:
        """Whether the message is taken all the same."""
        taken = self.fault.endswith("_processed") and not self.fault.endswith("not_processed")
        return taken or self.fault in _LATE

    @property
    def kind(self) -> str:
        """What goes wrong, without whether the message is taken."""
        return self.fault.removesuffix("_processed").removesuffix("_not")


class Faults:
    """The faults still to come, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, wish: Any) -> Fault:
        """Keep one fault; raises BadInputError when it is not one we know."""
        if not isinstance(wish, dict) or wish.get("provider") not in _PROVIDERS:
            raise BadInputError("A fault needs a provider: twilio or sendgrid.")
        if wish.get("fault") not in FAULTS:
            raise BadInputError(f"A fault is one of {', '.join(sorted(FAULTS))}.")
        times, match = wish.get("times", 1), wish.get("match") or {}
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise BadInputError("times is how many calls go wrong: a whole number from 1.")
        if not isinstance(match, dict) or set(match) - {"to"}:
            raise BadInputError('match is {"to": address} or {}.')
        fault = Fault(
            wish["provider"],
            wish["fault"],
            times,
            match.get("to"),
            wish.get("code"),
            wish.get("retry_after"),
            _seconds(wish.get("seconds", 1.0)),
        )
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Let everything go right again."""
        self._faults.clear()

    def take(self, provider: str, addresses: set[str]) -> Fault | None:
        """Return the fault that hits this call, if any, and count it."""
        for fault in self._faults:
            if fault.provider == provider and (fault.to is None or fault.to in addresses):
                fault.times -= 1
                if not fault.times:
                    self._faults.remove(fault)
                return fault
        return None

    def listed(self) -> list[dict[str, Any]]:
        """Return what is still to come."""
        return [asdict(fault) for fault in self._faults]

    def __bool__(self) -> bool:
        return bool(self._faults)


def _seconds(wish: Any) -> float:
    if isinstance(wish, bool) or not isinstance(wish, int | float) or not 0 <= wish <= _HANG:
        raise BadInputError(f"seconds is how long an answer takes: from 0 to {_HANG:.0f}.")
    return float(wish)


async def go_wrong(request: Request, fault: Fault, right: Response | None) -> Response | None:
    """Answer as ``fault`` says, or None when that is for the provider's own words.

    ``right`` is what would have been answered, when the message was taken.
    """
    match fault.kind:
        case "timeout":
            return await hang(request)
        case "reset":
            return await reset(request)
        case "html":
            return HTMLResponse("<html><body>Please sign in to the network.</body></html>")
        case "garbled":
            return Response(b'{"sid": "SM00', media_type="application/json")
        case "redirect":
            return Response(status_code=301, headers={"Location": "http://127.0.0.1:9/elsewhere"})
        case "502" | "503" | "504":
            page = f"<html><body><h1>{fault.kind}</h1></body></html>"
            return HTMLResponse(page, int(fault.kind))
        case "slow" if right is not None:
            await asyncio.sleep(fault.seconds)
            return right
        case "drip" if right is not None:
            return StreamingResponse(_drip(bytes(right.body)), right.status_code, right.headers)
        case _:
            return None


async def _drip(body: bytes) -> AsyncIterator[bytes]:
    for place in range(len(body)):
        await asyncio.sleep(1)
        yield body[place : place + 1]


async def hang(request: Request) -> Response:
    """Give no answer: hold the call until the client goes away."""
    try:
        async with asyncio.timeout(_HANG):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass
    return Response(status_code=504)


async def reset(request: Request) -> Response:
    """Cut the connection without an answer, as a dying load balancer does."""
    transport = request.scope.get("signalpost.transport")
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:  # a RST instead of an orderly end
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return Response(status_code=502)
