"""The address that Twilio reports a message's status to.

It carries our own ids and a signature over them, so a callback settles a message even when Twilio's
answer to our call was lost (providers without idempotency keys leave no better way).
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

RETRIES = "#rc=5&rp=all"
"""Connection override: five retries, on any fault. By default Twilio tries once again, and not when
we answer 500. The fragment is neither sent to us nor signed.
Source: twilio.com/docs/usage/webhooks/webhooks-connection-overrides.
"""


def status_callback(base: str, *, message_id: str, delivery_id: str, secret: str) -> str:
    """The callback address for one delivery."""
    query = urlencode(
        {"m": message_id, "d": delivery_id, "sig": _mac(message_id, delivery_id, secret)}
    )
    return f"{base}{'&' if '?' in base else '?'}{query}{RETRIES}"


def callback_is_ours(query: Mapping[str, str], secrets: Sequence[str]) -> bool:
    """Whether we wrote the ids in a callback's query; ``secrets`` may hold an older one."""
    given = query.get("sig", "").encode()
    ids = query.get("m", ""), query.get("d", "")
    matches = [hmac.compare_digest(_mac(*ids, secret).encode(), given) for secret in secrets]
    return any(matches)


def _mac(message_id: str, delivery_id: str, secret: str) -> str:
    text = f"{message_id}\n{delivery_id}".encode()
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()[:32]
