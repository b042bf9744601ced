"""The flow runs in which campaign runs wait for a person, and for their start.

A run may have been launched by the command line, its flow run may have been deleted, its worker killed:
whatever the record says is open gets a flow run, and whatever was decided elsewhere frees the flow run
that waits for it.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from sqlalchemy import RowMapping

from signalpost.domain.vocabulary import Lane
from signalpost.record import campaigns as record
from signalpost.services.campaigns import launching
from signalpost.services.desk import Desk
from signalpost.worker.deployments import POOL
from signalpost.worker.prefect_view import PrefectView
from signalpost.worker.registering import CAMPAIGN_TAG
from signalpost.worker.runs import create_run

RUN_TAG = "campaign-run:"  #: on each flow run, with the id of the campaign's run

AGAIN_AFTER = timedelta(seconds=60)  #: until a flow run that failed gets another try

_AWAITING, _APPROVED = "awaiting_approval", "approved"
_ENDED = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)


def run_tags(*, campaign: str, campaign_run_id: str) -> list[str]:
    """Give the tags of a flow run that is about a campaign's run."""
    return [f"lane:{Lane.MARKETING}", CAMPAIGN_TAG + campaign, RUN_TAG + campaign_run_id]


class OpenRuns:
    """Sees that whatever is open has a flow run, and that no flow run waits for nothing."""

    def __init__(self, desk: Desk, *, client: PrefectClient, view: PrefectView) -> None:
        self._desk = desk
        self._client = client
        self._view = view

    async def look_after(self) -> None:
        """Look once; raises what Prefect's client raises."""
        rows = await asyncio.to_thread(self._rows)
        waiting = await self._suspended()
        for flow_run in waiting:
            if await asyncio.to_thread(self._is_decided, campaign_run_of(flow_run)):
                await self._free(flow_run)
        forms = {campaign_run_of(flow_run) for flow_run in waiting}
        for row in rows.values():
            if row["id"] not in forms and self._needs_flow_run(row):
                await self._give_flow_run(row)

    def _rows(self) -> dict[str, RowMapping]:
        """Give the runs that are open, without those that have to wait for another one's end."""
        with self._desk.database.reading() as session:
            rows = record.runs(session, statuses=(_AWAITING, _APPROVED))
            going = record.runs(session, statuses=("running", "paused"))
        alone = {(row["campaign"], row["series"]) for row in going}
        return {
            row["id"]: row
            for row in rows
            if row["status"] == _AWAITING
            or row["stage"] is not None
            or (row["campaign"], row["series"]) not in alone
        }

    def _needs_flow_run(self, row: RowMapping) -> bool:
        if not self._view.is_known(row["campaign"]):
            return False
        if row["campaign"] in self._view.paused_journeys or self._view.lane_paused:
            return False
        return row["status"] == _AWAITING or row["scheduled_at"] <= self._desk.clock()

    async def _suspended(self) -> list[FlowRun]:
        """Give the flow runs that wait for a person."""
        return await self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
            ),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
        )

    def _is_decided(self, campaign_run_id: str | None) -> bool:
        """Whether nobody needs to be asked any more: by the command line, for instance."""
        if campaign_run_id is None:
            return False
        with self._desk.database.reading() as session:
            row = record.run(session, campaign_run_id=campaign_run_id)
        return row is not None and row["status"] != _AWAITING

    async def _free(self, flow_run: FlowRun) -> None:
        """Let a flow run go on whose question was answered elsewhere; it sees that on the record."""
        answer = {"decision": "approve", "by": "decided elsewhere"}
        await self._client.resume_flow_run(flow_run.id, run_input=answer)

    async def _give_flow_run(self, row: RowMapping) -> None:
        before = await self._last_of(row)
        if before is not None and (not _is_over(before) or _failed_just_now(before)):
            return
        if before is not None and before.state is not None and before.state.is_cancelled():
            await asyncio.to_thread(self._take_for_a_no, row, f"prefect:{before.id}")
            return
        await create_run(
            self._client,
            self._view.deployment_id(row["campaign"]),
            parameters={"run": row["id"]},
            name=f"{row['campaign']} · {'approval' if row['status'] == _AWAITING else 'start'}",
            tags=run_tags(campaign=row["campaign"], campaign_run_id=row["id"]),
            idempotency_key=f"{row['id']}:{row['status']}:{before.id if before else 'first'}",
        )

    def _take_for_a_no(self, row: RowMapping, actor: str) -> None:
        """Somebody cancelled the flow run that waited: nobody is to be asked again and again."""
        act = launching.refuse if row["status"] == _AWAITING else launching.cancel
        why = "its flow run was cancelled in Prefect"
        now = self._desk.clock()
        who = {"by": "prefect", "actor": actor}
        act(self._desk, campaign_run_id=row["id"], why=why, now=now, **who)

    async def _last_of(self, row: RowMapping) -> FlowRun | None:
        """Give the newest flow run about a run: one that bears its tag, or that launched it."""
        tagged = await self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[RUN_TAG + row["id"]])),
            limit=50,
        )
        if tagged:
            live = [one for one in tagged if not _is_over(one)]
            return (live or sorted(tagged, key=lambda one: one.created or one.id))[-1]
        if row["run_id"] is None:
            return None
        try:
            return await self._client.read_flow_run(UUID(row["run_id"]))
        except ObjectNotFound:
            return None


def _is_over(flow_run: FlowRun) -> bool:
    return flow_run.state is None or flow_run.state.type in _ENDED


def _failed_just_now(flow_run: FlowRun) -> bool:
    state = flow_run.state
    if state is None or flow_run.end_time is None or not (state.is_failed() or state.is_crashed()):
        return False
    return datetime.now(UTC) - flow_run.end_time < AGAIN_AFTER


def campaign_run_of(flow_run: FlowRun) -> str | None:
    """Say which campaign run a flow run is about."""
    tags = (tag.removeprefix(RUN_TAG) for tag in flow_run.tags if tag.startswith(RUN_TAG))
    return next(tags, None)
