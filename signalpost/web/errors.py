"""How a refusal looks: RFC 9457 problem details, with ``where`` it is wrong.

``code`` and ``message`` say the same again under the names that analytics clients read.
"""

from collections.abc import Mapping

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

_TITLES = {
    400: "Bad request",
    401: "Not authorised",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported encoding",
    421: "Misdirected request",
    422: "Not valid",
    429: "Too many requests",
    431: "Headers too large",
    500: "Failed",
    503: "Unavailable",
}


class Problem(HTTPException):
    """A request that is refused; ``detail`` says what is wrong and what to do."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        where: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.where = where

    def response(self) -> Response:
        """Return the answer to send."""
        return problem(self.status_code, self.detail, where=self.where, headers=self.headers)


def problem(
    status: int,
    detail: str,
    *,
    title: str | None = None,
    where: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a refusal as JSON."""
    title = title or _TITLES.get(status, "Refused")
    body = {
        "status": status,
        "title": title,
        "detail": detail,
        "where": where,
        "code": title.lower().replace(" ", "_"),
        "message": detail,
    }
    return Response(
        orjson.dumps(body), status, headers=headers, media_type="application/problem+json"
    )
