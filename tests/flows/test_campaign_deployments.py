"""A deployment for each campaign file: its schedule, its form, and what an operator changed there."""

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from signalpost.domain.campaign import Schedule
from signalpost.errors import ConfigurationError
from signalpost.worker.campaign_schedules import begun_at, is_over, prefect_schedule
from tests.flows.campaign_house import told


def upcoming(schedule: Schedule, start: datetime, number: int = 1) -> list[datetime]:
    """Give when Prefect's scheduler would begin the runs of a schedule."""
    from prefect.server.schemas.schedules import CronSchedule, RRuleSchedule

    said = prefect_schedule(schedule) or {}
    made = CronSchedule(**said) if "cron" in said else RRuleSchedule(**said)
    dates = asyncio.run(made.get_dates(n=number, start=start))
    return [one.astimezone(UTC) for one in dates]


def wall(*parts: int) -> datetime:
    """Give a time on the wall, in no zone."""
    return datetime(*parts)  # noqa: DTZ001


NOW = datetime(2030, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "begins"),
    [
        (Schedule(at=wall(2030, 3, 2, 10), zone="Europe/Paris"), "2030-03-02T09:00"),
        (Schedule(at=wall(2030, 3, 2, 10), zone="customer"), "2030-03-01T20:00"),
        (Schedule(cron="0 10 * * *", zone="customer"), "2030-03-01T20:00"),
        (Schedule(cron="30 8 2 * *", zone="America/New_York"), "2030-03-02T13:30"),
        (
            Schedule(rrule="FREQ=WEEKLY;BYDAY=SA;BYHOUR=10;BYMINUTE=0", zone="UTC"),
            "2030-03-02T10:00",
        ),
        (
            Schedule(
                rrule="DTSTART:20300301T070000 RRULE:FREQ=WEEKLY;INTERVAL=2", zone="Asia/Tokyo"
            ),
            "2030-03-14T22:00",
        ),
    ],
)
def test_prefect_begins_a_run_when_the_file_says(schedule, begins):
    """On customers' own clocks with the first zone on earth, UTC+14."""
    [first] = upcoming(schedule, NOW)
    assert first.strftime("%Y-%m-%dT%H:%M") == begins
    assert begun_at([schedule], schedule, first).begins_at == first


def test_a_one_off_comes_once():
    """At its time, and never again."""
    assert len(upcoming(Schedule(at=wall(2030, 3, 2, 10)), NOW, 5)) == 1


def test_a_recurring_rule_ends_with_its_last_day():
    """The day itself is still in; a cron, which cannot say so, is found over by the flow."""
    until = date(2030, 3, 9)
    weekly = Schedule(rrule="FREQ=WEEKLY;BYDAY=SA;BYHOUR=10;BYMINUTE=0", until=until)
    assert [one.day for one in upcoming(weekly, NOW, 5)] == [2, 9]
    daily = Schedule(cron="0 10 * * *", until=until)
    assert not is_over(daily, wall(2030, 3, 9, 10))
    assert is_over(daily, wall(2030, 3, 10, 10))


def test_an_hour_that_summer_time_skips_is_the_same_occurrence_for_prefect_and_for_us():
    """02:30 does not exist on 31 March 2030 in Paris: whenever Prefect begins, it is that run."""
    daily = Schedule(cron="30 2 * * *", zone="Europe/Paris")
    for minutes in (0, 30):
        began = datetime(2030, 3, 31, 1, minutes, tzinfo=UTC)
        assert begun_at([daily], daily, began).local == wall(2030, 3, 31, 2, 30)


def test_a_campaign_must_not_have_the_name_of_a_journey():
    """Else one would take the other's deployment."""
    from signalpost.domain.audience import Everyone
    from signalpost.domain.campaign import Campaign
    from signalpost.domain.vocabulary import Purpose
    from signalpost.worker.campaign_deployments import campaign_deployments

    one = Campaign(
        name="fraud-alert", purpose=Purpose.MARKETING, topic="x", message="x", audience=Everyone()
    )
    with pytest.raises(ConfigurationError, match=r"'fraud-alert'.*Rename"):
        campaign_deployments({one.name: one}, catalogue=object(), taken=["fraud-alert"])  # type: ignore[arg-type]


@pytest.fixture
def form():
    """The form of an example campaign of this repository, by name."""
    from signalpost.content import Catalogue
    from signalpost.content.campaigns import load
    from signalpost.worker.campaign_deployments import launch_form

    root = Path(__file__).parents[2]
    catalogue = Catalogue.load(root / "templates")
    found = load(root / "deployments/campaigns", catalogue)
    return lambda name: launch_form(found[name], catalogue)


def test_the_form_of_a_series_asks_for_the_stage_and_what_the_message_says(form):
    """Choices from the file, fields of the right kind, each with a title and what it means."""
    asked = form("service-notice")
    fields = asked["properties"]
    assert fields["stage"]["enum"] == ["first", "update", "all-clear"]
    assert asked["required"] == ["stage", "series", "facts"]
    facts = fields["facts"]["properties"]
    assert facts["what"]["title"] == "What"
    assert facts["since"]["format"] == "date-time"
    assert facts["what"]["description"] == (
        "Text, such as: deliveries in Greater London. Needed by: first, update, all-clear."
    )
    assert "such as: 2023-05-04T09:00:00" in facts["since"]["description"]
    assert facts["expected_by"]["description"].endswith("May be given for: first, update.")
    assert facts["news"]["description"].endswith("Needed by: update.")
    assert all(one["description"] for one in facts.values())
    assert all(one["title"] and one["description"] for one in fields.values() if "type" in one)


def test_the_form_of_a_promotion_asks_for_nothing_that_must_be_filled_in(form):
    """What the flow takes for its own use is not shown."""
    asked = form("spring-promotion")
    assert [*asked["properties"]] == ["at", "test_on"]
    assert asked["required"] == []


# -- in Prefect ------------------------------------------------------------------------------------


def crons(deployment: Any) -> list[tuple[str, bool]]:
    """Give a deployment's schedules and whether each is active."""
    return [(one.schedule.cron, one.active) for one in deployment.schedules]


@pytest.mark.xdist_group("prefect")
@pytest.mark.usefixtures("prefect_server")
def test_a_schedule_follows_its_file_and_an_operators_pause_stays(campaigns):
    """The file's new time counts, and stays paused as it was."""
    campaigns.file("paused-one", more="schedule: {cron: '0 9 * * *', zone: UTC}\n")

    async def then(worker: Any, client: Any) -> Any:
        id_ = worker.view.deployment_id("paused-one")
        first = await client.read_deployment(id_)
        [mine] = first.schedules
        await client.update_deployment_schedule(id_, mine.id, active=False)
        campaigns.file("paused-one", more="schedule: {cron: '0 11 * * *', zone: UTC}\n")
        assert await told(worker, client, campaigns) == []
        return first, await client.read_deployment(id_)

    first, now = campaigns.work(then)
    assert crons(first) == [("0 9 * * *", True)]
    assert crons(now) == [("0 11 * * *", False)]
    assert now.parameters == {"campaign": "paused-one"}
    assert {"lane:marketing", "campaign:paused-one"} == set(now.tags)


@pytest.mark.xdist_group("prefect")
@pytest.mark.usefixtures("prefect_server")
def test_a_schedule_that_an_operator_changed_or_added_or_deleted_stays(campaigns):
    """Also when the rest of the file changes; when its schedule does, a note says what to do."""
    from prefect.client.schemas.schedules import CronSchedule

    campaigns.file("theirs", more="schedule: {cron: '0 9 * * *', zone: UTC}\n")

    async def then(worker: Any, client: Any) -> Any:
        id_ = worker.view.deployment_id("theirs")
        [mine] = (await client.read_deployment(id_)).schedules
        await client.update_deployment_schedule(
            id_, mine.id, schedule=CronSchedule(cron="0 7 * * *", timezone="UTC")
        )
        await client.create_deployment_schedules(id_, [(CronSchedule(cron="5 5 * * 5"), True)])
        campaigns.file("theirs", more="schedule: {cron: '0 9 * * *', zone: UTC}\nholdout: 5%\n")
        assert await told(worker, client, campaigns) == []
        kept = await client.read_deployment(id_)
        campaigns.file("theirs", more="schedule: {cron: '0 11 * * *', zone: UTC}\n")
        notes = await told(worker, client, campaigns)
        changed = await client.read_deployment(id_)
        mine = next(one for one in changed.schedules if one.schedule.cron == "0 7 * * *")
        await client.delete_deployment_schedule(id_, mine.id)
        campaigns.file("theirs", more="schedule: {cron: '0 11 * * *', zone: UTC}\nholdout: 9%\n")
        await told(worker, client, campaigns)
        return kept, notes, changed, await client.read_deployment(id_)

    kept, notes, changed, deleted = campaigns.work(then)
    both = {("0 7 * * *", True), ("5 5 * * 5", True)}
    assert set(crons(kept)) == set(crons(changed)) == both
    [note] = notes
    assert "'theirs' was changed in Prefect" in note
    assert crons(deleted) == [("5 5 * * 5", True)]


@pytest.mark.xdist_group("prefect")
@pytest.mark.usefixtures("prefect_server")
def test_a_file_that_is_gone_pauses_its_deployment_and_one_that_is_back_goes_on(campaigns):
    """A broken file is not a missing one: its deployment stays as it is."""
    campaigns.file("gone", more="schedule: {cron: '0 9 * * *', zone: UTC}\n")
    path = campaigns.folder / "gone.yaml"
    text = path.read_text()

    async def then(worker: Any, client: Any) -> Any:
        id_ = worker.view.deployment_id("gone")
        path.write_text("message: [")
        campaigns.use()
        assert await told(worker, client, campaigns) == []
        assert not (await client.read_deployment(id_)).paused
        path.unlink()
        campaigns.use()
        notes = await told(worker, client, campaigns)
        gone = await client.read_deployment(id_)
        assert await told(worker, client, campaigns) == [], "it is said once"
        path.write_text(text)
        campaigns.use()
        await told(worker, client, campaigns)
        return notes, gone, await client.read_deployment(id_)

    notes, gone, back = campaigns.work(then)
    assert any("'gone' is gone" in note and "paused" in note for note in notes)
    assert gone.paused
    assert "its file is gone" in gone.description
    assert set(gone.tags) == set(back.tags), "so that it is found again"
    assert not back.paused
    assert crons(back) == [("0 9 * * *", True)]


@pytest.mark.xdist_group("prefect")
@pytest.mark.usefixtures("prefect_server")
def test_the_run_form_refuses_what_the_file_does_not_allow(campaigns):
    """Prefect itself says so, before anything is launched."""
    from prefect.exceptions import PrefectHTTPStatusError

    campaigns.file("spring")

    async def then(worker: Any, client: Any) -> None:
        id_ = worker.view.deployment_id("spring")
        for wrong in ({"test_on": 0}, {"test_on": "many"}, {"at": "tomorrow"}):
            with pytest.raises(PrefectHTTPStatusError, match="409"):
                await client.create_flow_run_from_deployment(id_, parameters=wrong)

    campaigns.work(then)
