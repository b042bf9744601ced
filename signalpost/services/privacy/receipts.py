"""The receipt of an erasure: what was erased, signed, so that anybody can tell whether it is ours.

Ed25519 (RFC 8032) over the canonical JSON of all but the signature: keys sorted, no spaces, UTF-8.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from signalpost.errors import BadInputError, ConfigurationError

FORMAT = "signalpost.erasure-receipt"
_UNSIGNED = ("signature",)


class Signer:
    """Signs receipts with one key, and knows its own again."""

    def __init__(self, key: str) -> None:
        """``key``: 32 bytes in base64.

        Raises:
            ConfigurationError: the key is malformed.
        """
        try:
            self._key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(key, validate=True))
        except ValueError as error:
            raise ConfigurationError(
                "The key that signs erasure receipts (SIGNALPOST_ERASURE_KEY) is not 32 bytes in "
                "base64."
            ) from error

    @property
    def public_key(self) -> str:
        """The half that may be given away, in base64."""
        return base64.b64encode(_raw(self._key.public_key())).decode()

    def sign(self, receipt: Mapping[str, Any]) -> dict[str, Any]:
        """Give the receipt with the public key and the signature."""
        whole = {**receipt, "public_key": self.public_key}
        signature = self._key.sign(_canonical(whole))
        return {**whole, "signature": base64.b64encode(signature).decode()}

    def signed(self, receipt: Mapping[str, Any]) -> bool:
        """Tell whether this key signed exactly this receipt."""
        return verify(receipt, public_key=self.public_key)


def verify(receipt: Mapping[str, Any], *, public_key: str) -> bool:
    """Tell whether whoever has the other half of ``public_key`` signed exactly this receipt."""
    try:
        signature = base64.b64decode(str(receipt.get("signature", "")), validate=True)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(signature, _canonical(receipt))
    except (InvalidSignature, ValueError):
        return False
    return True


def read(text: str) -> dict[str, Any]:
    """Read a receipt from a file's text.

    Raises:
        BadInputError: it is no erasure receipt.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BadInputError("The file holds no erasure receipt; give the JSON that `erase` wrote.")
    return found


def _canonical(receipt: Mapping[str, Any]) -> bytes:
    said = {name: value for name, value in receipt.items() if name not in _UNSIGNED}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
