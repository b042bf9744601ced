"""What the doors that are open to everybody share: bounded bodies, forms, outages, cautious pages."""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.concurrency import run_in_threadpool

T = TypeVar("T")

RETRY_AFTER = "5"  #: seconds
_MOST_FIELDS = 1_000
#: PostgreSQL: two transactions waited for each other, or wrote the same; the whole may be done again.
_AGAIN = frozenset({"40P01", "40001"})
_TRIES = 3

#: Pages behind links in messages: no scripts, no framing, no trace of the token anywhere else.
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}


async def body_of(request: Request, *, limit: int) -> bytes:
    """Read the raw body, and refuse more than ``limit`` bytes with 413 before reading on."""
    declared = request.headers.get("content-length", "")
    too_large = HTTPException(413, f"The body is larger than {limit} bytes.")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def form_of(raw: bytes) -> dict[str, str]:
    """Read a form; of a repeated field the last value. What a database cannot keep is replaced."""
    try:
        fields = parse_qsl(
            raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise HTTPException(400, "The form has too many fields.") from error
    return {_storable(name): _storable(value) for name, value in fields}


def _storable(text: str) -> str:
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


async def in_transaction(work: Callable[[], T]) -> T:
    """Run blocking ``work`` (one transaction) off the event loop.

    Done again when two transactions stood in each other's way. When the database is away the answer
    is 503 with Retry-After, so that the caller comes again.
    """
    for left in reversed(range(_TRIES)):
        try:
            return await run_in_threadpool(work)
        except (DBAPIError, PoolTimeout) as error:
            if left and getattr(getattr(error, "orig", None), "sqlstate", None) in _AGAIN:
                continue
            if isinstance(error, DBAPIError) and not _away(error):
                raise
            raise HTTPException(
                503,
                "The record cannot be reached at the moment; please come again.",
                {"Retry-After": RETRY_AFTER},
            ) from None
    raise AssertionError("unreachable")


def _away(error: DBAPIError) -> bool:
    return type(error).__name__ in ("OperationalError", "InterfaceError", "InternalError")
