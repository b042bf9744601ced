"""A real Prefect server for the flow tests, and a lane's worker beside the virtual stage."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# Prefect must not report its users' tests to anybody.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Prefect server with a database of its own; it takes half a minute to start."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    from prefect.settings import (
        PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
        PREFECT_HOME,
        PREFECT_LOGGING_TO_API_BATCH_INTERVAL,
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    settings = {
        PREFECT_HOME: Path(os.environ["PREFECT_HOME"]),
        PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
        PREFECT_LOGGING_TO_API_BATCH_INTERVAL: 0.1,
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore",
    }
    with temporary_settings(settings), prefect_test_harness(server_startup_timeout=150):
        yield


class House:
    """The product on its virtual stage, with workers on a real Prefect server."""

    def __init__(self, stage: Any, settings: Any) -> None:
        from signalpost import bootstrap

        self.stage = stage
        bootstrap.use(
            bootstrap.Signalpost(
                settings=settings,
                database=stage.database,
                desk=stage.desk,
                catalogue=stage.desk.catalogue,
                programs=stage.desk.programs,
            )
        )

    def work(
        self, lane: str, then: Callable[[Any, Any], Awaitable[Any]], *, without: str = ""
    ) -> Any:
        """Open a worker of the lane that has looked at Prefect once; give what ``then`` gives."""
        from signalpost.worker import deployments
        from signalpost.worker.client import shared_client
        from signalpost.worker.lane import LaneWorker

        declared = deployments.read(ROOT / deployments.FILE)

        async def working() -> Any:
            async with shared_client() as client:
                worker = LaneWorker(
                    self.stage.desk,
                    lane=lane,
                    client=client,
                    declared=[one for one in declared if one.name != without],
                    folder=ROOT,
                    patience=60,  # the machine may be busy with other tests
                )
                worker.view.import_flows()
                return await then(worker, client)

        return asyncio.run(working())

    def pickups(self, number: int, *, name: str = "customer") -> None:
        """Let orders of so many customers be ready for pickup."""
        for n in range(number):
            self.stage.signal(
                "order.ready_for_pickup",
                user_id=f"{name}-{n}",
                phone=f"+1206555{n:04d}",
                order_id=f"{name}-order-{n}",
            )

    def purchase(self, name: str) -> None:
        """Let a customer buy something."""
        self.stage.signal(
            "order.placed",
            user_id=name,
            email=f"{name}@example.com",
            order_id=f"order-of-{name}",
            total=64.5,
            currency="USD",
            products=[{"name": "Walnut board", "quantity": 1, "price": 64.5}],
        )

    def fraud(
        self, transaction: str, *, merchant: str = "Acme", phone: str = "+12065559999"
    ) -> None:
        """Let a suspicious transaction be signalled."""
        self.stage.signal(
            "fraud.signalled",
            user_id=f"holder-{transaction}",
            phone=phone,
            transaction_id=transaction,
            merchant=merchant,
            amount="249.00",
            currency="USD",
            occurred_at=self.stage.clock().isoformat(),
        )

    def enrolments(self) -> list[dict[str, Any]]:
        """Give where everybody stands."""
        from sqlalchemy import select

        from signalpost.record.enrolments import Enrolment

        table = Enrolment.__table__  # type: ignore[attr-defined]
        with self.stage.database.reading() as session:
            return [dict(row) for row in session.execute(select(table)).mappings()]

    def run_ids(self) -> set[str | None]:
        """Give the flow runs that messages on the record name."""
        from sqlalchemy import select

        from signalpost.record.messages import Message

        table = Message.__table__  # type: ignore[attr-defined]
        with self.stage.database.reading() as session:
            return set(session.execute(select(table.c.run_id)).scalars())


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """The three journeys on a stage."""
    from flows import JOURNEYS
    from signalpost import bootstrap, settings
    from signalpost.testing import Stage

    monkeypatch.chdir(ROOT)
    with Stage(folder=tmp_path, journeys=JOURNEYS) as stage:
        yield House(stage, settings.load(home=tmp_path))
        bootstrap.use(None)


@pytest.fixture
def campaigns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A stage without journeys, and a folder for campaign files."""
    from signalpost import bootstrap
    from signalpost.testing import Stage
    from tests.flows.campaign_house import CampaignHouse

    monkeypatch.chdir(ROOT)
    with Stage(folder=tmp_path, journeys=()) as stage:
        yield CampaignHouse(tmp_path, stage)
        bootstrap.use(None)
