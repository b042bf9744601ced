"""When a worker looks for due people."""

import asyncio

import pytest
from sqlalchemy import text

from signalpost.record.database import Database, open_engine
from signalpost.worker.wake import CHANNEL, Wake

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
                session.execute(text(f"SELECT pg_notify('{CHANNEL}', '')"))
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


def test_without_anybody_calling_sqlite_is_looked_at_every_few_milliseconds(tmp_path):
    """A fraud signal waits for a look at most 50 ms, anything else half a second."""
    database = Database(open_engine(f"sqlite:///{tmp_path / 'signalpost.db'}"))
    assert Wake(database, lane="risk").every <= 0.05
    assert Wake(database, lane="service").every <= 0.5
    database.close()
