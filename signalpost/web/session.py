"""Sessions of browsers and the tickets that open them: signed, bound to a key, and ended with it.

A session is a signed cookie; it ends after twelve hours, and at once when its key is changed, revoked
or has expired. It holds no rights of its own: it names the key it was opened with, and may what that
key may now. A ticket is what ``signalpost up`` prints: it opens a session within a quarter of an hour.
It travels in the fragment of a link, which browsers keep to themselves, and is spent by a POST.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Response
from itsdangerous import BadSignature, URLSafeTimedSerializer

from signalpost.domain.access import Grant
from signalpost.services.access.keyring import seal_of
from signalpost.services.access.keys import hash_of
from signalpost.settings import Settings

COOKIE = "signalpost_session"
SESSION_SECONDS = 12 * 3600
TICKET_SECONDS = 15 * 60
API_KEY = "api_key"  #: the id of the installation's own key

Named = tuple[str, str]  #: the id of a key, and its seal


def _signer(secrets: Sequence[str], salt: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(list(secrets), salt=f"signalpost.{salt}")


def ticket(settings: Settings) -> str:
    """Make a ticket that opens a session within 15 minutes."""
    seal = seal_of(hash_of(settings.keys["api_key"]))
    return str(_signer(settings.links_signed_with, "ticket").dumps([API_KEY, seal]))


def login_link(settings: Settings, page: str = "/customers") -> str:
    """Give the link that ``up`` prints; nothing of it but the path reaches a server or a log."""
    return f"{settings.web_url}/login?next={page}#{ticket(settings)}"


@dataclass(frozen=True)
class Sessions:
    """Opens and reads sessions."""

    secrets: tuple[str, ...]
    secure: bool  #: whether the cookie goes over https only

    def open(self, response: Response, grant: Grant) -> None:
        """Open a session for whom a key let in."""
        response.set_cookie(
            COOKIE,
            str(_signer(self.secrets, "session").dumps([grant.key_id, grant.seal])),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=self.secure,
        )

    def close(self, response: Response) -> None:
        """End the session of this browser."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self.secure)

    def read(self, cookie: str) -> Named | None:
        """Tell the key that a session was opened with; None when it is none of ours, or too old."""
        return self._read("session", cookie, SESSION_SECONDS)

    def read_ticket(self, given: str) -> Named | None:
        """Tell the key that a ticket stands for; None when it is none of ours, or too old."""
        return self._read("ticket", given, TICKET_SECONDS)

    def _read(self, salt: str, token: str, seconds: int) -> Named | None:
        if not token:
            return None
        try:
            said = _signer(self.secrets, salt).loads(token, max_age=seconds)
        except BadSignature:
            return None
        match said:
            case [str(key_id), str(seal)]:
                return key_id, seal
            case _:
                return None
