"""Small helpers that both providers' endpoints need."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from signalpost.errors import BadInputError


class TooLargeError(BadInputError):
    """The request body is larger than this endpoint takes."""


def json_response(
    content: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return JSON, written by orjson."""
    return Response(orjson.dumps(content), status, headers, "application/json")


async def read_body(request: Request, *, limit: int) -> bytes:
    """Read the body; raises TooLargeError above ``limit`` bytes without reading on."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise TooLargeError
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


async def read_json(request: Request, *, limit: int = 1_000_000) -> dict[str, Any]:
    """Read a JSON object; raises BadInputError when it is something else."""
    try:
        found = orjson.loads(await read_body(request, limit=limit) or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadInputError(f"The body is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise BadInputError("The body must be a JSON object.")
    return found


def whole_number(request: Request, name: str, *, default: int, low: int, high: int) -> int:
    """Return a query parameter as a number within bounds; nonsense counts as not given."""
    text = request.query_params.get(name, "")
    return max(low, min(int(text), high)) if text.isdecimal() and len(text) < 16 else default
