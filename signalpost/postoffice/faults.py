"""Faults on request: the next matching calls go wrong in a chosen way."""

import asyncio
import socket
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from signalpost.errors import BadInputError

FAULTS = frozenset(
    {"429", "400", "500_processed", "500_not_processed", "timeout_processed", "timeout", "reset"}
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

    @property
    def processed(self) -> bool:
        """Whether the message is taken all the same."""
        return self.fault.endswith("_processed") and not self.fault.endswith("not_processed")


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
