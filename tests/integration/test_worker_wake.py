"""When a worker looks for due people."""

import asyncio
import sqlite3

import pytest

from signalpost.record import enrolments
from signalpost.record.database import Database, open_engine
from signalpost.worker.wake import Wake

FOREVER = 60.0


@pytest.mark.postgres
def test_a_notification_of_postgresql_wakes_the_worker(postgres_home):
    """The waiting ends long before the next look would be due."""
    database = Database(open_engine(postgres_home.bare()))

    async def story() -> None:
        wake = Wake(database, lane="risk", every=FOREVER)
        listening = asyncio.create_task(wake.listen())
        waiting = asyncio.create_task(wake.wait())
        for _ in range(200):  # until LISTEN has reached the server
            with database.writing() as session:
                enrolments.announce(session)
            done, _ = await asyncio.wait({waiting}, timeout=0.05)
            if done:
                break
        assert waiting.done()
        listening.cancel()

    asyncio.run(story())
    database.close()


def test_a_call_in_the_process_wakes_the_worker(tmp_path):
    """Each call is good for one look, also when it comes before the waiting."""
    database = Database(open_engine(f"sqlite:///{tmp_path / 'signalpost.db'}"))

    async def story() -> None:
        wake = Wake(database, lane="service", every=FOREVER)
        wake.call()
        await asyncio.wait_for(wake.wait(), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wake.wait(), 0.01)

    asyncio.run(story())
    database.close()


def test_a_commit_of_another_process_wakes_the_worker(tmp_path):
    """A signal that the web commits to SQLite is noticed at once, though nobody calls."""
    path = tmp_path / "signalpost.db"
    database = Database(open_engine(f"sqlite:///{path}"))
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE signals (id INTEGER)")

    async def story() -> None:
        wake = Wake(database, lane="risk", every=FOREVER)
        await asyncio.wait_for(wake.wait(), 5)  # the first glance finds a record it did not know
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wake.wait(), 0.1)
        with sqlite3.connect(path) as other:
            other.execute("INSERT INTO signals VALUES (1)")
        await asyncio.wait_for(wake.wait(), 5)
        wake.close()

    asyncio.run(story())
    database.close()


def test_those_whose_time_comes_are_looked_for_now_and_then(tmp_path):
    """Time passes without a commit; the waiting ends all the same."""
    database = Database(open_engine(f"sqlite:///{tmp_path / 'signalpost.db'}"))

    async def story() -> None:
        wake = Wake(database, lane="service", every=0.2)
        await asyncio.wait_for(wake.wait(), 5)
        await asyncio.wait_for(wake.wait(), 5)
        wake.close()

    asyncio.run(story())
    database.close()
