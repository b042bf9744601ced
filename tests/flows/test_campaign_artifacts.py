"""What a marketer finds in Prefect beside a campaign, and what nobody finds there."""

import json
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from signalpost.domain.assignment import share
from signalpost.record.customers import Customer
from tests.flows.campaign_house import press_run, start_by_hand, take_up

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]

CANARIES = ("canary.person@example.com", "Canary-First-Name", "+12065557777")


async def artifacts_of(client: Any, run: Any) -> dict[str, Any]:
    """Give the artifacts that speak of a run, by key."""
    found = await client.read_artifacts(limit=200)
    said = [one for one in found if run.id in f"{one.description} {one.data}"]
    assert len({one.key for one in said}) == len(said), "each is there once"
    return {one.key: one for one in said}


def test_progress_is_what_the_record_says_and_changes_in_place(campaigns):
    """Before, and after: one artifact, attached to the flow run that launched."""
    campaigns.file("bar")
    campaigns.customers(3)
    run = start_by_hand(campaigns, "bar")

    async def then(worker: Any, client: Any) -> Any:
        await worker.chores.artifacts.keep()
        before = (await artifacts_of(client, run))["bar-progress"]
        await take_up(worker)
        await worker.chores.artifacts.keep()
        await worker.chores.artifacts.keep()
        return before, await artifacts_of(client, run)

    before, after = campaigns.work(then)
    assert (before.type, float(before.data)) == ("progress", 0.0)
    bar = after["bar-progress"]
    assert (bar.id, float(bar.data)) == (before.id, 100.0)
    assert "3 sent. Done." in bar.description
    assert f"/campaigns/{run.id}" in bar.description


def test_the_report_and_the_table_come_once_when_the_run_has_ended(campaigns):
    """Also when the worker that sent was another one, or was started again meanwhile."""
    campaigns.file("report")
    campaigns.customers(2)
    campaigns.stage.signal(
        "profile.updated", user_id="no", email="no@example.com", traits={"timezone": "UTC"}
    )

    async def sending(worker: Any, client: Any) -> Any:
        await press_run(worker, client, "report")
        await worker.chores.artifacts.keep()

    async def again(worker: Any, client: Any) -> Any:
        await worker.chores.artifacts.keep()
        [run] = campaigns.runs()
        return run, await artifacts_of(client, run)

    campaigns.work(sending)
    run, found = campaigns.work(again)
    rows = json.loads(found["report-run-outcomes"].data)
    assert {(row["outcome"], row["people"]) for row in rows} == {("sent", 2), ("skipped", 1)}
    assert (
        "the whole run decided, over all its flow runs" in found["report-run-outcomes"].description
    )
    assert "this one flow run decided" in found["report-flow-run-outcomes"].description
    report = found["report-report"]
    assert report.type == "markdown"
    assert "Sent to 2 of 3 people" in report.data
    assert f"/campaigns/{run.id}" in report.data
    assert str(report.flow_run_id) == run.run_id


def test_the_plan_is_there_once_also_of_a_run_that_the_command_line_launched(campaigns):
    """One that waits for approval, whose flow run is asked for later, and one that begins at once."""
    from signalpost.services.campaigns import launching
    from signalpost.services.campaigns.runs import Launch

    campaigns.file("asked", approval="always")
    campaigns.file("unasked")
    campaigns.customers(2)
    desk = campaigns.stage.desk
    launched = {
        name: launching.launch(
            desk, launch=Launch(campaign=desk.campaigns[name]), by="omar", now=desk.clock()
        )
        for name in ("asked", "unasked")
    }

    async def then(worker: Any, client: Any) -> Any:
        await worker.campaigns.open()
        await take_up(worker)
        return {name: await artifacts_of(client, run) for name, run in launched.items()}

    found = campaigns.work(then)
    for name, run in launched.items():
        plan = found[name][f"{name}-plan"]
        assert "2 of 2 people would be written to" in plan.data
        assert run.id in plan.description


def test_a_launch_that_fails_is_named_after_its_campaign(campaigns):
    campaigns.file("broken")
    campaigns.customers(1)

    async def then(worker: Any, client: Any) -> Any:
        (campaigns.folder / "broken.yaml").write_text("name: broken\n", encoding="utf-8")
        return await press_run(worker, client, "broken")

    flow_run = campaigns.work(then)
    assert (flow_run.name, flow_run.state.name) == ("broken · launch", "Failed")


def test_an_answer_is_kept_without_anybody_asking_for_the_report(campaigns):
    """The worker looks now and then: the record keeps the answer, and the report in Prefect says it."""
    campaigns.customers(60)
    name = _halving(campaigns.stage.database)
    campaigns.file(name, more="holdout: 50%\n")

    async def sending(worker: Any, client: Any) -> Any:
        await press_run(worker, client, name)
        await worker.chores.artifacts.keep()

    async def looking(worker: Any, client: Any) -> Any:
        await worker.chores.artifacts.look(tell=True)
        [run] = campaigns.runs()
        return run, await artifacts_of(client, run)

    campaigns.work(sending)
    buyers = [one.to.partition("@")[0] for one in campaigns.stage.sent]
    campaigns.stage.clock.now += timedelta(hours=5)
    for who in buyers:
        campaigns.stage.signal(
            "order.placed", user_id=who, order_id=f"order-of-{who}", total=10, currency="USD"
        )
    campaigns.stage.clock.now += timedelta(hours=1)
    run, found = campaigns.work(looking)
    assert ("result", "signalpost") in campaigns.acts(run.id)
    assert "converted more often" in found[f"{name}-report"].data
    campaigns.work(looking)
    assert campaigns.acts(run.id).count(("result", "signalpost")) == 1


def _halving(database: Any) -> str:
    """Name a campaign that holds out just half of the people: ids are random, an answer must not be."""
    with database.reading() as session:
        people = session.exec(select(Customer.id)).all()
    names = (f"spring-{n}" for n in count())
    return next(
        name
        for name in names
        if 2 * sum(share(f"{name}:holdout", one) < 0.5 for one in people) == len(people)
    )


def test_prefect_never_learns_who_is_in_a_campaign(campaigns):
    """Parameters, logs, artifacts and its database: ids and counts only, also when a batch fails."""
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL
    from sqlalchemy import text

    email, name, phone = CANARIES
    campaigns.file("private", approval="always")
    campaigns.stage.signal(
        "profile.updated", user_id="canary-user", email=email, phone=phone,
        traits={"timezone": "UTC", "marketing_consent": True, "first_name": name},
    )  # fmt: skip

    async def then(worker: Any, client: Any) -> Any:
        waiting = await press_run(worker, client, "private")
        with campaigns.stage.database.writing() as session:
            session.execute(
                text(
                    "CREATE TRIGGER nosy BEFORE INSERT ON messages "
                    f"BEGIN SELECT RAISE(ABORT, '{email} {phone} {name}'); END"
                )
            )
        await client.resume_flow_run(waiting.id, run_input={"decision": "approve", "by": "Maria"})
        await take_up(worker)
        return await client.read_flow_run(waiting.id)

    async def another(worker: Any, client: Any) -> Any:
        """A worker that knows nothing of the failure tries at once again."""
        await take_up(worker)
        await worker.chores.artifacts.keep()
        await APILogHandler.aflush()
        return [
            await client.read_flow_runs(),
            await client.read_task_runs(),
            await client.read_logs(),
            await client.read_artifacts(),
        ]

    failed = campaigns.work(then)
    assert failed.state.name == "Failed"
    with campaigns.stage.database.writing() as session:
        session.execute(text("DROP TRIGGER nosy"))
    campaigns.stage.clock.now += 2 * campaigns.stage.desk.lease
    answers = campaigns.work(another)
    assert [one.to for one in campaigns.stage.sent] == [email], "tried again, it went out"
    said = json.dumps([[one.model_dump(mode="json") for one in some] for some in answers])
    assert [one for one in CANARIES if one in said] == []
    kept = Path(PREFECT_SERVER_DATABASE_CONNECTION_URL.value().split("///")[1])
    stored = b"".join(one.read_bytes() for one in kept.parent.glob(kept.name + "*"))
    assert len(stored) > 100_000
    assert [one for one in CANARIES if one.encode() in stored] == []
