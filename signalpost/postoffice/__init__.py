"""A local post office that speaks SendGrid and Twilio on the wire.

It stands in for both providers in development, demos and tests: the official SDKs, or any other
client, only need another base URL. It knows nothing of Signalpost's record; its append-only log is
a truth of its own, so it can be held against what the product believes it sent.
"""

from signalpost.postoffice.app import create_app, serve
from signalpost.postoffice.config import PostOfficeConfig, new_sendgrid_keypair

__all__ = ["PostOfficeConfig", "create_app", "new_sendgrid_keypair", "serve"]
