"""Reconciling on the worker's own clock: a flow run when there is something to do, else a look."""

import time

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.flow_engine import run_flow_async
from prefect.states import Pending

from signalpost.services.desk import Desk
from signalpost.services.reconciling.rounds import Reconciler
from signalpost.worker.prefect_view import PrefectView
from signalpost.worker.runs import create_run

log = structlog.get_logger()

RECONCILE_EVERY = 20.0  #: seconds; a claim is over for a minute at most before somebody sees to it
POLL_EVERY = 120.0
FLOW = "reconcile"


class Reconciling:
    """Looks, and has done what is to be done; without Prefect it is done all the same."""

    def __init__(self, desk: Desk, *, client: PrefectClient, view: PrefectView) -> None:
        self._desk = desk
        self._client = client
        self._view = view
        self._reconciler = Reconciler()
        self._polled_at = float("-inf")

    async def look(self) -> None:
        """Look once; raises what the record raises."""
        desk = self._desk
        if FLOW in self._view.paused_journeys:
            return
        if await self._reconciler.is_needed(desk, now=desk.clock()) and not await self._by_flow():
            await self._reconciler.sweep(desk, now=desk.clock())
            await self._reconciler.note(desk, now=desk.clock())
            await self._reconciler.ask(desk, now=desk.clock())
        if time.monotonic() - self._polled_at >= POLL_EVERY:
            self._polled_at = time.monotonic()
            await self._reconciler.note(desk, now=desk.clock())
            await self._reconciler.poll(desk, now=desk.clock())

    async def _by_flow(self) -> bool:
        """Do it in a flow run, for an operator to see; false when Prefect did not let it begin."""
        if not self._view.reachable or not self._view.is_declared(FLOW):
            return False
        try:
            flow_run = await create_run(
                self._client,
                self._view.deployment_id(FLOW),
                parameters={},
                name=FLOW,
                tags=["lane:service"],
                state=Pending(),
            )
            # As ``runs`` does it: the engine would else open a websocket for each run.
            unobserved = flow_run.model_copy(update={"deployment_id": None})
            state = await run_flow_async(
                self._view.flow_of(FLOW), flow_run=unobserved, parameters={}, return_type="state"
            )
        except Exception as error:
            log.warning("reconcile.without_prefect", error=type(error).__name__)
            return False
        return bool(state and state.is_completed())
