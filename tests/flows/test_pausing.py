"""A pause in Prefect's pages really stops, and loses nobody."""

from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]


def test_a_paused_deployment_stops_its_journey_only_and_resuming_goes_on(house):
    """Who is due in the paused journey waits, unclaimed; the lane's other journey goes on."""
    house.pickups(2)
    house.purchase("buyer")

    async def then(worker: Any, client: Any) -> None:
        await worker.view.look()
        paused = worker.view.deployment_id("pickup-follow-up")
        await client.pause_deployment(paused)
        try:
            await worker.view.look()
            await worker.round()
            waiting = [row for row in house.enrolments() if row["journey"] == "pickup-follow-up"]
            assert {one.message for one in house.stage.sent} == {"order_confirmation"}
            assert len(waiting) == 2
            assert all(row["claim_id"] is None and row["due_at"] for row in waiting)
        finally:
            await client.resume_deployment(paused)
        await worker.view.look()
        await worker.round()

    house.work("service", then)
    assert {"pickup_ready", "order_confirmation"} == {one.message for one in house.stage.sent}


def test_a_paused_queue_stops_its_lane_and_resuming_goes_on(house):
    """Pausing the queue `service` holds every journey of the lane, and the risk lane goes on."""
    house.pickups(2)
    house.fraud("T-queue")

    async def then(worker: Any, client: Any) -> None:
        from signalpost.worker.deployments import POOL

        await worker.view.look()
        [queue] = [
            one
            for one in await client.read_work_queues(work_pool_name=POOL)
            if one.name == "service"
        ]
        await client.update_work_queue(queue.id, is_paused=True)
        try:
            await worker.view.look()
            assert not await worker.round()
            assert house.stage.sent == []
        finally:
            await client.update_work_queue(queue.id, is_paused=False)
        await worker.view.look()
        assert await worker.round()

    house.work("service", then)
    assert {one.message for one in house.stage.sent} == {"pickup_ready"}


def test_telling_prefect_again_keeps_a_pause_and_a_schedule(house):
    """A restart of ours must not undo what an operator paused, or planned."""

    async def then(worker: Any, client: Any) -> Any:
        from prefect.client.schemas.schedules import CronSchedule

        from signalpost.worker import deployments
        from signalpost.worker.registering import tell_prefect

        await worker.view.look()
        paused = worker.view.deployment_id("pickup-follow-up")
        await client.create_deployment_schedules(paused, [(CronSchedule(cron="0 9 * * *"), False)])
        await client.pause_deployment(paused)
        try:
            changed = [
                deployments.Deployment(
                    name=one.name, entrypoint=one.entrypoint, lane=one.lane, tags=one.tags,
                    description="changed",
                )
                for one in deployments.read()
            ]  # fmt: skip
            await tell_prefect(client, deployments=changed, folder=deployments.FILE.parent)
            there = await client.read_deployment(paused)
            assert there.description == "changed"
            return there
        finally:
            await client.resume_deployment(paused)

    there = house.work("service", then)
    assert there.paused
    assert [one.schedule.cron for one in there.schedules] == ["0 9 * * *"]
