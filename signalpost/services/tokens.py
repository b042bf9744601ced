"""Signed tokens: who and what a link is for, and when it was made, short and for one purpose only.

``~<body>.<signature>``, in URL-safe base64. The body is the customer's id and the message's, 16 bytes
each (zeros: none), the second it was made in, in 4, and what else there is to say, as JSON. The first
36 bytes end with a whole letter, so both parts are written apart: what all links of a campaign say is
written once. The signature is BLAKE2b with a key of the purpose (RFC 7693, 2.9), 18 bytes.

Tokens were JSON altogether once, and signed by SHA-1. People still have them in their mail, so they are
read until their time is over (``_read_older``).
"""

import re
import struct
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import orjson
from itsdangerous import BadSignature, Signer, URLSafeSerializer
from itsdangerous.signer import SigningAlgorithm

_HEAD = struct.Struct(">16s16sI")
_NOBODY = bytes(16)
_MARK = b"~"
_SIGNATURE = 18  #: bytes; they end with a whole letter of base64 too
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_SHORT = re.compile(r"~[\w-]{22}", re.ASCII)
#: A token, or an older one. Decoding base64 alone skips what it does not know.
_TOKEN = re.compile(r"~[\w-]{48,}\.[\w-]{24}|[\w.-]+", re.ASCII)

SIGNED = 1 + 24  #: letters that a token has more than its body


def head(customer_id: str, message_id: str, now: datetime) -> bytes:
    """Write the part of a body that is each message's own."""
    said = _HEAD.pack(_id(customer_id), _id(message_id), int(now.timestamp()))
    return _MARK + _whole(said)


@lru_cache(maxsize=1024)
def rest(claim: str, value: str) -> bytes:
    """Write the other part, which says the same in the links of many."""
    return more({claim: value})


def more(claims: Mapping[str, str]) -> bytes:
    """Write the other part when it says several things, or one person's."""
    return _base64(orjson.dumps(claims)) if claims else b""


def body(claims: Mapping[str, str], now: datetime) -> bytes:
    """Write a body: ``c`` and ``m`` are the ids of a customer and a message, if they are ids."""
    ids = {name: claims[name] for name in "cm" if _id(claims.get(name, "")) != _NOBODY}
    others = {name: value for name, value in claims.items() if name not in ids}
    return head(ids.get("c", ""), ids.get("m", ""), now) + more(others)


def key(secrets: tuple[str, ...], purpose: str) -> blake2b:
    """Begin a signature of the newest secret, to be copied for each token."""
    return blake2b(key=_signer(secrets, purpose).derive_key(), digest_size=_SIGNATURE)


def signed(said: bytes, by: blake2b) -> str:
    """Make the token of a body."""
    signature = by.copy()
    signature.update(said)
    return f"{said.decode()}.{_whole(signature.digest()).decode()}"


def read(secrets: tuple[str, ...], purpose: str, token: str) -> dict[str, Any]:
    """Give what a token claims, and as ``at`` the second it was made in.

    Raises:
        ValueError: forged, altered, or made for another purpose.
    """
    if not _TOKEN.fullmatch(token):
        raise ValueError("the token is not written as ours are")
    try:
        if not token.startswith(_MARK.decode()):
            return _read_older(secrets, purpose, token)
        said = urlsafe_b64decode(_signer(secrets, purpose).unsign(token)[1:] + b"==")
    except BadSignature as error:
        raise ValueError("the token is none of ours") from error
    customer, message, at = _HEAD.unpack_from(said)
    ids = {"c": customer, "m": message}
    others = orjson.loads(said[_HEAD.size :] or b"{}")
    own = {name: _written(raw.hex()) for name, raw in ids.items() if raw != _NOBODY}
    return own | others | {"at": at}


class _Keyed(SigningAlgorithm):
    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return blake2b(value, key=key, digest_size=_SIGNATURE).digest()


def _signer(secrets: tuple[str, ...], purpose: str) -> Signer:
    return Signer(list(secrets), salt=f"signalpost.token.{purpose}", algorithm=_Keyed())


def _base64(data: bytes) -> bytes:
    return _whole(data).rstrip(b"=")


def _whole(data: bytes) -> bytes:
    """Write bytes that end with a whole letter, which needs no filling up."""
    return b2a_base64(data, newline=False).translate(_URL_SAFE)


def _id(value: str) -> bytes:
    """Give an id's 16 bytes; zeros when it is none as we write them."""
    if len(value) != 36 or value[8::5][:4] != "----" or value != value.lower():
        return _NOBODY
    try:
        raw = bytes.fromhex(value.replace("-", ""))
    except ValueError:
        return _NOBODY
    return raw if len(raw) == 16 else _NOBODY


def _written(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _read_older(secrets: tuple[str, ...], purpose: str, token: str) -> dict[str, Any]:
    serializer = URLSafeSerializer(list(secrets), salt=f"signalpost.link.{purpose}")
    claims: dict[str, Any] = serializer.loads(token)
    return {name: _long(value) for name, value in claims.items()}


def _long(value: Any) -> Any:
    """An id was written in 23 letters instead of 36."""
    if not isinstance(value, str) or not _SHORT.fullmatch(value):
        return value
    return _written(urlsafe_b64decode(value[1:] + "==").hex())
