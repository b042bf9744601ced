"""Schedules fire by themselves: once, at their time, whoever looks and however often."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from signalpost.domain.campaign import Schedule
from signalpost.record import campaign_schedules
from signalpost.record.campaign_schedules import CampaignSchedule
from signalpost.record.campaigns import CampaignAct, CampaignRun
from signalpost.services.campaigns import following, launching
from signalpost.services.campaigns.following import Told, follow
from signalpost.testing import Stage
from tests.integration.campaign_engine import acts, campaign, launched, notice, people, rows, send

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAILY = {"cron": "0 10 * * *", "zone": "UTC"}


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, database_url=database_url) as opened:
        yield opened


def look(stage, wanted, *, at=None, told=None):
    """Look at a campaign's schedule, at a moment; gives what came."""
    if at is not None:
        stage.clock.now = at
    return follow(stage.desk, campaign=wanted, told=told, now=stage.clock.now)


def kept(stage):
    """Give occurrence and status of every run on the record."""
    return sorted((row.occurrence, row.status) for row in rows(stage, CampaignRun))


def day(number, hour=10, minute=0):
    return datetime(2026, 3, number, hour, minute, tzinfo=UTC)


def test_what_comes_is_launched_once_and_sent(stage):
    """Looked at every few seconds, on two days: two runs, and each is sent to everybody."""
    people(stage, 3)
    wanted = notice(schedule=DAILY)
    for now in (day(2, 9), day(2, 9, 59)):
        assert look(stage, wanted, at=now) == []
    [run] = look(stage, wanted, at=day(2))
    assert (run.status, run.occurrence, run.scheduled_at) == (
        "approved", "2026-03-02T10:00", day(2),
    )  # fmt: skip
    assert acts(stage, run.id) == [("launched", "schedule")]
    launching.start(stage.desk, campaign_run_id=run.id, now=stage.clock.now)
    send(stage)
    assert len(stage.sent) == 3
    for seconds in (3, 6, 100, 4000):
        assert look(stage, wanted, at=day(2) + timedelta(seconds=seconds)) == []
    [second] = look(stage, wanted, at=day(3) + timedelta(seconds=2))
    assert second.occurrence == "2026-03-03T10:00"


def test_many_workers_that_look_at_once_come_to_one_run(stage):
    """Eight threads at the same moment: one row, launched once."""
    people(stage, 2)
    wanted = campaign(schedule=DAILY)
    look(stage, wanted, at=day(2, 9))
    stage.clock.now = day(2)
    gate, found = threading.Barrier(8), []

    def worker():
        gate.wait()
        found.extend(follow(stage.desk, campaign=wanted, told=Told(), now=day(2)))

    threads = [threading.Thread(target=worker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert kept(stage) == [("2026-03-02T10:00", "approved")]
    assert len({run.id for run in found}) == 1
    assert [row.act for row in rows(stage, CampaignAct)] == ["launched"]


def test_workers_that_have_read_two_versions_of_the_file_come_to_one_run_and_do_not_stumble(stage):
    """It was saved at the very moment: whichever worker was first, the others find its run."""
    people(stage, 2)
    versions = [campaign(schedule=DAILY), campaign(schedule=DAILY, holdout="50%")]
    look(stage, versions[0], at=day(2, 9))
    stage.clock.now = day(2)
    gate, said = threading.Barrier(8), []

    def worker(wanted):
        gate.wait()
        try:
            said.append(follow(stage.desk, campaign=wanted, told=Told(), now=day(2)))
        except Exception as error:
            said.append(error)

    threads = [threading.Thread(target=worker, args=(versions[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not [one for one in said if isinstance(one, Exception)]
    assert kept(stage) == [("2026-03-02T10:00", "approved")]


def test_a_worker_that_dies_after_the_launch_launches_nothing_again(stage):
    """The run was kept, the note of how far the schedule was followed was not."""
    people(stage, 1)
    wanted = campaign(schedule=DAILY)
    look(stage, wanted, at=day(2, 9))
    [run] = look(stage, wanted, at=day(2))
    with stage.database.writing() as session:
        row = campaign_schedules.schedule_of(session, campaign="spring")
        campaign_schedules.forget(session, campaigns=["spring"])
        again = {name: row[name] for name in ("says", "from_prefect", "paused")}
        campaign_schedules.keep(session, campaign="spring", followed_until=day(2, 9), **again)
    assert [one.id for one in look(stage, wanted, at=day(2, 10, 1))] == [run.id]
    assert [row.act for row in rows(stage, CampaignAct)] == ["launched"]


def test_late_within_the_grace_is_launched_and_later_is_missed_with_the_reason(stage):
    """An hour, or as long as the messages are worth sending."""
    people(stage, 1)
    for name, more, away, status in (
        ("soon", {}, timedelta(minutes=59), "approved"),
        ("late", {}, timedelta(minutes=61), "missed"),
        ("long", {"expires": "6h"}, timedelta(hours=5), "approved"),
    ):
        wanted = campaign(name=name, schedule=DAILY, **more)
        look(stage, wanted, at=day(2, 9))
        [run] = look(stage, wanted, at=day(2) + away)
        assert (run.status, run.occurrence) == (status, "2026-03-02T10:00")
        if status == "missed":
            assert run.reason == "nobody was there to launch it within 1 hour"
            assert acts(stage, run.id) == [("missed", "schedule")]


def test_after_days_without_a_worker_each_missed_time_is_shown_and_the_last_is_launched(stage):
    """Three mornings passed; only the newest is still in time."""
    people(stage, 1)
    wanted = campaign(schedule=DAILY)
    look(stage, wanted, at=day(2, 9))
    look(stage, wanted, at=day(5, 10, 30))
    assert kept(stage) == [
        ("2026-03-02T10:00", "missed"),
        ("2026-03-03T10:00", "missed"),
        ("2026-03-04T10:00", "missed"),
        ("2026-03-05T10:00", "approved"),
    ]


def test_of_two_that_are_in_time_only_the_newer_is_launched(stage):
    """Nobody gets two at once because a machine was down."""
    people(stage, 1)
    wanted = campaign(schedule={"cron": "0 9,10 * * *", "zone": "UTC"}, expires="5h")
    look(stage, wanted, at=day(2, 8))
    older, newer = look(stage, wanted, at=day(2, 10, 5))
    assert (older.status, newer.status) == ("missed", "approved")
    assert "2026-03-02T10:00, had come before anybody was there" in older.reason


def test_a_new_recurring_schedule_begins_with_its_next_time(stage):
    """Written half past ten, ten o'clock is tomorrow's."""
    people(stage, 1)
    wanted = campaign(schedule=DAILY)
    assert look(stage, wanted, at=day(2, 10, 30)) == []
    [run] = look(stage, wanted, at=day(3, 10))
    assert run.occurrence == "2026-03-03T10:00"


def test_a_time_of_its_own_is_launched_late_within_the_grace_and_else_missed(stage):
    """Whoever wrote a date wants it; one that is past is shown as missed, once."""
    people(stage, 1)
    just = campaign(name="just", schedule={"at": "2026-03-02 10:00", "zone": "UTC"})
    past = campaign(name="past", schedule={"at": "2026-03-01 10:00", "zone": "UTC"})
    old = campaign(name="old", schedule={"at": "2025-03-01 10:00", "zone": "UTC"})
    assert [run.status for run in look(stage, just, at=day(2, 10, 20))] == ["approved"]
    assert [run.status for run in look(stage, past)] == ["missed"]
    assert look(stage, past) == look(stage, old) == []


class Killed(BaseException):
    """A process that is gone, at once."""


class Words:
    """What a worker reads its messages from when it is killed while it plans."""

    def __contains__(self, name):
        raise Killed


def test_a_time_of_its_own_is_launched_also_when_who_saw_it_first_was_killed_while_planning(stage):
    """Seen for the first time five minutes late: the next worker owes it all the same."""
    people(stage, 1)
    wanted = campaign(schedule={"at": "2026-03-02 10:00", "zone": "UTC"})
    dying = replace(stage.desk, catalogue=Words())
    with pytest.raises(Killed):
        follow(dying, campaign=wanted, told=None, now=day(2, 10, 5))
    [run] = look(stage, wanted, at=day(2, 10, 6))
    assert (run.status, run.occurrence) == ("approved", "2026-03-02T10:00")
    assert look(stage, wanted, at=day(2, 10, 7)) == []


@pytest.mark.parametrize(("over", "status"), [(6, "approved"), (66, "missed")])
def test_a_time_of_its_own_that_another_run_is_in_the_way_of_is_launched_later_or_missed(
    stage, over, status
):
    """A run by hand was going on when it was seen for the first time."""
    people(stage, 1)
    stage.clock.now = day(2, 9, 50)
    launched(stage, campaign())
    wanted = campaign(schedule={"at": "2026-03-02 10:00", "zone": "UTC"})
    for minute in (1, 3, 5):
        assert look(stage, wanted, at=day(2, 10, minute)) == []
    stage.clock.now = day(2, 10) + timedelta(minutes=over)
    if status == "approved":
        send(stage)
    [run] = look(stage, wanted)
    assert (run.status, run.occurrence) == (status, "2026-03-02T10:00")


def test_a_time_of_its_own_that_somebody_writes_just_after_it_is_launched(stage):
    """A worker was there all the time, and followed another schedule until then."""
    people(stage, 1)
    look(stage, campaign(schedule=DAILY), at=day(2, 9))
    look(stage, campaign(schedule=DAILY), at=day(2, 9, 32))
    corrected = campaign(schedule={"at": "2026-03-02 09:30", "zone": "UTC"})
    [run] = look(stage, corrected, at=day(2, 9, 33))
    assert (run.status, run.occurrence) == ("approved", "2026-03-02T09:30")


def test_what_comes_again_begins_with_its_next_time_also_when_who_saw_it_first_was_killed(stage):
    """Added in Prefect's pages to a time of its own, while no worker was there."""
    people(stage, 1)
    wanted = campaign(schedule={"at": "2026-03-02 10:00", "zone": "UTC"})
    look(stage, wanted, at=day(2, 8))
    both = Told(changed=(wanted.schedule, Schedule(cron="0 9 * * *", zone="UTC")))
    dying = replace(stage.desk, catalogue=Words())
    with pytest.raises(Killed):
        follow(dying, campaign=wanted, told=both, now=day(2, 10, 5))
    look(stage, wanted, at=day(2, 10, 6), told=both)
    assert kept(stage) == [("2026-03-02T10:00", "approved")], "nine o'clock is tomorrow's"


def test_a_paused_campaign_is_not_launched_and_the_missed_time_says_so(stage):
    """Paused in Prefect; resumed, it begins with its next time."""
    people(stage, 1)
    wanted = campaign(schedule=DAILY)
    look(stage, wanted, at=day(2, 9), told=Told())
    [run] = look(stage, wanted, at=day(2), told=Told(paused=True))
    assert (run.status, run.reason) == ("missed", "it was paused in Prefect")
    assert look(stage, wanted, at=day(2, 10, 5), told=Told()) == []
    [run] = look(stage, wanted, at=day(3), told=Told())
    assert run.status == "approved"


def test_while_prefect_is_away_what_it_said_last_counts(stage):
    """Paused stays paused, and a schedule that was changed there stays changed."""
    people(stage, 1)
    wanted = campaign(schedule=DAILY)
    eleven = (Schedule(cron="0 11 * * *", zone="UTC"),)
    look(stage, wanted, at=day(2, 9), told=Told(paused=True, changed=eleven))
    assert look(stage, wanted, at=day(2, 10, 1), told=None) == []
    [run] = look(stage, wanted, at=day(2, 11), told=None)
    assert (run.occurrence, run.status) == ("2026-03-02T11:00", "missed")
    [run] = look(stage, wanted, at=day(3, 11), told=Told(changed=eleven))
    assert (run.occurrence, run.status) == ("2026-03-03T11:00", "approved")


def test_a_schedule_that_is_changed_while_a_worker_looks_loses_no_time(stage):
    """Changed to a minute ago: it is launched, neither twice nor never."""
    people(stage, 1)
    look(stage, campaign(schedule=DAILY), at=day(2, 9, 57))
    changed = campaign(schedule={"cron": "58 9 * * *", "zone": "UTC"})
    [run] = look(stage, changed, at=day(2, 9, 59))
    assert run.occurrence == "2026-03-02T09:58"


def test_a_launch_that_the_plan_refuses_is_kept_with_why_and_not_tried_again(stage):
    """Nobody is in the audience."""
    wanted = campaign(schedule=DAILY)
    look(stage, wanted, at=day(2, 9))
    [run] = look(stage, wanted, at=day(2))
    assert run.status == "refused"
    assert "cannot be launched" in run.reason
    people(stage, 1)
    assert look(stage, wanted, at=day(2, 10, 5)) == []


def test_above_its_threshold_it_waits_for_approval_and_the_next_does_not_queue_behind(stage):
    """One waits for a person; tomorrow's is missed and says for what it could not go."""
    people(stage, 3)
    wanted = campaign(schedule=DAILY, approval="above 2")
    look(stage, wanted, at=day(2, 9))
    [run] = look(stage, wanted, at=day(2))
    assert run.status == "awaiting_approval"
    assert look(stage, wanted, at=day(3)) == []
    [second] = look(stage, wanted, at=day(3, 11, 1))
    assert (second.status, second.reason) == (
        "missed", "the run of 02 Mar 10:00 UTC had not begun within 1 hour",
    )  # fmt: skip


def test_the_next_one_waits_for_the_end_of_a_run_that_is_going_on(stage):
    """Two runs of one campaign never overlap; this one is launched when the first is over."""
    people(stage, 1)
    wanted = campaign(schedule=DAILY)
    look(stage, wanted, at=day(2, 9))
    [first] = look(stage, wanted, at=day(2))
    launching.start(stage.desk, campaign_run_id=first.id, now=stage.clock.now)
    for minute in (0, 3, 6, 9):
        assert look(stage, wanted, at=day(3, 10, minute)) == []
    send(stage)
    [second] = look(stage, wanted, at=day(3, 10, 12))
    assert (second.status, second.occurrence) == ("approved", "2026-03-03T10:00")


def test_an_occurrence_that_was_launched_ahead_by_hand_is_not_launched_again(stage):
    """To have it approved the evening before, for instance."""
    people(stage, 1)
    wanted = campaign(schedule=DAILY)
    look(stage, wanted, at=day(2, 9))
    ahead = following.Launch(campaign=wanted, occurrence="2026-03-02T10:00", scheduled_at=day(2))
    mine = launching.launch(stage.desk, launch=ahead, by="ann", now=stage.clock.now)
    assert [run.id for run in look(stage, wanted, at=day(2))] == [mine.id]
    assert acts(stage, mine.id) == [("launched", "ann")]


def test_a_campaign_whose_file_is_gone_and_comes_back_is_new(stage):
    """What would have come meanwhile is nobody's."""
    people(stage, 1)
    wanted = campaign(schedule=DAILY)
    look(stage, wanted, at=day(2, 9))
    following.forget(stage.desk, except_for=["another"])
    assert look(stage, wanted, at=day(2, 10, 1)) == []


def test_a_campaign_without_a_schedule_leaves_no_trace(stage):
    """It is launched by hand."""
    assert look(stage, campaign(), at=day(2)) == []
    assert rows(stage, CampaignSchedule) == []


CLOCKS = [
    # the hour that summer time skips: 01:30 becomes 02:30 on the wall, 01:30 UTC
    ("30 1 * * *", "Europe/London", "2026-03-28T02:00", "2026-03-29T05:00",
     [("2026-03-29T01:30", "2026-03-29T01:30")]),
    # the hour that comes twice: the first of the two, and once
    ("30 1 * * *", "Europe/London", "2026-10-24T12:00", "2026-10-25T12:00",
     [("2026-10-25T01:30", "2026-10-25T00:30")]),
    # two times that a gap puts on one moment are one
    ("30 1,2 * * *", "Europe/London", "2026-03-28T12:00", "2026-03-29T01:40",
     [("2026-03-29T01:30", "2026-03-29T01:30")]),
    # 29 February
    ("0 9 29 2 *", "UTC", "2028-02-29T08:00", "2028-02-29T09:00",
     [("2028-02-29T09:00", "2028-02-29T09:00")]),
    # each customer's own: begins at UTC+14
    ("0 10 * * *", "customer", "2026-03-01T19:00", "2026-03-01T20:00",
     [("2026-03-02T10:00", "2026-03-01T20:00")]),
]  # fmt: skip


@pytest.mark.parametrize(("cron", "zone", "since", "until", "comes"), CLOCKS)
def test_the_clock_on_the_wall_decides(tmp_path, cron, zone, since, until, comes):
    """Changes of clocks, leap days and customers' own zones."""
    with Stage(folder=tmp_path) as stage:
        people(stage, 1)
        wanted = campaign(
            schedule={"cron": cron, "zone": zone},
            promotion={
                "id": "X", "code": "X", "ends": "2030-01-01 00:00", "zone": "UTC",
                "facts": {"percent": 15},
            },
        )  # fmt: skip
        first = datetime.fromisoformat(since).replace(tzinfo=UTC)
        look(stage, wanted, at=first)
        now, found = first, []
        end = datetime.fromisoformat(until).replace(tzinfo=UTC)
        while now < end:
            now += 10 * timedelta(minutes=1)
            found += look(stage, wanted, at=now)
    told = [(run.occurrence, f"{run.scheduled_at:%Y-%m-%dT%H:%M}") for run in found]
    assert told == comes
    assert all((run.local_at is not None) == (zone == "customer") for run in found)


def test_on_customers_own_clocks_it_is_launched_as_long_as_somebody_has_it_before_them(stage):
    """Down for half a day: the east gets it late or not, the west at its time."""
    people(stage, 1)
    wanted = campaign(schedule={"cron": "0 10 * * *", "zone": "customer"})
    look(stage, wanted, at=day(1, 19))
    [run] = look(stage, wanted, at=day(2, 8))
    assert (run.status, run.occurrence) == ("approved", "2026-03-02T10:00")
    other = campaign(name="other", schedule={"at": "2026-03-02 10:00", "zone": "customer"})
    [run] = look(stage, other, at=day(2, 23, 30))
    assert run.status == "missed", "past everywhere for more than an hour"
