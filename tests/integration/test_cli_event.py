"""`signalpost event` against a running web: the time that it gives, and what it says came of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signalpost import clock
from signalpost.cli.write import parked_in_words
from tests.cli_harness import Result, signalpost
from tests.integration.intake_harness import WRITE_KEY, Intake

LAST_YEAR = datetime(2025, 8, 12, 9, tzinfo=UTC)


@pytest.fixture
def house(tmp_path, database):
    """A web whose clock a file sets, as the demo's; and the command line with the same settings."""
    file = tmp_path / "clock.json"
    clock.set_file(file, LAST_YEAR)
    return Intake(database, now=LAST_YEAR), file


def send(folder: Path, url: str, *words: str, **settings: str) -> Result:
    port = url.rsplit(":", 1)[1]
    return signalpost(folder, "event", *words, web_port=port, write_key=WRITE_KEY, **settings)


def test_an_event_happens_at_the_time_of_the_clock_that_the_web_goes_by(house, tmp_path):
    web, file = house
    with web.on_a_port() as url:
        said = send(
            tmp_path, url, "order.placed", "user_id=ann", "order_id=7", clock_file=str(file)
        )
    [kept] = web.events()
    assert (kept.status, kept.occurred_at) == ("accepted", LAST_YEAR)
    assert (said.code, said.out.split("  ")[0]) == (0, "order.placed accepted")


def test_an_event_from_the_future_is_told_with_why_and_what_to_do(house, tmp_path):
    web, _ = house
    with web.on_a_port() as url:
        said = send(tmp_path, url, "order.placed", "user_id=ann", "order_id=7")
    assert [one.status for one in web.events()] == ["parked"]
    assert "kept and not acted on" in said.out
    assert "later than the clock of the web" in said.out
    assert "SIGNALPOST_CLOCK_FILE" in said.out
    assert said.code == 1


def test_an_event_that_waits_for_its_order_is_told_and_is_nothing_wrong(house, tmp_path):
    web, file = house
    with web.on_a_port() as url:
        words = ("order.picked_up", "order_id=77")
        said = send(tmp_path, url, *words, clock_file=str(file))
    assert [one.status for one in web.events()] == ["parked"]
    assert "goes on by itself" in said.out
    assert said.code == 0


def test_an_event_that_waits_for_a_repair_is_told_with_the_command():
    """The door refuses what it can see itself; what only the record finds is parked."""
    said = parked_in_words({"event_id": "e-1", "reason": "set_aside: KeyError"})
    assert "needs a repair: set_aside: KeyError" in said
    assert "signalpost redrive e-1" in said


def test_an_old_event_is_said_to_start_nothing(house, tmp_path):
    web, file = house
    clock.set_file(file, LAST_YEAR - timedelta(days=30))
    with web.on_a_port() as url:
        said = send(
            tmp_path, url, "order.placed", "user_id=ann", "order_id=7", clock_file=str(file)
        )
    assert (said.code, "historic" in said.out) == (0, True)
