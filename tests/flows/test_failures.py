"""A batch that fails, a Prefect that is away, a worker that was killed: nobody is lost."""

import asyncio
import socket
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from signalpost.domain.vocabulary import Channel

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]


def break_decisions(house: Any, words: str) -> None:
    """Let the record refuse every decision, in these words."""
    with house.stage.database.writing() as session:
        session.execute(
            text(
                "CREATE TRIGGER broken BEFORE INSERT ON decisions "
                f"BEGIN SELECT RAISE(ABORT, '{words}'); END"
            )
        )


def repair_decisions(house: Any) -> None:
    """Let the record take decisions again."""
    with house.stage.database.writing() as session:
        session.execute(text("DROP TRIGGER broken"))


def closed_port() -> int:
    """Give a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_failed_batch_is_failed_in_prefect_and_tried_again_after_a_while(house):
    """The run is Failed, the people keep their place, and after the backoff they are served."""
    house.pickups(2)
    break_decisions(house, "no")

    async def then(worker: Any, client: Any) -> Any:
        await worker.view.look()
        await worker.round()
        [failed] = await client.read_flow_runs(limit=1, sort="START_TIME_DESC")
        repair_decisions(house)
        assert not await worker.round(), "not at once"
        house.stage.clock.now += timedelta(seconds=6)
        assert await worker.round()
        [again] = await client.read_flow_runs(limit=1, sort="START_TIME_DESC")
        return failed, again

    failed, again = house.work("service", then)
    assert failed.state_name == "Failed"
    assert again.state_name == "Completed"
    assert again.id != failed.id
    assert {one.message for one in house.stage.sent} == {"pickup_ready"}
    assert len(house.stage.sent) == 4


def test_fraud_goes_out_while_prefect_is_away_and_the_record_says_so(house):
    """No flow run is named on the message; everything else happened."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    house.fraud("T-away")
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{closed_port()}/api"}):

        async def then(worker: Any, client: Any) -> None:
            del client
            watching = asyncio.create_task(worker.view.watch())
            await worker.view.looked()
            await worker.round()
            await worker.served()
            watching.cancel()

        house.work("risk", then)
    assert {one.message for one in house.stage.sent} == {"fraud_alert"}
    assert house.run_ids() == {None}


def test_prefect_lost_between_two_looks_delays_no_fraud(house):
    """The worker believes Prefect to be there, and goes on without it when the run cannot begin."""
    house.fraud("T-lost")

    async def then(worker: Any, client: Any) -> None:
        await worker.view.look()
        client._client.base_url = f"http://127.0.0.1:{closed_port()}/api/"
        assert await worker.round()
        await worker.served()
        assert not worker.view.reachable

    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        house.work("risk", then)
    assert {one.message for one in house.stage.sent} == {"fraud_alert"}


class OneWaitsForTheOther:
    """A provider that answers nobody before two calls are there at once."""

    def __init__(self, provider: Any) -> None:
        self._provider, self._both = provider, asyncio.Barrier(2)
        self.name, self.channels = provider.name, provider.channels
        self.max_batch = provider.max_batch

    async def hand_over(self, letter: Any, batch: Any) -> Any:
        async with asyncio.timeout(20):
            await self._both.wait()
        return await self._provider.hand_over(letter, batch)

    async def close(self) -> None:
        await self._provider.close()


def test_no_alert_waits_for_the_one_before_it(house):
    """However slow the provider is with one, the next is on its way."""
    house.fraud("T-slow", phone="+12065550101")
    house.fraud("T-next", phone="+12065550102")
    providers = house.stage.desk.providers
    providers[Channel.SMS] = OneWaitsForTheOther(providers[Channel.SMS])

    async def then(worker: Any, client: Any) -> None:
        del client
        await worker.view.look()
        assert await worker.round()
        await worker.served()

    house.work("risk", then)
    texts = [one for one in house.stage.sent if one.channel == Channel.SMS]
    assert len(texts) == 2


def test_the_other_lanes_wait_for_prefect_and_lose_nobody(house):
    """Nobody is claimed while Prefect is away; when it is back everybody is served."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    house.pickups(2)
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{closed_port()}/api"}):

        async def away(worker: Any, client: Any) -> None:
            del client
            watching = asyncio.create_task(worker.view.watch())
            await worker.view.looked()
            assert not await worker.round()
            watching.cancel()

        house.work("service", away)
    assert house.stage.sent == []
    assert all(row["claim_id"] is None for row in house.enrolments())

    async def back(worker: Any, client: Any) -> None:
        del client
        await worker.view.look()
        assert await worker.round()

    house.work("service", back)
    assert len(house.stage.sent) == 4


def test_who_was_claimed_when_prefect_went_away_waits_for_it_too(house):
    """The worker holds a claim and finds nobody to run it under: it keeps it, and sends nothing."""
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    house.pickups(2)

    async def then(worker: Any, client: Any) -> None:
        await worker.view.look()
        there = client._client.base_url
        client._client.base_url = f"http://127.0.0.1:{closed_port()}/api/"
        assert not await worker.round()
        assert not await worker.round()
        assert house.stage.sent == []
        client._client.base_url = there
        await worker.view.look()
        assert await worker.round()

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        house.work("service", then)
    assert len(house.stage.sent) == 4
    assert None not in house.run_ids()


def test_what_was_parked_for_a_time_to_come_goes_on_without_anybody_asking(house):
    """Accepted means kept: a signal dated tomorrow is let through tomorrow by a worker that runs."""
    clock = house.stage.clock
    house.stage.signal(
        "order.ready_for_pickup",
        user_id="early",
        phone="+12065550100",
        order_id="1",
        at=clock.now + timedelta(days=1),
    )
    assert house.enrolments() == []
    clock.now += timedelta(days=1, seconds=1)

    async def then(worker: Any, client: Any) -> None:
        del client
        stop = asyncio.Event()
        serving = asyncio.create_task(worker.serve(stop))
        async with asyncio.timeout(60):
            while len(house.stage.sent) < 2:
                await asyncio.sleep(0.05)
        stop.set()
        await serving

    house.work("service", then)
    assert {one.message for one in house.stage.sent} == {"pickup_ready"}


def test_the_run_of_a_killed_worker_is_closed_when_its_lease_is_over(house):
    """Prefect alone would show it running for ever; while the lease holds it is left alone."""

    async def then(worker: Any, client: Any) -> Any:
        from prefect.states import Running

        from signalpost.services.journeys.claims import claim_due
        from signalpost.worker.sweep import close_lost_runs

        await worker.view.look()
        house.pickups(2)
        desk = house.stage.desk
        [claim] = claim_due(desk, lane="service", now=desk.clock())
        run = await client.create_flow_run_from_deployment(
            worker.view.deployment_id("pickup-follow-up"),
            parameters={"claim_id": claim.id},
            state=Running(),
        )
        mine = {"lane": "service", "running": ()}
        assert await close_lost_runs(client, desk, older_than=timedelta(0), **mine) == 0
        house.stage.clock.now += desk.lease + timedelta(seconds=1)
        assert await close_lost_runs(client, desk, older_than=timedelta(0), **mine) == 1
        closed = await client.read_flow_run(run.id)
        assert await worker.round(), "the people are claimed again"
        return closed

    closed = house.work("service", then)
    assert closed.state_name == "Crashed"
    assert "claimed again" in closed.state.message
    assert len(house.stage.sent) == 4


def test_a_journey_that_somebody_forgot_to_deploy_holds_nobody_up(house):
    """Its people are served without a flow run, and those of other journeys as ever."""
    house.pickups(1)
    house.purchase("buyer")

    async def then(worker: Any, client: Any) -> None:
        del client
        await worker.view.look()
        assert await worker.round()

    house.work("service", then, without="pickup-follow-up")
    assert {one.message for one in house.stage.sent} == {"pickup_ready", "order_confirmation"}
    assert None in house.run_ids()
    assert len(house.run_ids()) == 2


def test_a_prefect_that_lost_its_database_is_told_again_and_nobody_is_lost(house):
    """The deployment is gone between two looks: the batch waits, and runs under the new one."""
    house.pickups(1)

    async def then(worker: Any, client: Any) -> tuple[Any, Any]:
        await worker.view.look()
        gone = worker.view.deployment_id("pickup-follow-up")
        await client.delete_deployment(gone)
        assert not await worker.round()
        assert house.stage.sent == []
        await worker.view.look()
        assert await worker.round()
        return gone, worker.view.deployment_id("pickup-follow-up")

    gone, again = house.work("service", then)
    assert gone != again
    assert len(house.stage.sent) == 2
