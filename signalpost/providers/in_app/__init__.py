"""In-app messages: rows on our own record, pushed to whoever is listening."""

from signalpost.providers.in_app.provider import InApp

__all__ = ["InApp"]
