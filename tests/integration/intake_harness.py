"""A running intake for tests: the routes over a real record, in process or on a real port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn
from sqlmodel import Session, select
from starlette.applications import Starlette
from starlette.testclient import TestClient

from signalpost.domain.access import Area
from signalpost.record.database import Database
from signalpost.record.events import Event
from signalpost.services.access.keyring import BuiltIn, Keyring
from signalpost.services.intake.signals import Arrival, SignalPolicy
from signalpost.web import intake
from signalpost.web.doorkeeper import Doorkeeper
from signalpost.web.session import Sessions

WRITE_KEY = "write-key"
SECRETS = ("whsec_b2xkIHNlY3JldCBvZiBvdXJz", "whsec_bmV3IHNlY3JldCBvZiBvdXJz")


class Intake:
    """The intake as a client meets it, and what it left on the record."""

    def __init__(self, database: Database, *, now: datetime | None = None) -> None:
        self.database = database
        self.now = now
        self.arrivals: list[Arrival] = []
        self.commits = 0
        self.committer = intake.Committer(
            database=database,
            react=self._react,
            policy=SignalPolicy(fingerprints=None),
            clock=lambda: self.now or datetime.now(UTC),
            on_commit=self._note,
        )
        self.app = Starlette(
            routes=intake.routes(self.committer, doorkeeper=self._door(), webhook_secrets=SECRETS)
        )
        self.client = TestClient(self.app)

    def _door(self) -> Doorkeeper:
        own = BuiltIn("write_key", WRITE_KEY, frozenset({Area.SIGNALS, Area.FRAUD_SIGNALS}))
        ring = Keyring(
            database=self.database, built_in=(own,), clock=lambda: self.now or datetime.now(UTC)
        )
        return Doorkeeper(keyring=ring, sessions=Sessions(("secret",), secure=False))

    def _react(self, session: Session, arrivals: Sequence[Arrival], now: datetime) -> None:
        self.arrivals += arrivals

    def _note(self) -> None:
        self.commits += 1

    def post(self, path: str, body: Any = None, **rest: Any) -> Any:
        """Post with the write key, unless told otherwise."""
        rest.setdefault("auth", (WRITE_KEY, ""))
        if body is not None:
            rest["json"] = body
        return self.client.post(path, **rest)

    def events(self) -> list[Event]:
        """Return what is on the record, in order of arrival."""
        with self.database.reading() as session:
            return list(session.exec(select(Event).order_by(Event.id)))

    @contextmanager
    def on_a_port(self) -> Iterator[str]:
        """Serve on loopback by a real uvicorn; gives the address."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # who comes before the server is there waits, and is not refused
        server = uvicorn.Server(uvicorn.Config(self.app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)
            listener.close()
