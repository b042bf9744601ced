"""The clock that a file sets for several processes."""

from datetime import UTC, datetime, timedelta

import pytest

from signalpost.clock import FileClock, set_file, wall_clock
from signalpost.errors import ConfigurationError

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_it_stands_where_the_file_says_and_moves_when_the_file_does(tmp_path):
    path = tmp_path / "clock.json"
    set_file(path, NOON)
    one, other = FileClock(path), FileClock(path)
    assert one() == one() == other() == NOON

    set_file(path, NOON + timedelta(days=3))
    assert one() == other() == NOON + timedelta(days=3)


def test_it_goes_on_as_fast_as_the_wall_clock_when_told_so(tmp_path):
    path = tmp_path / "clock.json"
    set_file(path, NOON, speed=1)
    begun = wall_clock()
    first = FileClock(path)()
    assert NOON <= first <= NOON + timedelta(minutes=1)
    second = FileClock(path)()
    assert second - first <= wall_clock() - begun


@pytest.mark.parametrize("said", [None, "", "[]", '{"at": "noon", "since": "noon", "speed": 0}'])
def test_a_file_that_is_no_clock_is_named_in_the_error(tmp_path, said):
    path = tmp_path / "clock.json"
    if said is not None:
        path.write_text(said)
    with pytest.raises(ConfigurationError, match="SIGNALPOST_CLOCK_FILE"):
        FileClock(path)()
