"""How far each campaign is, and its report, as artifacts in Prefect's pages.

One chore keeps them for all campaigns, from the counts on the record, however many processes send.
That one cannot be kept is no matter to the send: the next look keeps it.
"""

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.exceptions import ObjectNotFound
from sqlmodel import Session

from signalpost.record import campaigns as record
from signalpost.services.campaigns import looking, results, runs
from signalpost.services.campaigns.runs import Progress, Run
from signalpost.services.campaigns.standing import in_words, table
from signalpost.services.desk import Desk
from signalpost.services.reading.runs import rate

#: A report is kept for what ended not longer ago than this: the worker may have been away meanwhile.
REPORTED_FOR = timedelta(days=2)

_GOING = ("running", "paused")
_ENDED = ("done", "cancelled")


@dataclass(frozen=True)
class _Standing:
    """A run as it stands at one moment."""

    run: Run
    progress: Progress
    now: datetime

    def words(self, base_url: str) -> str:
        """Say in markdown how it stands, how fast it goes, until when, and where there is more."""
        lines = [f"**{self.run.title}**: {in_words(self.run, self.progress, now=self.now)}"]
        if self.progress.eta is not None:
            lines.append(
                f"{rate(self.progress.per_second)}; at that rate it ends at "
                f"{self.progress.eta:%d %b %H:%M:%S} UTC."
            )
        lines.append(f"[On the record]({base_url}/campaigns/{self.run.id})")
        return "\n\n".join(lines)


class CampaignArtifacts:
    """Keeps the progress of what goes on, and the report of what has ended, once."""

    def __init__(self, desk: Desk, *, client: PrefectClient) -> None:
        self._desk = desk
        self._client = client
        self._base_url = desk.links.base_url
        self._bars: dict[str, UUID] = {}
        self._said: dict[str, str] = {}
        self._reported: set[str] = set()

    async def keep(self) -> None:
        """Bring everything up to date; raises what Prefect's client raises."""
        for one in await asyncio.to_thread(self._standings):
            await self._keep_progress(one)
            if one.run.status in _ENDED:
                await self._keep_report(one)
                self._reported.add(one.run.id)

    async def look(self, *, tell: bool) -> None:
        """Look at what came of the runs; an answer that is known is kept on the record.

        With ``tell`` the reports in Prefect's pages say it; else Prefect is away.
        """
        found = await asyncio.to_thread(self._results)
        for run, report in found if tell else ():
            id_ = await self._bar(run, _report_key(run))
            if id_ is not None:
                await self._client.update_artifact(id_, ArtifactUpdate(data=report))

    def _results(self) -> list[tuple[Run, str]]:
        now = self._desk.clock()
        looked_at = looking.look_at_all(self._desk, now=now)
        return [(run, found.markdown(base_url=self._base_url)) for run, found in looked_at]

    def _standings(self) -> list[_Standing]:
        now = self._desk.clock()
        with self._desk.database.reading() as session:
            found = [*self._going(session), *self._just_ended(session, now)]
            return [
                _Standing(run, runs.progress(session, campaign_run_id=run.id, now=now), now)
                for run in found
            ]

    def _going(self, session: Session) -> list[Run]:
        return [Run.of(row) for row in record.runs(session, statuses=_GOING)]

    def _just_ended(self, session: Session, now: datetime) -> list[Run]:
        ended = [Run.of(row) for row in record.runs(session, statuses=_ENDED, limit=50)]
        return [
            run
            for run in ended
            if run.id not in self._reported
            and run.started_at is not None
            and run.ended_at is not None
            and now - run.ended_at < REPORTED_FOR
        ]

    async def _keep_progress(self, one: _Standing) -> None:
        """Keep the bar of a run: the first time a new one, from then on that one is changed."""
        id_, words = one.run.id, one.words(self._base_url)
        if self._said.get(id_) == words:
            return
        percent = round(100 * one.progress.share, 1)
        key = f"{one.run.campaign}-progress"
        if id_ not in self._bars:
            self._bars[id_] = await self._bar(one.run, key) or await self._make(
                one.run, key, "progress", percent, words
            )
        try:
            change = ArtifactUpdate(data=percent, description=words)
            await self._client.update_artifact(self._bars[id_], change)
        except ObjectNotFound:  # somebody deleted it
            del self._bars[id_]
            return
        self._said[id_] = words

    async def _bar(self, run: Run, key: str) -> UUID | None:
        """Find the bar that another worker, or this one before it was started again, has made."""
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        found = await self._client.read_artifacts(artifact_filter=wanted)
        return next((one.id for one in found if run.id in (one.description or "")), None)

    async def _keep_report(self, one: _Standing) -> None:
        key = _report_key(one.run)
        if await self._bar(one.run, key) is not None:
            return
        rows = json.dumps(table(one.progress.counts))
        where = f"{one.run.title}, run {one.run.id}"
        report = await asyncio.to_thread(self._report, one.run)
        whole = f"{where}: what the whole run decided, over all its flow runs"
        await self._make(one.run, f"{one.run.campaign}-run-outcomes", "table", rows, whole)
        await self._make(one.run, key, "markdown", report, where)

    def _report(self, run: Run) -> str:
        """What it brought about so far, in the words of `signalpost campaign report`."""
        with self._desk.database.reading() as session:
            found = results.results(
                session,
                campaign_run_id=run.id,
                now=self._desk.clock(),
                prices=self._desk.sms_prices or None,
            )
        return found.markdown(base_url=self._base_url)

    async def _make(self, run: Run, key: str, kind: str, data: Any, description: str) -> UUID:
        made = await self._client.create_artifact(
            ArtifactCreate(
                key=key,
                type=kind,
                data=data,
                description=description,
                flow_run_id=UUID(run.run_id) if run.run_id else None,
            )
        )
        return made.id


def _report_key(run: Run) -> str:
    return f"{run.campaign}-report"
