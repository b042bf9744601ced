"""Telling an address again that we no longer know: a keyed hash of it, and nothing else."""

import hashlib
import hmac
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fingerprints:
    """Keyed hashes of addresses (HMAC-SHA256, RFC 2104).

    Without the secret a hash tells nothing: phone numbers are few enough to try them all.
    """

    secret: str = field(repr=False)

    def of(self, address: str) -> str:
        """Give the fingerprint of an address in one spelling: trimmed, in lower case."""
        plain = address.strip().lower().encode()
        return hmac.new(self.secret.encode(), plain, hashlib.sha256).hexdigest()
