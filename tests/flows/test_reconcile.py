"""The service worker reconciles on its own clock, and an operator sees it in Prefect."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from signalpost.record.messages import Message
from tests.flows.test_runs import newest_run
from tests.killed import Killed

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]


def left_half_way(house: Any) -> None:
    """Have a sender die after its provider took the messages, and its lease run out."""
    import asyncio

    from signalpost.services.journeys.advance import Direct, advance
    from signalpost.services.journeys.claims import claim_due

    async def dies(_: Any) -> bool:
        raise Killed

    desk = house.stage.desk
    units = Direct(desk)
    units.settle = dies  # type: ignore[method-assign]
    [claim] = claim_due(desk, lane="service", now=desk.clock())
    with pytest.raises(Killed):
        asyncio.run(advance(desk, claim_id=claim.id, units=units, run_id=None))
    house.stage.clock.now += timedelta(minutes=1)


def statuses(house: Any) -> set[tuple[str, str]]:
    with house.stage.database.reading() as session:
        return {(one.channel, one.status) for one in session.exec(select(Message))}


def test_what_a_dead_sender_left_is_seen_to_in_a_run_of_its_own(house):
    house.pickups(1)
    left_half_way(house)

    async def then(worker: Any, client: Any) -> Any:
        from signalpost.worker.reconciling import Reconciling

        await worker.view.look()
        await Reconciling(house.stage.desk, client=client, view=worker.view).look()
        return await newest_run(client, "reconcile")

    run = house.work("service", then)
    assert (run.name, run.state_name, run.parameters) == ("reconcile", "Completed", {})
    assert "lane:service" in run.tags
    assert statuses(house) == {("sms", "unknown"), ("in_app", "delivered")}


def test_without_prefect_it_is_done_all_the_same(house):
    house.pickups(1)
    left_half_way(house)

    async def then(worker: Any, client: Any) -> None:
        from signalpost.worker.reconciling import Reconciling

        worker.view.lost()
        await Reconciling(house.stage.desk, client=client, view=worker.view).look()

    house.work("service", then)
    assert statuses(house) == {("sms", "unknown"), ("in_app", "delivered")}


def test_when_there_is_nothing_to_do_prefect_hears_of_nothing(house):
    """Every twenty seconds would be four thousand runs a day."""

    async def then(worker: Any, client: Any) -> tuple[Any, Any]:
        from prefect.client.schemas.filters import FlowFilter, FlowFilterName

        from signalpost.worker.reconciling import Reconciling

        await worker.view.look()
        theirs = FlowFilter(name=FlowFilterName(any_=["reconcile"]))
        before = await client.read_flow_runs(flow_filter=theirs)
        await Reconciling(house.stage.desk, client=client, view=worker.view).look()
        return before, await client.read_flow_runs(flow_filter=theirs)

    before, after = house.work("service", then)
    assert len(after) == len(before)
