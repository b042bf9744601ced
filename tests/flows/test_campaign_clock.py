"""Schedules that fire by themselves, with Prefect's pages as the steering wheel."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.campaign_house import fires, newest_run, press_run, take_up, tick, told

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]

DAILY = "schedule: {cron: '0 9 * * *', zone: Europe/Paris}\n"
NINE = datetime(2030, 3, 4, 8, tzinfo=UTC)  #: nine in the morning in Paris
DAY = timedelta(days=1)


@pytest.fixture
def clock(campaigns):
    """A campaign each morning at nine, and a minute to go."""
    campaigns.stage.clock.now = NINE - timedelta(minutes=1)
    campaigns.file("daily", more=DAILY)
    campaigns.customers(2)
    return campaigns.stage.clock


async def schedule(client: Any, worker: Any, name: str = "daily", **changes: Any) -> None:
    """Change the schedule in Prefect's pages."""
    id_ = worker.view.deployment_id(name)
    [one] = await client.read_deployment_schedules(id_)
    await client.update_deployment_schedule(id_, one.id, **changes)
    await worker.view.look()


def about(run: Any) -> Any:
    """Find the flow runs that are about a campaign's run."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags

    return FlowRunFilter(tags=FlowRunFilterTags(all_=[f"campaign-run:{run.id}"]))


def statuses(campaigns):
    return [(run.occurrence, run.status) for run in campaigns.runs()]


def test_what_is_scheduled_is_sent_and_prefect_shows_the_run(campaigns, clock):
    """Nobody presses a button, and Prefect's scheduler is not asked."""

    async def then(worker: Any, client: Any) -> Any:
        await tick(worker, campaigns)
        assert statuses(campaigns) == []
        clock.now = NINE
        await tick(worker, campaigns)
        await tick(worker, campaigns)
        return await newest_run(client, "campaign")

    flow_run = campaigns.work(then)
    [run] = campaigns.runs()
    assert (run.occurrence, run.status) == ("2030-03-04T09:00", "done")
    assert campaigns.acts(run.id)[0] == ("launched", "schedule")
    assert flow_run.name == "daily · start"
    assert flow_run.state.message == "2 sent. Done."
    assert f"campaign-run:{run.id}" in flow_run.tags
    assert len(campaigns.stage.sent) == 2


@pytest.mark.parametrize("first", ["the worker", "Prefect"])
def test_where_prefects_scheduler_fires_too_it_is_one_run(campaigns, clock, first):
    """Both fire for the same time, in either order, and the flow run is retried."""
    from prefect.states import Scheduled

    async def then(worker: Any, client: Any) -> Any:
        await tick(worker, campaigns)
        clock.now = NINE + timedelta(seconds=2)
        if first == "the worker":
            await tick(worker, campaigns)
        asked = await fires(client, worker, "daily", at=NINE)
        assert asked.auto_scheduled
        await take_up(worker)
        await tick(worker, campaigns)
        once = await client.read_flow_run(asked.id)
        await client.set_flow_run_state(asked.id, Scheduled(), force=True)
        await take_up(worker)
        return once, await client.read_flow_run(asked.id)

    once, again = campaigns.work(then)
    assert statuses(campaigns) == [("2030-03-04T09:00", "done")]
    assert once.state.message == again.state.message == "2 sent. Done."
    assert len(campaigns.stage.sent) == 2


def test_where_prefects_scheduler_fires_too_for_a_schedule_changed_in_its_pages_it_is_one_run(
    campaigns, clock
):
    """Moved to another zone there: the worker and the flow run mean the same time on the wall."""
    from prefect.client.schemas.schedules import CronSchedule

    (campaigns.folder / "daily.yaml").unlink()
    campaigns.file("moved", more=DAILY)  # what is changed in Prefect stays for the next test
    comes = NINE + timedelta(hours=6)  # nine in the morning in New York

    async def then(worker: Any, client: Any) -> Any:
        nine = CronSchedule(cron="0 9 * * *", timezone="America/New_York")
        await schedule(client, worker, "moved", schedule=nine)
        await tick(worker, campaigns)
        clock.now = comes
        await tick(worker, campaigns)
        asked = await fires(client, worker, "moved", at=comes)
        await take_up(worker)
        await tick(worker, campaigns)
        return await client.read_flow_run(asked.id)

    flow_run = campaigns.work(then)
    assert statuses(campaigns) == [("2030-03-04T09:00", "done")]
    assert flow_run.state.message == "2 sent. Done."
    assert len(campaigns.stage.sent) == 2


def test_who_gives_the_run_button_a_time_of_a_schedule_changed_in_prefect_launches_that_one_ahead(
    campaigns, clock
):
    """Not the file's own time, which does not come any more."""
    from prefect.client.schemas.schedules import CronSchedule

    (campaigns.folder / "daily.yaml").unlink()
    campaigns.file("ahead", more=DAILY)  # what is changed in Prefect stays for the next test

    async def then(worker: Any, client: Any) -> None:
        eleven = CronSchedule(cron="0 11 * * *", timezone="Europe/Paris")
        await schedule(client, worker, "ahead", schedule=eleven)
        await tick(worker, campaigns)
        await press_run(worker, client, "ahead", at="2030-03-04T11:00")
        clock.now = NINE + timedelta(hours=2)
        await tick(worker, campaigns)
        await tick(worker, campaigns)

    campaigns.work(then)
    assert statuses(campaigns) == [("2030-03-04T11:00", "done")]
    assert len(campaigns.stage.sent) == 2


def test_a_flow_run_of_prefects_scheduler_that_comes_hours_late_sends_nothing(campaigns, clock):
    """The same grace holds for it; the record says that the time was missed."""

    async def then(worker: Any, client: Any) -> Any:
        clock.now = NINE + timedelta(hours=3)
        asked = await fires(client, worker, "daily", at=NINE)
        await take_up(worker)
        return await client.read_flow_run(asked.id)

    flow_run = campaigns.work(then)
    assert statuses(campaigns) == [("2030-03-04T09:00", "missed")]
    assert flow_run.state.message == "missed (nobody was there to launch it within 1 hour)."
    assert campaigns.stage.sent == []


def test_what_is_paused_in_prefect_is_not_launched_also_when_prefect_is_away(campaigns, clock):
    """The deployment, or its schedule; a worker that cannot reach Prefect knows it from the record."""
    from prefect.client.schemas.actions import DeploymentUpdate

    async def then(worker: Any, client: Any) -> None:
        id_ = worker.view.deployment_id("daily")
        await client.pause_deployment(id_)
        await worker.view.look()
        await tick(worker, campaigns)
        clock.now = NINE
        worker.view.lost()
        worker.view.campaigns = {}  # a worker that has just begun, and has seen nothing
        await tick_alone(worker, campaigns)
        assert statuses(campaigns) == [("2030-03-04T09:00", "missed")]
        await client.update_deployment(id_, DeploymentUpdate(paused=False))
        await worker.view.look()
        await schedule(client, worker, active=False)
        clock.now = NINE + DAY
        await tick(worker, campaigns)
        await schedule(client, worker, active=True)
        clock.now = NINE + 2 * DAY
        await tick(worker, campaigns)

    campaigns.work(then)
    assert statuses(campaigns) == [
        ("2030-03-04T09:00", "missed"),
        ("2030-03-05T09:00", "missed"),
        ("2030-03-06T09:00", "done"),
    ]
    assert campaigns.runs()[0].reason == "it was paused in Prefect"


async def tick_alone(worker: Any, campaigns: Any) -> None:
    """Let the clock look while Prefect is away."""
    from signalpost.worker.campaign_clock import CampaignClock

    clock = CampaignClock(campaigns.stage.desk, view=worker.view, folder=campaigns.folder)
    await clock.look()


def test_without_prefect_a_time_is_launched_on_the_record_and_begins_when_it_is_back(
    campaigns, clock
):
    """Nothing of it is lost."""

    async def then(worker: Any, client: Any) -> None:
        del client
        await tick(worker, campaigns)
        worker.view.lost()
        clock.now = NINE
        await tick_alone(worker, campaigns)
        assert statuses(campaigns) == [("2030-03-04T09:00", "approved")]
        assert campaigns.stage.sent == []
        await worker.view.look()
        await tick(worker, campaigns)

    campaigns.work(then)
    assert statuses(campaigns) == [("2030-03-04T09:00", "done")]


def test_a_schedule_that_was_changed_in_prefects_pages_is_the_one_that_counts(campaigns, clock):
    """At eleven there, not at nine; and a file that changes keeps it so, as `deploy` says."""
    from prefect.client.schemas.schedules import CronSchedule

    (campaigns.folder / "daily.yaml").unlink()
    campaigns.file("steered", more=DAILY)  # what is changed in Prefect stays for the next test

    async def then(worker: Any, client: Any) -> Any:
        eleven = CronSchedule(cron="0 11 * * *", timezone="Europe/Paris")
        await schedule(client, worker, "steered", schedule=eleven)
        for hours in (-0.1, 0, 1, 2, 3):
            clock.now = NINE + timedelta(hours=hours)
            await tick(worker, campaigns)
        campaigns.file("steered", more=DAILY.replace("0 9", "0 10"))
        notes = await told(worker, client, campaigns)
        await worker.view.look()
        clock.now = NINE + DAY + timedelta(hours=2)
        await tick(worker, campaigns)
        return notes

    notes = campaigns.work(then)
    assert any("'steered' was changed in Prefect" in note for note in notes)
    assert statuses(campaigns) == [("2030-03-04T11:00", "done"), ("2030-03-05T11:00", "done")]


def test_who_gives_the_run_button_a_time_of_the_schedule_launches_that_one_ahead(campaigns, clock):
    """To have it approved before, for instance: it does not come a second time."""

    async def then(worker: Any, client: Any) -> Any:
        await tick(worker, campaigns)
        flow_run = await press_run(worker, client, "daily", at="2030-03-04T09:00")
        assert campaigns.stage.sent == []
        clock.now = NINE
        await tick(worker, campaigns)
        return flow_run

    flow_run = campaigns.work(then)
    assert "It begins on 04 Mar 2030 at 08:00 UTC, by itself." in flow_run.state.message
    assert statuses(campaigns) == [("2030-03-04T09:00", "done")]
    assert len(campaigns.stage.sent) == 2


def test_above_the_threshold_the_form_waits_in_prefect_when_its_time_has_come(campaigns, clock):
    """As for a launch by hand."""
    campaigns.file("daily", approval="always", more=DAILY)

    async def then(worker: Any, client: Any) -> Any:
        await tick(worker, campaigns)
        clock.now = NINE
        await tick(worker, campaigns)
        [flow_run] = await client.read_flow_runs(flow_run_filter=about(campaigns.runs()[0]))
        return flow_run

    flow_run = campaigns.work(then)
    assert flow_run.name == "daily · approval"
    assert flow_run.state.is_paused()
    assert statuses(campaigns) == [("2030-03-04T09:00", "awaiting_approval")]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"at": "2030-03-31T02:30"}, "does not exist in Europe/Paris; it would become"),
        ({"facts": {"code": "FREE"}}, "The fact 'code' is what"),
        ({"facts": {"percnt": 90}}, "Nothing asks for the fact 'percnt'"),
    ],
)
def test_the_run_button_takes_no_skipped_hour_and_no_fact_that_the_file_does_not_ask_for(
    campaigns, clock, asked, says
):
    """The failed flow run says why, and nothing is launched."""

    async def then(worker: Any, client: Any) -> Any:
        await tick(worker, campaigns)
        return await press_run(worker, client, "daily", **asked)

    flow_run = campaigns.work(then)
    assert flow_run.state.is_failed()
    assert says in flow_run.state.message
    assert statuses(campaigns) == []
