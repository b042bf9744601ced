"""What an operator finds in Prefect after a batch."""

import asyncio
import json
from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]


async def newest_run(client: Any, flow: str) -> Any:
    """Give the flow's newest run."""
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    [run] = await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        sort=FlowRunSort.START_TIME_DESC,
        limit=1,
    )
    return run


async def artifact(client: Any, key: str) -> Any:
    """Give the newest artifact of that key."""
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    found = await client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    )
    return max(found, key=lambda one: one.created)


def test_a_batch_is_one_run_with_a_plain_name_its_tags_and_only_ids(house):
    """37 customers who are due together make one run under the journey's deployment."""
    house.pickups(37)

    async def then(worker: Any, client: Any) -> Any:
        await worker.view.look()
        assert await worker.round()
        run = await newest_run(client, "pickup-follow-up")
        deployment = await client.read_deployment(run.deployment_id)
        return run, deployment

    run, deployment = house.work("service", then)
    assert run.name == "pickup-follow-up · 37 customers"
    assert {"lane:service", "journey:pickup-follow-up"} <= set(run.tags)
    assert run.state_name == "Completed"
    assert [*run.parameters] == ["claim_id"]
    assert (deployment.name, deployment.work_queue_name) == ("pickup-follow-up", "service")
    assert len(house.stage.sent) == 74  # a text message and its mirror in the app
    assert house.run_ids() == {str(run.id)}, "the record names the run"


def test_each_unit_of_work_is_one_task_for_all_of_them(house):
    """The tasks of a run say in words what they do to how many."""
    house.pickups(3)

    async def then(worker: Any, client: Any) -> set[str]:
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
        from prefect.events.worker import EventsWorker

        await worker.view.look()
        await worker.round()
        run = await newest_run(client, "pickup-follow-up")
        EventsWorker.instance().wait_until_empty()  # task runs reach the server as events
        names: set[str] = set()
        for _ in range(200):
            found = await client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
            )
            names = {one.name for one in found}
            if len(names) >= 6:
                break
            await asyncio.sleep(0.05)
        return names

    names = house.work("service", then)
    assert {
        "decide pickup_ready · 3 customers",
        "render pickup_ready · 3 customers",
        "deliver pickup_ready · 3 customers",
        "settle pickup_ready · 3 customers",
        "move pickup_ready · 3 customers",
    } <= names


def test_the_table_of_a_run_counts_outcomes_by_reason_and_links_to_the_record(house):
    """Somebody without a phone or an address is in the table too, with the reason."""
    house.pickups(2)
    house.stage.signal("order.ready_for_pickup", user_id="nobody-reaches", order_id="N1")

    async def then(worker: Any, client: Any) -> Any:
        await worker.view.look()
        await worker.round()
        run = await newest_run(client, "pickup-follow-up")
        return run, await artifact(client, "pickup-follow-up-outcomes")

    run, table = house.work("service", then)
    assert table.flow_run_id == run.id
    rows = json.loads(table.data)
    sent = [row for row in rows if row["channel"] == "sms" and row["people"] == 2]
    assert sent, rows
    assert any(row["outcome"] == "skip" and row["reason"] for row in rows), rows
    assert table.description.count("/customers/") == 3


def test_a_run_asked_for_by_hand_takes_everybody_who_is_due_in_the_journey(house):
    """ "Run" in the pages needs no claim; the run is renamed when it knows how many there are."""

    async def then(worker: Any, client: Any) -> Any:
        await worker.view.look()
        asked = await client.create_flow_run_from_deployment(
            worker.view.deployment_id("purchase-follow-up")
        )
        house.pickups(1)
        for n in range(2):
            house.purchase(f"b{n}")
        await worker.view.look()
        assert await worker.run_wanted()
        return await client.read_flow_run(asked.id)

    run = house.work("service", then)
    assert run.name == "purchase-follow-up · 2 customers"
    assert run.state_name == "Completed"
    still_due = {
        row["journey"] for row in house.enrolments() if row["due_at"] == house.stage.clock()
    }
    assert still_due == {"pickup-follow-up"}, "the other journey was left alone"


def test_what_a_worker_asks_is_asked_when_it_is_time_or_there_is_something(house):
    """It is the dearest of our questions, and each lane has one every two seconds."""

    async def then(worker: Any, client: Any) -> list[int]:
        asked: list[int] = []
        ask = client.get_scheduled_flow_runs_for_work_pool

        async def counted(*args: Any, **given: Any) -> Any:
            answer = await ask(*args, **given)
            asked.append(len(answer))
            return answer

        client.get_scheduled_flow_runs_for_work_pool = counted
        await worker.view.look()  # with the first sign of life: the queue is ready from here on
        await worker.view.look()
        await client.create_flow_run_from_deployment(
            worker.view.deployment_id("purchase-follow-up")
        )
        await worker.view.look()
        assert await worker.run_wanted()
        await worker.view.look()
        return asked

    assert house.work("service", then) == [0, 1]


def test_each_version_of_a_journey_is_drawn_once(house):
    """The diagram is an artifact of its own and is not repeated by each run or start."""

    async def then(worker: Any, client: Any) -> list[Any]:
        from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

        await worker.view.look()
        await worker.chores.draw()
        await worker.chores.draw()
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["pickup-follow-up-diagram"]))
        return await client.read_artifacts(artifact_filter=wanted)

    [diagram] = house.work("service", then)
    assert "```mermaid\nflowchart TD" in diagram.data
    assert house.stage.desk.programs["pickup-follow-up"].version in diagram.description
