"""Reading request bodies: bounded, unpacked, parsed; and checking the write key."""

import base64
import hmac
import re
import zlib
from typing import Any

import orjson
from starlette.requests import Request

from signalpost.web.errors import Problem

_GZIP, _ZLIB = 31, 15  #: zlib's window bits for the two wrappings
_DEEPEST = 200
_SPARE = 254 - _DEEPEST
#: Every escape of a JSON text in turn: a pair of surrogates, half of one, or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


async def read(request: Request, *, limit: int) -> bytes:
    """Read a body of at most ``limit`` bytes, packed or not.

    Raises:
        Problem: 413 when it is larger, 415 for an unknown encoding, 400 for broken packing.
    """
    too_large = Problem(
        413, f"the body is larger than {limit:,} bytes; send fewer events in one request"
    )
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > limit:
        raise too_large
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise too_large
        pieces.append(piece)
    body = b"".join(pieces)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Problem(415, f"content-encoding {encoding[:20]!r} is unknown; use gzip or none")
    return _unpack(body, _ZLIB if encoding == "deflate" else _GZIP, limit, too_large)


def _unpack(body: bytes, window: int, limit: int, too_large: Problem) -> bytes:
    """Unpack no further than the limit: a bomb costs no more than an honest body."""
    unpacker = zlib.decompressobj(window)
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise Problem(400, "the body is not what its content-encoding says") from error
    if len(plain) > limit:
        raise too_large
    if not unpacker.eof:
        raise Problem(400, "the packed body ends too early; send it again")
    return plain


def parse(body: bytes) -> Any:
    """Parse JSON; half a character becomes U+FFFD.

    JavaScript cuts an emoji in two with ``slice`` and sends ``\\ud83d`` without complaint; a whole
    batch must not be lost for it.

    Raises:
        Problem: 400, for what is no JSON.
    """
    try:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            whole = _ESCAPE.sub(_whole, body)
            if whole == body:
                raise
            return orjson.loads(whole)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Problem(400, f"the body is not valid JSON: {error.msg}", where=where) from error


def _whole(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape["half"] else escape[0]


def packed(value: Any) -> bytes:
    """Return JSON in one spelling (sorted keys), to be measured and compared.

    Raises:
        Problem: 400, for nesting deeper than 200.
    """
    try:
        # Inside as many lists as are left of orjson's 254 levels, so that it does the counting.
        whole = orjson.dumps(_wrapped(value), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise Problem(400, f"the JSON is nested deeper than {_DEEPEST} levels") from error
    return whole[_SPARE:-_SPARE]


def _wrapped(value: Any) -> Any:
    for _ in range(_SPARE):
        value = [value]
    return value


def basic_user(request: Request) -> str | None:
    """Return the user name of Basic authentication, or None when there is none at all.

    Raises:
        Problem: 401 when the header is there and broken.
    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
    except ValueError as error:
        raise unauthorised() from error


def bearer(request: Request) -> str | None:
    """Return the token of Bearer authentication."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def key_of(request: Request) -> str | None:
    """Return the key that a sender of signals gives in a header, or None when there is none.

    Raises:
        Problem: 401 when the header is broken.
    """
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else basic_user(request)


def same(given: object, expected: str) -> bool:
    """Compare secrets in constant time."""
    return (
        isinstance(given, str)
        and bool(expected)
        and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
    )


def unauthorised() -> Problem:
    """Return the refusal of a request without the right write key."""
    return Problem(
        401,
        "the write key is missing or wrong; send it as the user name of Basic authentication",
        headers={"www-authenticate": 'Basic realm="signalpost"'},
    )
