"""Local time: gaps, folds, unknown zones, working days."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from signalpost.domain.local_time import (
    Window,
    add_working_days,
    at_local,
    next_open,
    wait_until,
    zone,
)

NEW_YORK, BERLIN, TOKYO = (
    ZoneInfo("America/New_York"),
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("Asia/Tokyo"),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_time_that_a_gap_skips_moves_forward_by_the_gap():
    """On 8 March 2026 New York has no 02:30; it becomes 03:30 there."""
    assert at_local(date(2026, 3, 8), time(2, 30), NEW_YORK) == utc("2026-03-08T07:30")


def test_of_a_time_that_comes_twice_the_first_is_taken():
    """On 1 November 2026 New York has 01:30 twice."""
    assert at_local(date(2026, 11, 1), time(1, 30), NEW_YORK) == utc("2026-11-01T05:30")


def test_the_next_day_at_ten_is_ten_local_across_a_change_to_summer_time():
    """The night to 29 March 2026 is an hour shorter in Berlin; 10:00 stays 10:00."""
    since = datetime(2026, 3, 28, 17, 0, tzinfo=BERLIN)
    due = wait_until(since, timedelta(days=1), time(10), BERLIN)
    assert due.astimezone(BERLIN) == datetime(2026, 3, 29, 10, 0, tzinfo=BERLIN)
    assert due == utc("2026-03-29T08:00")


@pytest.mark.parametrize(
    ("since", "length", "expected"),
    [
        ("2026-03-02T09:00", timedelta(hours=2), "2026-03-03T10:00"),  # 11:00 is past ten: tomorrow
        ("2026-03-02T07:00", timedelta(hours=2), "2026-03-02T10:00"),  # 09:00: today at ten
        ("2026-03-02T23:59", timedelta(days=1), "2026-03-03T10:00"),  # a day later means the date
    ],
)
def test_a_wait_ends_at_its_local_time(since, length, expected):
    assert wait_until(utc(since), length, time(10), ZoneInfo("UTC")) == utc(expected)


def test_an_open_window_lets_through_at_once_and_a_closed_one_until_it_opens():
    """08:00 is open, 21:00 is not."""
    window = Window()
    assert next_open(utc("2026-03-02T08:00"), window, (ZoneInfo("UTC"),)) == utc("2026-03-02T08:00")
    assert next_open(utc("2026-03-02T21:00"), window, (ZoneInfo("UTC"),)) == utc("2026-03-03T08:00")
    assert next_open(utc("2026-03-02T03:00"), window, (ZoneInfo("UTC"),)) == utc("2026-03-02T08:00")


def test_where_the_zone_is_not_known_all_zones_it_could_be_must_be_awake():
    """New York and Los Angeles are both open from 11:00 to 21:00 New York time."""
    both = (NEW_YORK, ZoneInfo("America/Los_Angeles"))
    early = datetime(2026, 3, 2, 8, 30, tzinfo=NEW_YORK)
    assert next_open(early, Window(), both) == datetime(2026, 3, 2, 11, 0, tzinfo=NEW_YORK)
    late = datetime(2026, 3, 2, 21, 30, tzinfo=NEW_YORK)
    assert next_open(late, Window(), both) == datetime(2026, 3, 3, 11, 0, tzinfo=NEW_YORK)


def test_zones_half_a_world_apart_fall_back_to_the_first():
    """There is no hour at which both are awake with a short window; the first decides."""
    window = Window(time(8), time(12))
    found = next_open(utc("2026-03-02T00:00"), window, (NEW_YORK, TOKYO))
    assert found == datetime(2026, 3, 2, 8, 0, tzinfo=NEW_YORK)


def test_working_days_leave_out_weekends_and_holidays():
    assert add_working_days(date(2026, 12, 23), 3) == date(2026, 12, 28)
    assert add_working_days(date(2026, 12, 23), 3, {date(2026, 12, 25)}) == date(2026, 12, 29)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "a" * 300, "Europe"])
def test_what_is_no_zone_is_none(name):
    assert zone(name) is None
