"""When a campaign reaches people: by their own clock, in their morning, no faster than its pace."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from zoneinfo import ZoneInfo

import pytest

from signalpost.record.campaigns import CampaignPerson
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.runs import Launch
from signalpost.testing import EPOCH, Stage
from tests.integration.campaign_engine import (
    audit,
    campaign,
    go,
    launched,
    notice,
    outcomes,
    pass_until,
    people,
    rows,
    sender,
    the_run,
)

ZONES = (
    "Pacific/Auckland",
    "Asia/Tokyo",
    "Europe/London",
    "America/New_York",
    "America/Los_Angeles",
)


class Ticking:
    """A clock that goes on a little whenever somebody looks at it."""

    def __init__(self, start, step):
        self.now, self.step, self._lock = start, step, Lock()

    def __call__(self):
        with self._lock:
            self.now += self.step
            return self.now


def in_zones(stage, zones):
    return {zone: people(stage, 2, zone=zone, first=2 * n)[0] for n, zone in enumerate(zones)}


def wall_clocks(stage):
    """Give the local time at which each person got it, by zone of the person."""
    found = {}
    for one in stage.sent:
        number = int(one.to[1:].split("@")[0])
        zone = ([*ZONES, None])[number // 2]
        found.setdefault(zone, set()).add(
            one.at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) if zone else one.at
        )
    return found


def test_everybody_gets_it_at_ten_on_their_own_clock(tmp_path, database_url):
    """Whose zone is unknown is at home where their number is; here nothing tells but the number."""
    with Stage(folder=tmp_path, database_url=database_url) as stage:
        in_zones(stage, [*ZONES, None])
        ten = datetime.fromisoformat("2026-03-04T10:00")
        run_id = launched(stage, campaign(), local_at=ten)
        pass_until(stage, datetime(2026, 3, 5, 12, tzinfo=UTC))
        seen = wall_clocks(stage)
        assert {zone: times for zone, times in seen.items() if zone} == {z: {ten} for z in ZONES}
        [unknown] = seen[None]
        assert unknown.astimezone(ZoneInfo("America/Los_Angeles")).replace(tzinfo=None) == ten
        assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 12}
        assert the_run(stage, run_id).status == "done"
        audit(stage, run_id)


@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        # The clocks go forward at 02:00: 02:30 does not exist, and the first moment after it is taken.
        (datetime.fromisoformat("2026-03-08T02:30"), datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),
        # They go back at 02:00: 01:30 comes twice, and it goes out at the first.
        (datetime.fromisoformat("2026-11-01T01:30"), datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),
    ],
    ids=["gap", "fold"],
)
def test_a_wall_clock_time_that_is_missing_or_comes_twice_sends_once(tmp_path, wall, expected):
    start = wall.replace(tzinfo=UTC) - timedelta(days=1)
    with Stage(folder=tmp_path, start=start) as stage:
        people(stage, 3, zone="America/New_York")
        run_id = launched(stage, notice(channels={"every": ["email"]}), local_at=wall)
        pass_until(stage, start + timedelta(days=3))
        assert len(stage.sent) == 3
        assert {abs(one.at - expected) <= timedelta(minutes=30) for one in stage.sent} == {True}
        audit(stage, run_id)


def test_the_backlog_of_a_night_is_spread_over_half_an_hour(tmp_path):
    night = EPOCH.replace(hour=22)
    with Stage(folder=tmp_path, start=night) as stage:
        people(stage, 30)
        run_id = go(stage, campaign())
        assert stage.sent == []
        held = [p.verdicts[0]["reason"] for p in rows(stage, CampaignPerson)]
        assert held == ["quiet_hours"] * 30
        pass_until(stage, night + timedelta(hours=12))
        morning = night.replace(hour=8) + timedelta(days=1)
        minutes = Counter(int((one.at - morning).total_seconds() // 60) for one in stage.sent)
        assert set(minutes) <= set(range(30))
        assert len(minutes) >= 10
        assert max(minutes.values()) <= 12
        assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 30}
        audit(stage, run_id)


def test_what_would_come_too_late_is_not_sent_and_says_so(tmp_path):
    night = EPOCH.replace(hour=22)
    with Stage(folder=tmp_path, start=night) as stage:
        people(stage, 2)
        run_id = go(stage, campaign(expires="4h"))
        assert outcomes(stage, run_id) == {("skipped", "", "expires_before_morning"): 2}
        audit(stage, run_id)


def test_what_waits_until_it_is_too_late_is_skipped_as_expired(tmp_path):
    with Stage(folder=tmp_path) as stage:
        people(stage, 2)
        run_id = launched(stage, campaign(expires="4h"))
        launching.pause(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
        stage.clock.now += timedelta(hours=4)
        launching.resume(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
        pass_until(stage, stage.clock.now)
        assert stage.sent == []
        assert outcomes(stage, run_id) == {("skipped", "", "expired"): 2}
        audit(stage, run_id)


@pytest.mark.parametrize("senders", [1, 2])
def test_never_more_than_the_pace_in_any_second_however_many_send(tmp_path, database_url, senders):
    clock = Ticking(EPOCH, timedelta(milliseconds=7))
    with Stage(folder=tmp_path, database_url=database_url) as stage:
        stage.outbox._clock = clock
        people(stage, 30)
        run_ids = [
            launched(stage, notice(name=name, pace={"email": 10}, channels={"every": ["email"]}))
            for name in ("north", "south")[:senders]
        ]
        desk = replace(stage.desk, clock=clock)

        async def together():
            await asyncio.gather(*(sender(desk) for _ in range(senders)))

        asyncio.run(together())
        times = sorted(one.at for one in stage.sent)
        assert len(times) == 30 * senders
        second = timedelta(seconds=1)
        most = max(sum(at <= other < at + second for other in times) for at in times)
        assert most <= 12  # the pace of ten, a tenth of a second's worth, and one
        whole = (times[-1] - times[0]).total_seconds()
        assert whole >= 30 * senders / 10 - 1
        for run_id in run_ids:
            audit(stage, run_id)


def test_a_campaign_for_tomorrow_sends_nothing_today(tmp_path):
    with Stage(folder=tmp_path) as stage:
        people(stage, 2)
        now = stage.clock.now
        run = launching.launch(
            stage.desk,
            launch=Launch(campaign=campaign(), scheduled_at=now + timedelta(days=1)),
            by="ann",
            now=now,
        )
        launching.start(stage.desk, campaign_run_id=run.id, now=now)
        pass_until(stage, now + timedelta(hours=23))
        assert stage.sent == []
        pass_until(stage, now + timedelta(hours=24))
        assert len(stage.sent) == 2
        audit(stage, run.id)
