"""Trouble becomes events in Prefect, once each, and the ready automations act on them."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from signalpost.domain.circuit import Circuit
from signalpost.errors import ConfigurationError
from signalpost.record import provider_accounts
from signalpost.worker import automations

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]

ROOT = Path(__file__).parents[2]
PATIENCE = 40  #: seconds; the machine may be busy


async def told(client: Any, name: str, *, since: datetime, least: int = 1) -> list[Any]:
    """Wait until Prefect has so many events of a name; gives them."""
    from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter

    end = time.monotonic() + PATIENCE
    while True:
        lately = EventOccurredFilter(since=since, until=datetime.now(UTC))
        wanted = EventFilter(occurred=lately, event=EventNameFilter(name=[name]))
        events = (await client.read_events(filter=wanted, limit=50)).events
        if len(events) >= least or time.monotonic() > end:
            return events
        await asyncio.sleep(0.2)


def break_an_account(house: Any, opened_at: datetime | None, account: str = "twilio") -> None:
    """Open an account's circuit, or close it."""
    circuit = Circuit(account=account, opened_at=opened_at, code="20003", reason="Not authorised.")
    with house.stage.database.writing() as session:
        provider_accounts.keep(session, circuit=circuit, now=house.stage.clock())


def test_trouble_is_said_once_when_it_begins_and_once_when_it_is_over(house):
    """However often one looks, and a second watcher beside: one event, then one that says over."""
    began = datetime.now(UTC)
    house.fraud("T1")
    house.stage.clock.now += timedelta(minutes=2)
    break_an_account(house, house.stage.clock())

    async def watch(worker: Any, client: Any) -> dict[str, list[Any]]:
        from signalpost.worker.watcher import Watcher

        await worker.view.look()
        other = Watcher(house.stage.desk, client=client, view=worker.view)
        for watcher in (worker.chores.watcher, worker.chores.watcher, other):
            await watcher.look()
        break_an_account(house, None)
        await worker.chores.watcher.look()
        await other.look()
        names = ("lane.behind", "provider.degraded", "provider.degraded.over")
        found = {}
        for name in names:
            await told(client, f"signalpost.{name}", since=began)
        for name in names:  # whatever else was said has been heard by now
            found[name] = await told(client, f"signalpost.{name}", since=began)
        return found

    found = house.work("risk", watch)
    assert {name: len(events) for name, events in found.items()} == {
        "lane.behind": 1,
        "provider.degraded": 1,
        "provider.degraded.over": 1,
    }
    [behind] = found["lane.behind"]
    assert behind.resource.id == "signalpost.lane.risk"
    assert behind.payload["seconds"] == 120
    assert found["provider.degraded"][0].payload["code"] == "20003"


def test_an_alert_without_an_answer_is_said_with_its_page_and_no_personal_data(house):
    """Fifteen minutes of silence: the event names the case and where to look, and nobody's number."""
    began = datetime.now(UTC)
    house.fraud("T2", phone="+12065557777")
    house.stage.run_for(minutes=16)

    async def watch(worker: Any, client: Any) -> list[Any]:
        await worker.view.look()
        await worker.chores.watcher.look()
        return await told(client, "signalpost.alert.unanswered", since=began)

    [event] = house.work("risk", watch)
    assert "/customers/" in event.payload["page"]
    assert "+12065557777" not in event.model_dump_json()


def test_who_waits_because_an_operator_paused_the_lane_is_no_trouble(house):
    """A queue that is paused in Prefect's pages is not behind."""
    house.fraud("T3")
    house.stage.clock.now += timedelta(minutes=2)

    async def watch(worker: Any, client: Any) -> list[str]:
        await worker.view.look()
        queue = await client.read_work_queue_by_name("risk", work_pool_name="signalpost")
        await client.update_work_queue(queue.id, is_paused=True)
        try:
            await worker.view.look()
            return [one.kind for one in worker.chores.watcher._standing()]
        finally:
            await client.update_work_queue(queue.id, is_paused=False)

    assert "lane.behind" not in house.work("risk", watch)


# -- automations -----------------------------------------------------------------------------------


async def forget(client: Any, files: Any) -> int:
    """Take automations away again, so that no other test meets them; gives how many there were."""
    there = [
        one for file in files
        for one in await client.read_automations_by_name(file.definition["name"])
    ]  # fmt: skip
    for one in there:
        await client.delete_automation(one.id)
    return len(there)


async def made_by_automation(client: Any) -> list[Any]:
    """Wait for flow runs that an automation made."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        runs = await client.read_flow_runs()
        if found := [one for one in runs if one.created_by and one.created_by.type == "AUTOMATION"]:
            return found
        await asyncio.sleep(0.3)
    return []


def test_the_ready_automations_are_taken_by_prefect(house):
    """Every file of deployments/automations registers; a missing block is said, and is no fault."""

    async def registering(worker: Any, client: Any) -> tuple[list[str], int, int]:
        await worker.view.look()
        files = automations.read(ROOT / automations.FOLDER)
        notes = await automations.register(client, files)
        again = await automations.register(client, files)
        assert notes == again
        there = await forget(client, files)
        return notes, len(files), there

    notes, files, there = house.work("risk", registering)
    assert files >= 4
    assert there == files  # once each, however often they are registered
    assert any("signalpost-operators" in note for note in notes)


def test_an_event_makes_an_automation_run_a_deployment(house, tmp_path):
    """An account that recovers: the automation that names a deployment makes a flow run of it."""
    text = (ROOT / automations.FOLDER / "reconcile-after-outage.yaml").read_text()
    # every name its own, so that what other tests registered does not answer
    text = text.replace("name: Signalpost", "name: Test").replace("provider.*", "provider.test-*")
    (tmp_path / "one.yaml").write_text(
        text.replace("deployment: reconcile", "deployment: pickup-follow-up")
    )
    began = house.stage.clock()

    async def outage(worker: Any, client: Any) -> list[Any]:
        await worker.view.look()
        files = automations.read(tmp_path)
        assert await automations.register(client, files) == []
        break_an_account(house, began, account="test-account")
        await worker.chores.watcher.look()
        break_an_account(house, None, account="test-account")
        await worker.chores.watcher.look()
        found = await made_by_automation(client)
        await forget(client, files)
        return found

    [run] = house.work("risk", outage)
    assert run.name


def test_a_file_that_is_no_automation_says_where_it_is_wrong(house, tmp_path):
    """The message names the file and the field."""
    (tmp_path / "bad.yaml").write_text("name: Bad\ntrigger: {type: event, threshold: many}\n")

    async def registering(worker: Any, client: Any) -> None:
        del worker
        await automations.register(client, automations.read(tmp_path))

    with pytest.raises(ConfigurationError, match=r"bad\.yaml.*trigger"):
        house.work("risk", registering)
