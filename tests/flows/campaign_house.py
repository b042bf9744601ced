"""Campaigns on the virtual stage, with a marketing worker on a real Prefect server."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

ROOT = Path(__file__).parents[2]

FILE = """\
name: {name}
description: An offer for everybody.
owner: shop marketing
message: purchase_offer
audience: {{everyone: true}}
channels: {{every: [email]}}
promotion:
  id: SPRING-26
  code: LARK15
  ends: 2030-05-31 23:59
  zone: UTC
  facts: {{percent: 15}}
approval: {approval}
"""


class CampaignHouse:
    """A folder of campaign files, a record, and workers that serve them."""

    def __init__(self, folder: Path, stage: Any) -> None:
        from signalpost import settings

        self.stage = stage
        self.folder = folder / "campaigns"
        self.folder.mkdir()
        self.settings = settings.load(home=folder, campaigns=self.folder)
        self.use()

    def use(self) -> None:
        """Read the files again, as a process that starts does."""
        from signalpost import bootstrap
        from signalpost.content.campaigns import load

        catalogue = self.stage.desk.catalogue
        found = load(self.folder, catalogue, broken="collect")
        self.stage.desk = dataclasses.replace(self.stage.desk, campaigns=found)
        bootstrap.use(
            bootstrap.Signalpost(
                settings=self.settings,
                database=self.stage.database,
                desk=self.stage.desk,
                catalogue=catalogue,
                programs=self.stage.desk.programs,
            )
        )

    def file(self, name: str, *, approval: str = "never", more: str = "") -> None:
        """Write a campaign's file."""
        text = FILE.format(name=name, approval=approval) + more
        (self.folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        self.use()

    def customers(self, number: int, **traits: Any) -> None:
        """Let so many customers be known, who said yes to offers."""
        for n in range(number):
            self.stage.signal(
                "profile.updated",
                user_id=f"u{n}",
                email=f"u{n}@example.com",
                traits={"timezone": "UTC", "marketing_consent": True, **traits},
            )

    def work(self, then: Callable[[Any, Any], Awaitable[Any]]) -> Any:
        """Open a marketing worker that has looked at Prefect once; give what ``then`` gives."""
        from signalpost.worker.campaign_deployments import everything, files_in
        from signalpost.worker.client import shared_client
        from signalpost.worker.lane import LaneWorker

        desk = self.stage.desk

        async def working() -> Any:
            async with shared_client() as client:
                worker = LaneWorker(
                    desk,
                    lane="marketing",
                    client=client,
                    declared=everything(desk.campaigns, desk.catalogue),
                    folder=ROOT,
                    broken=files_in(self.folder),
                    patience=60,  # the machine may be busy with other tests
                )
                await worker.view.look()
                return await then(worker, client)

        return asyncio.run(working())

    def gate(self) -> Gate:
        """Let everything go through a provider that holds it until it is let go."""
        gate = Gate(self.stage.outbox)
        desk = dataclasses.replace(
            self.stage.desk, providers=dict.fromkeys(self.stage.desk.providers, gate)
        )
        self.stage.desk = desk
        self.use()
        return gate

    # -- what the record says ----------------------------------------------------------------------

    def runs(self) -> list[Any]:
        """Give the campaign runs, the oldest first."""
        from signalpost.services.campaigns import runs

        with self.stage.database.reading() as session:
            return runs.latest(session, limit=100)[::-1]

    def acts(self, campaign_run_id: str) -> list[tuple[str, str]]:
        """Give who did what to a run."""
        from signalpost.record import campaigns

        with self.stage.database.reading() as session:
            rows = campaigns.acts(session, campaign_run_id=campaign_run_id)
        return [(row["act"], row["who"]) for row in rows]

    def outcomes(self) -> list[str | None]:
        """Give everybody's outcome."""
        from signalpost.record.campaigns import CampaignPerson

        table = CampaignPerson.__table__  # type: ignore[attr-defined]
        with self.stage.database.reading() as session:
            return list(session.execute(select(table.c.outcome)).scalars())


async def press_run(worker: Any, client: Any, name: str, **parameters: Any) -> Any:
    """Press "Run" in Prefect's pages, and let the worker take it as far as it goes."""
    asked = await client.create_flow_run_from_deployment(
        worker.view.deployment_id(name), parameters=parameters
    )
    await take_up(worker)
    return await client.read_flow_run(asked.id)


async def tick(worker: Any, campaigns: Any) -> None:
    """Let the clock of the campaigns look once, and the worker do what is open."""
    from signalpost.worker.campaign_clock import CampaignClock

    clock = CampaignClock(campaigns.stage.desk, view=worker.view, folder=campaigns.folder)
    await clock.look()
    await worker.campaigns.open()
    await take_up(worker)


async def take_up(worker: Any) -> None:
    """Let the worker look at Prefect and at the record, and finish what it begins."""
    await worker.view.look()
    await worker.campaigns.round()
    await worker.campaigns.settled()


async def fires(client: Any, worker: Any, name: str, *, at: datetime) -> Any:
    """Make the flow run that Prefect's own scheduler makes for a time of a schedule, where it works.

    It is asked for by the API and then marked as scheduled, in the server's database: no API does that.
    """
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    asked = await client.create_flow_run_from_deployment(worker.view.deployment_id(name))
    file = PREFECT_API_DATABASE_CONNECTION_URL.value().partition("///")[2]
    with sqlite3.connect(file, timeout=30) as database:
        database.execute(
            "UPDATE flow_run SET auto_scheduled = 1, expected_start_time = ? WHERE id = ?",
            (f"{at:%Y-%m-%d %H:%M:%S.%f}", str(asked.id)),
        )
    return await client.read_flow_run(asked.id)


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


async def told(worker: Any, client: Any, campaigns: Any) -> list[str]:
    """Tell Prefect again, as `signalpost deploy` does."""
    from signalpost.worker.campaign_deployments import everything, files_in
    from signalpost.worker.registering import tell_prefect

    desk = campaigns.stage.desk
    return await tell_prefect(
        client,
        deployments=everything(desk.campaigns, desk.catalogue),
        folder=ROOT,
        broken=files_in(campaigns.folder),
    )


def start_by_hand(house: CampaignHouse, name: str) -> Any:
    """Launch and begin a campaign without Prefect, as a command line may."""
    from signalpost.services.campaigns import launching
    from signalpost.services.campaigns.runs import Launch

    desk = house.stage.desk
    wanted = Launch(campaign=desk.campaigns[name])
    run = launching.launch(desk, launch=wanted, by="omar", now=desk.clock())
    return launching.start(desk, campaign_run_id=run.id, now=desk.clock())


class Gate:
    """A provider that holds what it is handed until it is let go."""

    def __init__(self, outbox: Any) -> None:
        self.came, self.let_go = asyncio.Event(), asyncio.Event()
        self.name, self.channels, self.max_batch = "gate", outbox.channels, outbox.max_batch
        self._outbox = outbox

    async def hand_over(self, letter: Any, batch: Any) -> Any:
        """Take a batch, when it may."""
        self.came.set()
        await self.let_go.wait()
        return await self._outbox.hand_over(letter, batch)

    async def close(self) -> None:
        """Nothing to let go of."""
