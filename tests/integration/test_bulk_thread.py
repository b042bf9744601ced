"""Where a campaign's work is done: beside the event loop, on SQLite in one thread, and alone with it."""

import asyncio
import threading
import time
from contextvars import ContextVar

import pytest

SAID = ContextVar("SAID", default="nothing")


async def at_once(database, number):
    return await asyncio.gather(
        *(database.in_bulk(_where, wait=0.05, said=str(one)) for one in range(number))
    )


def _where(*, wait, said):
    time.sleep(wait)
    return threading.current_thread().name, said, SAID.get()


def test_all_bulk_work_on_sqlite_is_done_in_one_thread_and_on_postgresql_side_by_side(database):
    async def run():
        SAID.set("something")
        return await at_once(database, 4)

    names, said, context = zip(*asyncio.run(run()), strict=True)
    assert len(set(names)) == (1 if database.is_sqlite else 4)
    assert threading.main_thread().name not in names
    assert said == ("0", "1", "2", "3")
    assert set(context) == {"something"}  # what a log line carries


def test_what_goes_wrong_in_bulk_reaches_whoever_asked_and_the_thread_goes_on(database):
    def fail():
        raise LookupError("nobody by that name")

    async def run():
        with pytest.raises(LookupError, match="nobody by that name"):
            await database.in_bulk(fail)
        return await database.in_bulk(_where, wait=0, said="after")

    assert asyncio.run(run())[1] == "after"


def test_a_closed_database_can_be_opened_again_by_using_it(database):
    asyncio.run(at_once(database, 1))
    database.close()
    assert asyncio.run(at_once(database, 1))[0][1] == "0"


def test_a_sign_of_life_waits_for_nobody_who_writes(database):
    """A send asks for one before each settling, while another shard writes."""
    done = threading.Event()
    with database.writing() as session:
        session.connection()  # from here on it writes, and SQLite has one writer
        asking = threading.Thread(target=lambda: (database.ping(), done.set()), daemon=True)
        asking.start()
        assert done.wait(5), "it waited for the writer"
    asking.join()
