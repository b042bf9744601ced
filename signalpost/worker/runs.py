"""One flow run in this process, and what worker and flow tell each other about it.

The run belongs to its deployment, so Prefect's pages group it; the engine runs it here, where flows
are imported and connections open, because a subprocess would take seconds.
"""

import asyncio
from collections.abc import Collection, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog
from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentFlowRunCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkQueueFilter,
    WorkQueueFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow_async
from prefect.states import Pending, Scheduled, to_state_create
from prefect.utilities.engine import propose_state

from signalpost.services.journeys.claims import Claim
from signalpost.worker.deployments import POOL

log = structlog.get_logger()


_MOST_FINISHING = 8
_LAST_MOMENT = 5.0


class Outcome(StrEnum):
    """How a run ended, seen from the worker."""

    DONE = "done"
    FAILED = "failed"  #: the flow let go of its people itself
    NOT_BEGUN = "not_begun"  #: Prefect did not let it begin: away, slow, or the run was cancelled


class Halt(StrEnum):
    """Why a run that is going on should end soon."""

    WORKER_STOPS = "the worker stops"
    PAUSED = "paused in Prefect"  #: its deployment or its lane
    CANCELLED = "cancelled in Prefect"


class _Progress:
    """How far a run is. Prefect's engine stands between worker and flow; this goes around it."""

    def __init__(self) -> None:
        self.halt: Halt | None = None
        self.about: str | None = None
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.failed = False
        self.given_up = False

    @property
    def outcome(self) -> Outcome:
        if not self.begun.is_set():
            return Outcome.NOT_BEGUN
        return Outcome.FAILED if self.failed else Outcome.DONE


_progress: ContextVar[_Progress | None] = ContextVar("signalpost_run", default=None)


class GivenUpError(Exception):
    """The worker waited too long for this run to begin and went on without it."""


@contextmanager
def body() -> Iterator[None]:
    """Enclose what a flow does, so that the worker knows when it begins and ends."""
    progress = _progress.get()
    if progress is None:  # a subprocess, a test, or a person calls the flow
        yield
        return
    if progress.given_up:
        raise GivenUpError
    progress.begun.set()
    try:
        yield
    except Pause:  # it waits for a person and will be asked for again
        raise
    except BaseException:
        progress.failed = True
        raise
    finally:
        progress.ended.set()


def halt() -> Halt | None:
    """Say whether and why the run that asks should end soon; called from inside a flow."""
    progress = _progress.get()
    return progress.halt if progress else None


def is_about(campaign_run_id: str) -> None:
    """Tell the worker which campaign run the flow that calls works on, so that it begins no other."""
    if (progress := _progress.get()) is not None:
        progress.about = campaign_run_id


class Runs:
    """Runs flows. ``patience``: seconds until a run must have begun."""

    def __init__(self, client: PrefectClient, *, patience: float) -> None:
        self._going: dict[UUID, _Progress] = {}
        self._client = client
        self._patience = patience
        self._left_behind: set[asyncio.Task[None]] = set()

    @property
    def going(self) -> frozenset[UUID]:
        """The runs that go on in this process."""
        return frozenset(self._going)

    @property
    def about(self) -> frozenset[str]:
        """The campaign runs that are worked on in this process."""
        return frozenset(one.about for one in self._going.values() if one.about)

    def halt(self, flow_run_id: UUID, why: Halt) -> None:
        """Ask a run that goes on to end soon; the first reason stays."""
        progress = self._going.get(flow_run_id)
        if progress is not None and progress.halt is None:
            progress.halt = why

    async def of_claim(self, claim: Claim, *, flow: Flow[..., Any], deployment_id: UUID) -> Outcome:
        """Run the flow for a claim, under its deployment; the same claim never makes two runs."""
        return await self._watched(self._of_claim(claim, flow, deployment_id))

    async def _of_claim(self, claim: Claim, flow: Flow[..., Any], deployment_id: UUID) -> None:
        flow_run = await self._client.create_flow_run_from_deployment(
            deployment_id,
            parameters={"claim_id": claim.id},
            state=Pending(),
            name=run_name(claim.journey, claim.size),
            idempotency_key=claim.id,
        )
        await self._execute(flow, flow_run)

    async def of_campaign(
        self,
        flow: Flow[..., Any],
        *,
        deployment_id: UUID,
        campaign_run_id: str,
        name: str,
        tags: list[str],
    ) -> tuple[UUID, Coroutine[Any, Any, Outcome]]:
        """Make a flow run that goes on with a campaign's run; gives its id, and the running of it."""
        flow_run = await create_run(
            self._client,
            deployment_id,
            parameters={"run": campaign_run_id},
            name=name,
            tags=tags,
            state=Pending(),
        )
        return flow_run.id, self._watched(self._execute(flow, flow_run))

    async def asked_for(self, flow_run: FlowRun, *, flow: Flow[..., Any]) -> Outcome:
        """Run what a schedule, an automation or a person in the UI asked for."""
        return await self._watched(self._asked_for(flow_run, flow))

    async def _asked_for(self, flow_run: FlowRun, flow: Flow[..., Any]) -> None:
        state = await propose_state(self._client, Pending(), flow_run_id=flow_run.id)
        if state.is_pending():  # else another worker has it, or it is not allowed yet
            await self._execute(flow, flow_run)

    async def _execute(self, flow: Flow[..., Any], flow_run: FlowRun) -> None:
        # For a run that it knows to be a deployment's, the engine starts a thread with a websocket, to
        # hear whether somebody suspends the run; 0.2 s before our customers' turn, for seconds of work.
        unobserved = flow_run.model_copy(update={"deployment_id": None})
        self._going[flow_run.id] = _progress.get() or _Progress()
        try:
            await run_flow_async(
                flow, flow_run=unobserved, parameters=flow_run.parameters, return_type="state"
            )
        except Pause:
            log.info("prefect.run_suspended", run=str(flow_run.id))
        finally:
            del self._going[flow_run.id]

    async def _watched(self, running: Coroutine[Any, Any, None]) -> Outcome:
        progress = _Progress()
        token = _progress.set(progress)
        task = asyncio.create_task(running)
        _progress.reset(token)
        if not await _either(task, progress.begun, within=self._patience):
            progress.given_up = True
            self._leave_behind(task)
            return Outcome.NOT_BEGUN
        if progress.begun.is_set():
            await _either(task, progress.ended, within=None)
            # The people are served; Prefect gets a moment to hear of it.
            await asyncio.wait({task}, timeout=self._patience)
        if not task.done():
            self._let_finish(task)
        elif not task.cancelled() and (error := task.exception()) is not None:
            log.warning("prefect.run_disturbed", error=type(error).__name__)
        return progress.outcome

    async def finished(self) -> None:
        """Wait a moment for the runs of which Prefect has not heard the end."""
        if self._left_behind:
            await asyncio.wait(set(self._left_behind), timeout=_LAST_MOMENT)

    def _let_finish(self, task: asyncio.Task[None]) -> None:
        """Let Prefect hear of the end beside the next run; of very many, no longer."""
        if len(self._left_behind) >= _MOST_FINISHING:
            self._leave_behind(task)
            return
        self._left_behind.add(task)
        task.add_done_callback(self._forget)

    def _leave_behind(self, task: asyncio.Task[None]) -> None:
        log.warning("prefect.run_left_behind", patience=self._patience)
        self._left_behind.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._left_behind.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain


async def runs_of_lane(
    client: PrefectClient,
    *,
    lane: str,
    states: Collection[StateType],
    limit: int,
    begins_before: datetime | None = None,
) -> list[FlowRun]:
    """Give flow runs of a lane that are in one of these states, ``limit`` at most.

    ``begins_before``: only those that are to begin until then.
    """
    in_state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[*states]))
    begins = FlowRunFilterNextScheduledStartTime.model_validate({"before_": begins_before})
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=in_state,
            next_scheduled_start_time=begins if begins_before is not None else None,
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
        work_queue_filter=WorkQueueFilter(name=WorkQueueFilterName(any_=[lane])),
        limit=limit,
    )


async def create_run(
    client: PrefectClient,
    deployment_id: UUID,
    *,
    parameters: dict[str, Any],
    name: str,
    tags: list[str],
    state: State[Any] | None = None,
    idempotency_key: str | None = None,
) -> FlowRun:
    """Make a flow run of a deployment without asking for what its form asks people for."""
    wanted = DeploymentFlowRunCreate(
        parameters=parameters,
        name=name,
        tags=tags,
        state=to_state_create(state or Scheduled()),
        idempotency_key=idempotency_key,
        enforce_parameter_schema=False,
    )
    answer = await client.request(
        "POST",
        "/deployments/{id}/create_flow_run",
        path_params={"id": deployment_id},
        json=wanted.model_dump(mode="json", exclude_unset=True),
    )
    return FlowRun.model_validate(answer.json())


async def _either(task: asyncio.Task[None], event: asyncio.Event, *, within: float | None) -> bool:
    """Wait for the task or the event, whichever is first; False when neither came in time."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        done, _ = await asyncio.wait(
            {task, waiting}, timeout=within, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        waiting.cancel()
    return bool(done)


def run_name(journey: str, people: int) -> str:
    """Name a run in plain words."""
    return f"{journey} · {people} customer{'' if people == 1 else 's'}"
