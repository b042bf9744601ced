"""The whole product behind its front door: the composed application over a stage's record and clock.

What is posted here goes through the real routes into the real journeys; only the providers are
stand-ins, which keep what reaches them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlmodel import select
from starlette.testclient import TestClient

from flows import JOURNEYS
from signalpost import bootstrap, settings
from signalpost.testing import Sent, Stage
from signalpost.web.app import create_app

WRITE_KEY = "write-key-of-the-tests"
READ_KEY = "read-key-of-the-tests"
PUBLIC = "https://hooks.shop.example"


class Front:
    """The product as the world meets it: a door to post at, and what comes out by whom."""

    def __init__(self, stage: Stage, folder: Path, client: TestClient, product: Any) -> None:
        self.stage, self.folder, self.client, self.product = stage, folder, client, product

    def batch(self, *events: Any, **rest: Any) -> Any:
        """Post a Segment batch."""
        rest.setdefault("auth", (WRITE_KEY, ""))
        return self.client.post("/v1/batch", json={"batch": list(events)}, **rest)

    def post(self, path: str, **rest: Any) -> Any:
        """Post with the write key."""
        rest.setdefault("auth", (WRITE_KEY, ""))
        return self.client.post(path, **rest)

    def read(self, path: str, **params: Any) -> Any:
        """Get what is for readers of the record."""
        return self.client.get(path, params=params, headers={"Authorization": f"Bearer {READ_KEY}"})

    def rows(self, table: Any) -> list[Any]:
        """Give all rows of a table."""
        with self.stage.database.reading() as session:
            return list(session.exec(select(table)))

    def sent_to(self, address: str) -> list[Sent]:
        """Give what a provider took for an address."""
        return [one for one in self.stage.sent if one.to == address]


@contextmanager
def open_front(folder: Path, database_url: str | None = None, **more: Any) -> Iterator[Front]:
    """Open the front door over an empty record with the three journeys; ``more`` are settings."""
    with Stage(folder=folder, journeys=JOURNEYS, database_url=database_url) as stage:
        said = {"public_url": PUBLIC, "write_key": WRITE_KEY, "api_key": READ_KEY} | more
        given = settings.load(home=folder, **said)
        built = bootstrap.build(
            given, clock=stage.clock, journeys=JOURNEYS, catalogue=stage.desk.catalogue
        )
        built.database.close()
        product = replace(built, database=stage.database, desk=stage.desk)
        with TestClient(
            create_app(product), base_url=PUBLIC, raise_server_exceptions=False
        ) as client:
            yield Front(stage, folder, client, product)
