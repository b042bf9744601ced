"""Reconciling: what was left half-way is found, and settled by what proves it.

The service worker looks every twenty seconds whether there is anything to do, and begins a run of this
only then; "Run" in Prefect's pages does it at once.
"""

from prefect import flow, get_run_logger

from flows.batch import NO_RESULTS
from signalpost.services.reconciling.rounds import Reconciler
from signalpost.worker import runs
from tasks import reconcile as tasks

#: Remembers up to where it has looked, for as long as this process lives.
RECONCILER = Reconciler()


@flow(name="reconcile", **NO_RESULTS)
async def reconcile() -> None:
    """Sweep claims that are over, settle what nobody knows, and fetch texts whose webhook was lost."""
    with runs.body():
        swept = await tasks.sweep(RECONCILER)
        by_receipts = await tasks.note(RECONCILER)
        asked = await tasks.ask(RECONCILER)
        texts = await tasks.poll(RECONCILER)
    get_run_logger().info(
        "%s claims were over, %s messages are unknown now, %s people went back a step, %s messages "
        "closed; %s settled by receipts; asked: %s; %s texts whose webhook was lost",
        *(swept.claims, swept.unknown, swept.taken_back, swept.closed, by_receipts),
        ", ".join(f"{number} {outcome}" for outcome, number in sorted(asked.items())) or "nobody",
        texts,
    )
