"""Shards on another work pool: asked for once, taken up again when they die."""

from typing import Any

import pytest

from tests.flows.campaign_house import start_by_hand, take_up, told

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]

POOL = "big-machines"


async def pool(client: Any, name: str = POOL) -> None:
    """Make the pool on which the shards are to run."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    made = WorkPoolCreate(name=name, type="process", base_job_template=template)
    await client.create_work_pool(made, overwrite=True)


async def asked(client: Any, name: str = POOL) -> list[Any]:
    """Give the flow runs that wait on that pool."""
    return [one.flow_run for one in await client.get_scheduled_flow_runs_for_work_pool(name)]


def test_shards_are_asked_for_once_and_claimed_by_whoever_runs_them(campaigns):
    """Ids only; a flow run that comes late, or twice, sends nothing twice."""
    from flows.campaign import campaign_shard
    from signalpost.worker.elsewhere import Elsewhere

    campaigns.file("wide", more=f"run_on: {POOL}\n")
    campaigns.customers(3)

    async def then(worker: Any, client: Any) -> Any:
        await pool(client)
        assert await told(worker, client, campaigns) == []
        run = start_by_hand(campaigns, "wide")
        await take_up(worker)
        assert campaigns.stage.sent == [], "not by this worker"
        again = Elsewhere(campaigns.stage.desk, client=client)
        assert await again.ask(except_campaigns=())
        [flow_run] = await asked(client)
        parameters = flow_run.parameters
        done = await campaign_shard(**parameters, return_state=True)
        late = await campaign_shard(**parameters, return_state=True)
        return run, flow_run, done, late

    run, flow_run, done, late = campaigns.work(then)
    assert flow_run.name == "wide · shard 1"
    assert flow_run.parameters == {"campaign_run_id": run.id, "shard": 0}
    assert done.message == "3 sent: nobody due."
    assert late.message == "Somebody else has it, or nobody in it is due."
    assert len(campaigns.stage.sent) == 3


def test_a_pool_that_is_not_there_is_named_with_what_to_do(campaigns):
    """When the campaigns are deployed, not at night when they run."""
    campaigns.file("nowhere", more="run_on: no-such-pool\n")

    async def then(worker: Any, client: Any) -> Any:
        return await told(worker, client, campaigns)

    [note] = campaigns.work(then)
    assert "'no-such-pool'" in note
    assert "prefect work-pool create" in note


def test_a_run_whose_pool_is_not_there_or_has_no_worker_says_so_until_it_is_helped(campaigns):
    """On the record: `status` and `stuck` say it, also while Prefect is away."""
    from signalpost.services.reconciling import stuck
    from signalpost.worker.elsewhere import Elsewhere

    campaigns.file("lost", more="run_on: far-away\n")
    campaigns.customers(1)
    database = campaigns.stage.database

    def said() -> Any:
        now = campaigns.stage.clock()
        with database.reading() as session:
            found = stuck.find(session, now=now, lease=campaigns.stage.desk.lease)
        [run] = campaigns.runs()
        return run.reason, [one.says for one in found if one.kind == "run"]

    async def then(worker: Any, client: Any) -> Any:
        start_by_hand(campaigns, "lost")

        async def look() -> Any:
            await Elsewhere(campaigns.stage.desk, client=client).ask(except_campaigns=())
            return said()

        found = [await look()]
        await pool(client, "far-away")
        found.append(await look())
        await told(worker, client, campaigns)
        found.append(await look())
        from flows.campaign import campaign_shard

        [flow_run] = await asked(client, "far-away")
        await campaign_shard(**flow_run.parameters, return_state=True)
        await Elsewhere(campaigns.stage.desk, client=client).ask(except_campaigns=())
        return [*found, said()]

    (missing, stuck_one), (untold, _), (unserved, _), after = campaigns.work(then)
    assert "Prefect has no work pool 'far-away'" in missing
    assert "prefect work-pool create" in missing
    assert stuck_one == [f"run of lost is not sent: {missing}"]
    assert "signalpost deploy" in untold
    assert "no worker serves the work pool 'far-away'" in unserved
    assert after == (None, [])


def test_a_shard_that_died_is_asked_for_again_and_one_that_was_cancelled_pauses_the_campaign(
    campaigns,
):
    """A machine's death is made up for; a person's word is kept."""
    from prefect.states import Cancelled, Crashed

    from signalpost.worker.elsewhere import Elsewhere

    campaigns.file("fragile", more=f"run_on: {POOL}\n")
    campaigns.customers(1)

    async def then(worker: Any, client: Any) -> Any:
        await pool(client)
        await told(worker, client, campaigns)
        start_by_hand(campaigns, "fragile")

        async def look() -> list[Any]:
            await Elsewhere(campaigns.stage.desk, client=client).ask(except_campaigns=())
            return [one for one in await asked(client) if one.name.startswith("fragile")]

        [first] = await look()
        await client.set_flow_run_state(first.id, Crashed(), force=True)
        [second] = await look()
        assert second.id != first.id
        await client.set_flow_run_state(second.id, Cancelled(), force=True)
        assert await look() == []

    campaigns.work(then)
    [run] = campaigns.runs()
    assert run.status == "paused"
    assert ("paused", "prefect") in campaigns.acts(run.id)
