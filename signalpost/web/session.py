"""Who may read: the API key as a bearer token, or a session that was opened with it.

A session is a signed cookie; it ends after twelve hours, and at once when the key is changed. A
ticket is what ``signalpost up`` prints: it opens a session within a quarter of an hour. It travels in
the fragment of a link, which browsers keep to themselves, and is spent by a POST.
"""

import hashlib
from dataclasses import dataclass

from fastapi import Request, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer

from signalpost.bootstrap import Signalpost
from signalpost.settings import Settings
from signalpost.web import bodies

COOKIE = "signalpost_session"
SESSION_SECONDS = 12 * 3600
TICKET_SECONDS = 15 * 60


def _signer(settings: Settings, salt: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(list(settings.links_signed_with), salt=f"signalpost.{salt}")


def _print_of(settings: Settings) -> str:
    """Something that changes with the API key and does not tell it."""
    return hashlib.sha256(settings.keys["api_key"].encode()).hexdigest()[:16]


def ticket(settings: Settings) -> str:
    """Make a ticket that opens a session within 15 minutes."""
    return str(_signer(settings, "ticket").dumps(_print_of(settings)))


def login_link(settings: Settings, page: str = "/customers") -> str:
    """Give the link that ``up`` prints; nothing of it but the path reaches a server or a log."""
    return f"{settings.web_url}/login?next={page}#{ticket(settings)}"


@dataclass(frozen=True)
class Doorkeeper:
    """Lets readers in."""

    settings: Settings

    @classmethod
    def of(cls, signalpost: Signalpost) -> "Doorkeeper":
        """Make the doorkeeper of this product."""
        return cls(signalpost.settings)

    def knows(self, request: Request) -> bool:
        """Tell whether the request may read the record."""
        if given := bodies.bearer(request):
            return bodies.same(given, self.settings.keys["api_key"])
        return self._signed("session", request.cookies.get(COOKIE, ""), SESSION_SECONDS)

    def accepts(self, given: str) -> bool:
        """Tell whether what somebody brought is the API key or a ticket."""
        is_key = bodies.same(given, self.settings.keys["api_key"])
        return is_key or self._signed("ticket", given, TICKET_SECONDS)

    def open(self, response: Response) -> None:
        """Open a session."""
        response.set_cookie(
            COOKIE,
            str(_signer(self.settings, "session").dumps(_print_of(self.settings))),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=self.settings.base_url.startswith("https://"),
        )

    def close(self, response: Response) -> None:
        """End the session of this browser."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")

    def _signed(self, salt: str, token: str, seconds: int) -> bool:
        if not token:
            return False
        try:
            said = _signer(self.settings, salt).loads(token, max_age=seconds)
        except BadSignature:
            return False
        return isinstance(said, str) and bodies.same(said, _print_of(self.settings))
