"""The signatures both providers put on their webhooks, made without their SDKs."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from signalpost.errors import ConfigurationError


def twilio_signature(*, token: str, url: str, fields: Mapping[str, str]) -> str:
    """Return X-Twilio-Signature: HMAC-SHA1 over the URL and the sorted fields, base64."""
    signed = url + "".join(name + fields[name] for name in sorted(fields))
    mac = hmac.new(token.encode(), signed.encode(), hashlib.sha1)
    return base64.b64encode(mac.digest()).decode()


class EventSigner:
    """Signs batches of mail events: ECDSA P-256 over timestamp + raw body."""

    def __init__(self, private_pem: str) -> None:
        try:
            key = load_pem_private_key(private_pem.encode(), password=None)
        except ValueError as error:
            raise ConfigurationError(
                "The SendGrid webhook private key is not a PEM key; make one with "
                "new_sendgrid_keypair()."
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigurationError("The SendGrid webhook private key must be an EC P-256 key.")
        self._key = key

    def headers(self, body: bytes) -> dict[str, str]:
        """Return the two X-Twilio-Email-Event-Webhook headers for one batch."""
        timestamp = str(int(time.time()))
        signature = self._key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }
