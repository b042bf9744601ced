"""When what will have gone: paces, nights, the change to summer time, and what expires meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest

from signalpost.domain.local_time import Window
from signalpost.services.campaigns.forecast import Release, forecast

WINDOW = Window()


def at(day: int, hour: int, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def release(moment, *, channel="sms", zones=("UTC",), expires_at=None) -> Release:
    return Release(channel, moment, zones, expires_at)


def curve(releases, **pace):
    return forecast(releases, pace=pace, window=WINDOW)


def hours(found, channel="sms"):
    return {
        f"{hour:%d %H}": round(sent[channel])
        for hour, sent in sorted(found.hours.items())
        if channel in sent
    }


def test_without_a_pace_everything_goes_in_the_hour_in_which_it_is_due():
    found = curve({release(at(2, 9, 30)): 500})
    assert hours(found) == {"02 09": 500}
    assert found.last_at == at(2, 9, 30)


def test_a_pace_spreads_people_over_the_hours_to_the_minute():
    found = curve({release(at(2, 9, 30)): 9_000}, sms=1)  # 2.5 hours
    assert hours(found) == {"02 09": 1_800, "02 10": 3_600, "02 11": 3_600}
    assert found.last_at == at(2, 12)


def test_who_is_not_served_by_nightfall_goes_on_when_the_window_opens():
    found = curve({release(at(2, 20)): 7_200}, sms=1)
    assert hours(found) == {"02 20": 3_600, "03 08": 3_600}
    assert found.delayed == {"sms": 3_600}
    assert found.last_at == at(3, 9)


def test_what_expires_before_its_turn_is_not_sent_and_is_counted():
    found = curve({release(at(2, 20), expires_at=at(3, 8, 30)): 7_200}, sms=1)
    assert hours(found) == {"02 20": 3_600, "03 08": 1_800}
    assert {channel: round(people) for channel, people in found.expired.items()} == {"sms": 1_800}


def test_what_would_expire_in_the_night_expires():
    found = curve({release(at(2, 20), expires_at=at(3, 3)): 7_200}, sms=1)
    assert hours(found) == {"02 20": 3_600}
    assert round(found.expired["sms"]) == 3_600


def test_first_come_first_served_between_two_zones_and_each_keeps_its_own_night():
    """Berlin's night comes while London is still awake: London is served, Berlin goes on tomorrow."""
    berlin = release(at(2, 18), zones=("Europe/Berlin",))  # until 20:00 UTC
    london = release(at(2, 19), zones=("Europe/London",))  # until 21:00 UTC
    found = curve({berlin: 10_800, london: 3_600}, sms=1)
    assert found.last_at == at(3, 8)
    assert hours(found) == {"02 18": 3_600, "02 19": 3_600, "02 20": 3_600, "03 07": 3_600}


def test_the_morning_after_the_change_to_summer_time_comes_an_hour_earlier_in_utc():
    """29 March 2026: Berlin goes to UTC+2, so 08:00 there is 06:00 UTC and no longer 07:00."""
    found = curve({release(at(28, 19, 30), zones=("Europe/Berlin",)): 3_600}, sms=1)
    assert hours(found) == {"28 19": 1_800, "29 06": 1_800}


def test_the_morning_after_the_change_to_winter_time_comes_an_hour_later_in_utc():
    start = at(24, 18, 30, month=10)
    found = curve({release(start, zones=("Europe/Berlin",)): 3_600}, sms=1)
    assert hours(found) == {"24 18": 1_800, "25 07": 1_800}


def test_a_number_that_may_be_in_several_zones_waits_until_all_are_awake():
    zones = ("America/New_York", "America/Los_Angeles")
    found = curve({release(at(2, 16), zones=zones): 100})
    assert hours(found) == {"02 16": 100}  # 08:00 on the west coast
    found = curve({release(at(2, 15), zones=zones): 100})
    assert hours(found) == {"02 16": 100}


def test_zones_half_a_world_apart_end_in_a_forecast_too():
    zones = ("Pacific/Kiritimati", "Pacific/Pago_Pago")
    found = curve({release(at(2, 9), zones=zones): 100}, sms=0.01)
    assert found.sent("sms") == pytest.approx(100)


def test_what_wakes_nobody_goes_through_the_night():
    found = curve({release(at(2, 22), channel="in_app", zones=()): 7_200}, in_app=1)
    assert hours(found, "in_app") == {"02 22": 3_600, "02 23": 3_600}


def test_channels_do_not_wait_for_each_other():
    found = curve({release(at(2, 9)): 3_600, release(at(2, 9), channel="email"): 10}, sms=1)
    assert hours(found, "email") == {"02 09": 10}


def test_a_pace_of_zero_sends_nothing_and_ends():
    found = curve({release(at(2, 9)): 10}, sms=0)
    assert found.hours == {}
    assert found.last_at is None


@pytest.mark.parametrize("pace", [0.3, 1, 17, 1_000])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe"])
def test_everybody_is_sent_or_expired_and_nobody_twice_and_nobody_at_night(pace, zone):
    expires = at(9, 12)
    releases = {
        release(at(2, hour), zones=(zone,), expires_at=expires): 1_000 * (hour + 1)
        for hour in range(0, 24, 5)
    }
    found = curve(releases, sms=pace)
    total = sum(releases.values())
    assert found.sent("sms") + found.expired.get("sms", 0) == pytest.approx(total)
    assert all(sent["sms"] <= pace * 3_600 + 1e-6 for sent in found.hours.values())
    assert (found.last_at or expires) <= expires + timedelta(seconds=1)
