"""What only the clock can tell of a campaign: too late, a gap of summer time, a rare day."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.content import Catalogue
from signalpost.content import campaigns as files
from signalpost.domain.campaign import Schedule

ROOT = Path(__file__).parents[2]
CATALOGUE = Catalogue.load(ROOT / "templates")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TEXT = """\
name: try-out
message: win_back
audience: {everyone: true}
channels: email
facts: {percent: 15}
promotion: {id: x, code: X, ends: "2040-01-01 00:00", zone: UTC}
schedule: %s
"""


def campaign(tmp_path, schedule, **changes):
    text = TEXT % schedule
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    folder = tmp_path / "campaigns"
    folder.mkdir(exist_ok=True)
    (folder / "try-out.yaml").write_text(text, "utf-8")
    found = files.load(folder, CATALOGUE)
    assert found.warnings == ()
    return found["try-out"]


def check(tmp_path, schedule, now=NOW, **changes):
    found = files.check(campaign(tmp_path, schedule, **changes), CATALOGUE, now)
    assert all(problem.file == "campaigns/try-out.yaml" for problem in found)
    return [(one.line, one.rule, one.says) for one in found]


GAP = "2027-03-28 01:30"
FOLD = "2027-10-31 01:30"

TIMES = [
    ("{at: 2026-11-22 13:00, zone: UTC}", None, ""),
    ("{at: 2026-11-22 11:30, zone: UTC}", None, ""),  # late by less than an hour
    ("{at: 2026-11-22 10:00, zone: UTC}", "past", "2026-11-22 10:00 in UTC is past"),
    ("{at: 2026-11-22 12:30, zone: Europe/Paris}", None, ""),
    ("{at: 2026-11-22 11:30, zone: Europe/Paris}", "past", "in Europe/Paris is past"),
    ("{at: 2026-11-20 10:00, zone: customer}", "past", "past everywhere"),
    ("{at: 2026-11-22 15:00, zone: customer}", "past", "past already in the zones furthest east"),
    ("{at: 2026-11-23 10:00, zone: customer}", None, ""),
    ("{at: 2027-03-28 01:30, zone: Europe/London}", "dst", "would become 2027-03-28 02:30 BST"),
    ("{at: 2027-10-31 01:30, zone: Europe/London}", "dst", "the first would be taken"),
    ("{at: 2027-03-28 01:30, zone: customer}", "time-moves", "does not exist in"),
    ("{at: 2028-02-29 10:00, zone: UTC}", None, ""),
    ("{cron: 0 10 29 2 *, zone: UTC}", "leap-day", "the next is 2028-02-29"),
    ("{rrule: FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=9;BYMINUTE=0}", "leap-day", "2028-02-29"),
    ("{cron: 0 10 * * *, zone: UTC, until: 2026-11-01}", "past", "does not come again"),
    ("{cron: 0 10 * * *, zone: UTC, until: 2027-11-01}", None, ""),
    ("{cron: 30 1 * * *, zone: Europe/London}", "time-moves", "2027-03-28 01:30 does not exist"),
    ("{cron: 0 10 * * *, zone: Europe/London}", None, ""),
    ("{cron: 0 10 28 2 *, zone: customer}", None, ""),
]


@pytest.mark.parametrize(("schedule", "rule", "says"), TIMES)
def test_a_schedule_is_looked_at_by_the_clock(tmp_path, schedule, rule, says):
    found = check(tmp_path, schedule)
    if rule is None:
        assert found == []
    else:
        assert [(line, told) for line, told, _ in found] == [(7, rule)]
        assert says in found[0][2]


def test_a_file_that_is_out_of_date_still_loads_and_is_no_error(tmp_path):
    """A campaign that went as planned: its file launches nothing any more, and others may name it."""
    late = campaign(tmp_path, "{at: 2020-01-01 10:00, zone: UTC}", **{"2040-": "2020-"})
    found = files.check(late, CATALOGUE, NOW)
    assert [one.rule for one in found] == ["promotion-ended", "past"]
    assert all(files.is_warning(one) for one in found)
    assert all("leave it if the campaign is over" in one.remedy for one in found)


def test_a_night_that_is_past_moves_no_clock_any_more(tmp_path):
    past = "{at: 2026-03-29 01:30, zone: customer}"
    assert [rule for _, rule, _ in check(tmp_path, past)] == ["past"]


def test_an_offer_that_ends_before_it_is_made_is_an_error(tmp_path):
    """Unlike one that has ended: nobody could ever have been offered it."""
    once = campaign(
        tmp_path, "{at: 2027-01-01 10:00, zone: UTC}", **{"2040-01-01 00:00": "2026-12-31 00:00"}
    )
    [problem] = files.check(once, CATALOGUE, NOW)
    assert (problem.line, problem.rule) == (6, "promotion-ends")
    assert "before the campaign runs next" in problem.says
    assert not files.is_warning(problem)


def test_a_launch_within_its_own_expiry_is_not_in_the_past(tmp_path):
    """A scheduler that was away for three hours still launches what is worth sending for two days."""
    schedule = "{at: 2026-11-22 09:00, zone: UTC}\nexpires: 2d"
    assert check(tmp_path, schedule) == []
    assert [one[1] for one in check(tmp_path, schedule, NOW + timedelta(days=2))] == ["past"]


def test_a_promotion_that_has_ended_or_will_have_is_told(tmp_path):
    daily = "{cron: 0 10 * * *, zone: UTC}"
    assert check(tmp_path, daily, **{"2040-01-01 00:00": "2026-11-22 11:59"}) == [
        (6, "promotion-ended", "the promotion ended on 2026-11-22 11:59 UTC")
    ]
    assert check(tmp_path, daily, **{"2040-01-01 00:00": "2026-11-23 09:59"}) == [
        (
            6,
            "promotion-ended",
            "the promotion ends on 2026-11-23 09:59 UTC, before the campaign runs next",
        )
    ]
    assert check(tmp_path, daily, **{"2040-01-01 00:00": "2026-11-23 10:01"}) == []


# -- occurrences -----------------------------------------------------------------------------------


LONDON = {"cron": "30 1 * * *", "zone": "Europe/London"}
NAMED = [
    ("2026-03-05T01:30", LONDON, "2026-03-05T01:30"),
    ("2026-03-05T01:30+00:00", LONDON, "2026-03-05T01:30"),
    ("2026-03-05T02:30+01:00", LONDON, "2026-03-05T01:30"),
    ("2026-06-05T01:30+00:00", LONDON, None),  # 02:30 in London's summer
    ("2026-03-05T01:30:30", LONDON, None),
    # the hour that summer time skips: 01:30 becomes 02:30 on the wall, and is known as 01:30
    ("2026-03-29T01:30", LONDON, "2026-03-29T01:30"),
    ("2026-03-29T02:30", LONDON, "2026-03-29T01:30"),
    ("2026-03-29T01:30+00:00", LONDON, "2026-03-29T01:30"),
    # two times that the gap puts on one moment come once, as the first
    ("2026-03-29T02:30", {**LONDON, "cron": "30 1,2 * * *"}, "2026-03-29T01:30"),
    # the hour that comes twice: the first of the two
    ("2026-10-25T01:30", LONDON, "2026-10-25T01:30"),
    ("2026-10-25T01:30+01:00", LONDON, "2026-10-25T01:30"),
    ("2026-10-25T01:30+00:00", LONDON, None),
    # each customer's own clock: no moment is everybody's
    ("2026-03-05T01:30", {**LONDON, "zone": "customer"}, "2026-03-05T01:30"),
    ("2026-03-04T11:30+00:00", {**LONDON, "zone": "customer"}, None),
    ("2026-03-05T01:30", {}, None),  # launched by hand
]


@pytest.mark.parametrize(("time", "schedule", "key"), NAMED)
def test_a_time_that_somebody_names_is_the_occurrence_that_the_schedule_launches_then(
    time, schedule, key
):
    found = files.occurrence_at([Schedule(**schedule)], datetime.fromisoformat(time))
    assert (found.key if found else None) == key


def keys(schedule, after=NOW, count=3):
    return [one.key for one in files.occurrences(schedule, after=after, count=count)]


def moments(schedule, after, count):
    return [one.at for one in files.occurrences(schedule, after=after, count=count)]


def test_what_is_launched_by_hand_never_comes():
    assert keys(Schedule()) == []


def test_once_comes_once():
    once = Schedule(at=datetime.fromisoformat("2026-12-01T10:00"), zone="Europe/Paris")
    [found] = files.occurrences(once, after=NOW, count=5)
    assert found.key == "2026-12-01T10:00"
    assert found.at == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert keys(once, after=found.at) == []


def test_cron_and_rrule_say_the_same_in_two_ways():
    cron = Schedule(cron="0 10 * * TUE", zone="Europe/London")
    rrule = Schedule(rrule="FREQ=WEEKLY;BYDAY=TU;BYHOUR=10;BYMINUTE=0", zone="Europe/London")
    expected = ["2026-11-24T10:00", "2026-12-01T10:00", "2026-12-08T10:00"]
    assert keys(cron) == keys(rrule) == expected


def test_every_second_week_is_counted_from_its_first_day():
    rule = "DTSTART:20261103T090000\nRRULE:FREQ=WEEKLY;INTERVAL=2"
    assert keys(Schedule(rrule=rule)) == [
        "2026-12-01T09:00",
        "2026-12-15T09:00",
        "2026-12-29T09:00",
    ]


def test_until_is_the_last_day():
    schedule = Schedule(cron="0 10 * * *", zone="UTC", until=date(2026, 11, 24))
    assert keys(schedule) == ["2026-11-23T10:00", "2026-11-24T10:00"]


def test_ten_o_clock_stays_ten_o_clock_when_clocks_change():
    daily = Schedule(cron="0 10 * * *", zone="Europe/London")
    found = moments(daily, datetime(2027, 3, 27, 9, tzinfo=UTC), 2)
    assert found == [datetime(2027, 3, 27, 10, tzinfo=UTC), datetime(2027, 3, 28, 9, tzinfo=UTC)]


def test_a_time_in_the_gap_becomes_later_and_one_that_comes_twice_is_the_first():
    nightly = Schedule(cron="30 1 * * *", zone="Europe/London")
    [spring] = moments(nightly, datetime(2027, 3, 27, 12, tzinfo=UTC), 1)
    assert spring == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)  # 02:30 BST
    autumn = moments(nightly, datetime(2027, 10, 30, 12, tzinfo=UTC), 2)
    assert autumn == [
        datetime(2027, 10, 31, 0, 30, tzinfo=UTC),
        datetime(2027, 11, 1, 1, 30, tzinfo=UTC),
    ]


def test_a_local_time_is_to_come_until_it_is_past_in_the_first_zone():
    local = Schedule(cron="0 10 * * *", zone="customer")
    first = datetime(2026, 11, 22, 20, tzinfo=UTC)  # 10:00 on the 23rd at UTC+14
    [before] = files.occurrences(local, after=first - timedelta(minutes=1), count=1)
    assert (before.key, before.at) == ("2026-11-23T10:00", None)
    assert keys(local, after=first, count=1) == ["2026-11-24T10:00"]


@settings(max_examples=60, deadline=None)
@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    days=st.integers(0, 800),
    zone=st.sampled_from(
        ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo"]
    ),
)
def test_no_day_is_left_out_and_none_comes_twice(minute, hour, days, zone):
    """Taken one by one from wherever the last was, or many at once: the same, once a day, in order."""
    daily = Schedule(cron=f"{minute} {hour} * * *", zone=zone)
    after = NOW + timedelta(days=days)
    many = files.occurrences(daily, after=after, count=5)
    one_by_one, last = [], after
    for _ in range(5):
        [found] = files.occurrences(daily, after=last, count=1)
        one_by_one.append(found)
        last = found.at
    assert one_by_one == many
    found_days = [one.local.date() for one in many]
    assert found_days == [found_days[0] + timedelta(days=n) for n in range(5)]
