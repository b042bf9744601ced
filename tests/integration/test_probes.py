"""The port of a worker: alive, ready, figures; and nothing at all without the setting."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text

from signalpost import settings
from signalpost.cli.up import children
from signalpost.errors import ConfigurationError
from signalpost.record.database import Database, open_engine
from signalpost.record.migrate import migrate
from signalpost.worker.probes import probed
from tests.integration.front_harness import open_front


def free_port() -> int:
    """Find a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def worker(tmp_path):
    """The product as a worker has it, over a migrated record, with a port for probes."""
    with open_front(tmp_path) as front:
        engine = open_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
        migrate(engine)
        given = settings.load(home=tmp_path, worker_port=free_port())
        yield replace(front.product, settings=given, database=Database(engine))
        engine.dispose()


def ask(worker: Any, path: str) -> tuple[int, str]:
    """Ask the port of a worker of lane service."""

    async def asking() -> tuple[int, str]:
        url = f"http://127.0.0.1:{worker.settings.worker_port}{path}"
        async with (
            probed(worker, lane="service"),
            aiohttp.ClientSession() as session,
            session.get(url) as answer,
        ):
            return answer.status, await answer.text()

    return asyncio.run(asking())


def test_a_worker_says_that_its_loop_goes_round(worker):
    """`/healthz` is answered by the loop that serves the lane."""
    assert ask(worker, "/healthz") == (200, '{"status": "ok", "lane": "service"}')


def test_a_worker_is_ready_when_the_record_has_its_tables(worker, tmp_path):
    """`/readyz` is 200 on a migrated record, and says what to do on an empty one."""
    assert ask(worker, "/readyz")[0] == 200
    empty = Database(open_engine(f"sqlite:///{tmp_path / 'empty.db'}"))
    status, says = ask(replace(worker, database=empty), "/readyz")
    assert status == 503
    assert "signalpost migrate" in says


def test_a_worker_stays_ready_while_a_later_version_takes_over(worker):
    """The next version has migrated the record: who still runs goes on until they are replaced."""
    with worker.database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert ask(worker, "/readyz")[0] == 200
    with worker.database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert ask(worker, "/readyz")[0] == 503


def test_a_worker_gives_its_figures(worker):
    """`/metrics` holds what the record says."""
    status, text = ask(worker, "/metrics")
    assert status == 200
    assert "signalpost_record_up 1.0" in text


def test_a_port_that_is_taken_is_named(worker):
    """Two workers on one port: the second says which setting to change."""

    async def both() -> None:
        async with probed(worker, lane="risk"), probed(worker, lane="service"):
            pass

    with pytest.raises(ConfigurationError, match="SIGNALPOST_WORKER_PORT"):
        asyncio.run(both())


def test_up_gives_each_worker_a_port_of_its_own(tmp_path):
    """Counted on from the one that is set; without it there are no ports."""
    given = settings.load(home=tmp_path, worker_port=8010)
    ports = [
        child.environment["SIGNALPOST_WORKER_PORT"]
        for some in children(given)
        for child in some
        if "worker" in child.name
    ]
    assert sorted(ports) == ["8010", "8011", "8012"]
    without = [one for some in children(settings.load(home=tmp_path)) for one in some]
    assert not any("SIGNALPOST_WORKER_PORT" in child.environment for child in without)
