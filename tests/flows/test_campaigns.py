"""Campaigns in Prefect, from the Run button to the last person."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.campaign_house import newest_run, press_run, start_by_hand, take_up

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]


def test_the_run_button_launches_and_sends_to_everybody_once(campaigns):
    """The flow run ends in words, and the record names it."""
    campaigns.file("spring")
    campaigns.customers(3)

    async def then(worker: Any, client: Any) -> Any:
        return await press_run(worker, client, "spring")

    flow_run = campaigns.work(then)
    assert flow_run.state.name == "Completed", flow_run.state.message
    assert flow_run.state.message == "3 sent. Done."
    assert flow_run.name == "spring · launch"
    assert flow_run.parameters == {"campaign": "spring"}
    [run] = campaigns.runs()
    assert (run.status, run.run_id) == ("done", str(flow_run.id))
    assert sorted(one.to for one in campaigns.stage.sent) == [f"u{n}@example.com" for n in range(3)]


def test_a_campaign_on_customers_own_clocks_goes_out_zone_by_zone(campaigns):
    """The run begins with the first zone on earth; the rest wait, and the worker takes them up."""
    campaigns.stage.clock.now = datetime(
        2030, 3, 2, 1, 0, tzinfo=UTC
    )  # ten in the morning in Tokyo
    campaigns.file("morning", more="schedule: {at: 2030-03-02 10:00, zone: customer}\n")
    campaigns.customers(2, timezone="Asia/Tokyo")
    for n in range(2):
        campaigns.stage.signal(
            "profile.updated", user_id=f"paris{n}", email=f"paris{n}@example.com",
            traits={"timezone": "Europe/Paris", "marketing_consent": True},
        )  # fmt: skip

    async def then(worker: Any, client: Any) -> Any:
        first = await press_run(worker, client, "morning", at="2030-03-02T10:00")
        assert len(campaigns.stage.sent) == 2
        assert not await worker.campaigns.round(), "nobody is due before their morning"
        campaigns.stage.clock.now = datetime(2030, 3, 2, 9, 0, tzinfo=UTC)
        assert await worker.campaigns.round()
        await worker.campaigns.settled()
        return first, await newest_run(client, "campaign")

    first, wave = campaigns.work(then)
    assert first.state.message == (
        "2 sent; 2 wait, the first of them until 02 Mar 09:00 UTC. It continues by itself."
    )
    assert wave.name == "morning · wave · 1 shard"
    assert [*wave.parameters] == ["campaign", "run"]
    assert {one.to for one in campaigns.stage.sent[2:]} == {
        "paris0@example.com",
        "paris1@example.com",
    }
    [run] = campaigns.runs()
    assert (run.status, run.local_at) == ("done", "2030-03-02T10:00:00")


def test_a_paused_deployment_keeps_its_people_and_resuming_goes_on(campaigns):
    """Nobody is claimed while the marketer has it paused in Prefect's pages."""
    campaigns.file("spring")
    campaigns.customers(3)

    async def then(worker: Any, client: Any) -> None:
        start_by_hand(campaigns, "spring")
        paused = worker.view.deployment_id("spring")
        await client.pause_deployment(paused)
        await take_up(worker)
        assert campaigns.stage.sent == []
        assert campaigns.outcomes() == [None] * 3
        await client.resume_deployment(paused)
        await take_up(worker)

    campaigns.work(then)
    assert campaigns.outcomes() == ["sent"] * 3
    assert len(campaigns.stage.sent) == 3


def test_a_run_paused_on_the_record_is_left_alone(campaigns):
    """Paused by the command line: its people wait until it is resumed."""
    from signalpost.services.campaigns import launching

    campaigns.file("spring")
    campaigns.customers(2)
    desk = campaigns.stage.desk
    run = start_by_hand(campaigns, "spring")
    steer = {"campaign_run_id": run.id, "by": "omar"}
    launching.pause(desk, now=desk.clock(), **steer)

    async def then(worker: Any, client: Any) -> None:
        del client
        await take_up(worker)
        assert campaigns.stage.sent == []
        launching.resume(desk, now=desk.clock(), **steer)
        await take_up(worker)

    campaigns.work(then)
    assert len(campaigns.stage.sent) == 2


def test_cancelling_the_flow_run_stops_within_a_batch_and_pauses_the_campaign(campaigns):
    """Who is left keeps their place, unclaimed; resumed, exactly they are sent to."""
    from prefect.states import Cancelling

    from signalpost.services.campaigns import launching

    campaigns.file("spring")
    campaigns.customers(1100)  # a batch is a thousand
    gate = campaigns.gate()

    async def then(worker: Any, client: Any) -> Any:
        asked = await client.create_flow_run_from_deployment(worker.view.deployment_id("spring"))
        await worker.view.look()
        await worker.campaigns.round()
        await asyncio.wait_for(gate.came.wait(), 60)
        await client.set_flow_run_state(asked.id, Cancelling())
        await worker.campaigns.round()
        gate.let_go.set()
        await worker.campaigns.settled()
        stopped = await client.read_flow_run(asked.id)
        [run] = campaigns.runs()
        assert (run.status, len(campaigns.stage.sent)) == ("paused", 1000)
        assert ("paused", "prefect") in campaigns.acts(run.id)
        assert not await worker.campaigns.round()
        desk = campaigns.stage.desk
        launching.resume(desk, campaign_run_id=run.id, by="omar", now=desk.clock())
        await take_up(worker)
        return stopped

    stopped = campaigns.work(then)
    assert stopped.state.name == "Cancelled"
    assert stopped.state.message.startswith("1,000 sent; paused")
    assert len({one.to for one in campaigns.stage.sent}) == len(campaigns.stage.sent) == 1100


def test_a_worker_that_stops_ends_with_its_batch_and_the_next_one_goes_on(campaigns):
    """Told to stop in the middle, it gives its shard back."""
    campaigns.file("spring")
    campaigns.customers(1100)
    gate = campaigns.gate()

    async def stopping(worker: Any, client: Any) -> None:
        start_by_hand(campaigns, "spring")
        stop = asyncio.Event()
        serving = asyncio.create_task(worker.campaigns.serve(stop))
        await asyncio.wait_for(gate.came.wait(), 60)
        stop.set()
        await asyncio.sleep(0)
        gate.let_go.set()
        await serving

    campaigns.work(stopping)
    assert len(campaigns.stage.sent) == 1000

    async def next_one(worker: Any, client: Any) -> None:
        await take_up(worker)

    campaigns.work(next_one)
    assert len({one.to for one in campaigns.stage.sent}) == len(campaigns.stage.sent) == 1100


def test_what_a_killed_worker_held_is_taken_up_when_its_lease_is_over(campaigns):
    """Nobody waits for the dead, and nobody is claimed twice before."""
    from signalpost.services.campaigns import sending

    campaigns.file("spring")
    campaigns.customers(2)
    start_by_hand(campaigns, "spring")
    desk = campaigns.stage.desk
    assert sending.claim_shards(desk, now=desk.clock(), limit=1), "and then the worker dies"

    async def then(worker: Any, client: Any) -> None:
        assert not await worker.campaigns.round()
        campaigns.stage.clock.now += desk.lease + timedelta(seconds=1)
        assert await worker.campaigns.round()
        await worker.campaigns.settled()

    campaigns.work(then)
    assert len(campaigns.stage.sent) == 2


def test_a_refused_launch_says_why_in_prefect(campaigns):
    """An offer that is over, in the sentence that the plan has for it."""
    campaigns.file("late")
    path = campaigns.folder / "late.yaml"
    path.write_text(path.read_text().replace("2030-05-31", "2020-05-31"))
    campaigns.use()
    campaigns.customers(1)

    async def then(worker: Any, client: Any) -> Any:
        return await press_run(worker, client, "late")

    flow_run = campaigns.work(then)
    assert flow_run.state.name == "Failed"
    assert "late cannot be launched" in flow_run.state.message
    assert campaigns.runs() == []


def test_a_test_run_goes_to_the_first_few_only(campaigns):
    """Two of five, and the run says that it is done."""
    campaigns.file("spring")
    campaigns.customers(5)

    async def then(worker: Any, client: Any) -> Any:
        return await press_run(worker, client, "spring", test_on=2)

    assert campaigns.work(then).state.message == "2 sent. Done."
    assert len(campaigns.stage.sent) == 2
