"""The units of reconciling as Prefect tasks; the work is in ``signalpost.services.reconciling``."""

from collections import Counter
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from signalpost import bootstrap
from signalpost.services.reconciling.rounds import Reconciler
from signalpost.services.reconciling.sweeping import Swept
from tasks.quiet import quiet

#: What fails is done again in the next round, which is soon.
_ONCE: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


@task(task_run_name="sweep claims that are over", **_ONCE)
async def sweep(reconciler: Reconciler) -> Swept:
    """Take claims that are over, and call what was on its way unknown."""
    desk = bootstrap.current().desk
    with quiet("the sweep"):
        return await reconciler.sweep(desk, now=desk.clock())


@task(task_run_name="settle by receipts", **_ONCE)
async def note(reconciler: Reconciler) -> int:
    """Settle what receipts settle, and note the rest, to be asked about."""
    desk = bootstrap.current().desk
    with quiet("settling by receipts"):
        return await reconciler.note(desk, now=desk.clock())


@task(task_run_name="ask the providers", **_ONCE)
async def ask(reconciler: Reconciler) -> Counter[str]:
    """Ask providers what they took."""
    desk = bootstrap.current().desk
    with quiet("asking the providers"):
        return await reconciler.ask(desk, now=desk.clock())


@task(task_run_name="poll for texts to us", **_ONCE)
async def poll(reconciler: Reconciler) -> int:
    """Fetch texts whose webhook was lost."""
    desk = bootstrap.current().desk
    with quiet("the poll"):
        return await reconciler.poll(desk, now=desk.clock())
