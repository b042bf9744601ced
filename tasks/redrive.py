"""Redriving as Prefect tasks; what it does is in ``signalpost.services.redriving``."""

import asyncio
from typing import Any

from prefect import task
from prefect.artifacts import TableArtifact
from prefect.cache_policies import NO_CACHE
from prefect.context import AsyncClientContext

from signalpost import bootstrap
from signalpost.errors import SignalpostError
from signalpost.services.redriving import acting
from signalpost.services.redriving.waiting import Waiting, waiting
from tasks.quiet import UnitFailedError, quiet

_ONCE: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
KEY = "waiting-for-an-operator"


@task(task_run_name="redrive", **_ONCE)
async def redrive(ids: list[str], name: str | None, reason: str | None, actor: str) -> str:
    """Try it again, and say what came of it."""
    desk = bootstrap.current().desk
    with quiet("redriving"):
        try:
            done = await acting.redrive(
                desk, ids=ids, name=name, reason=reason, actor=actor, now=desk.clock()
            )
        except SignalpostError as error:  # its words name no person
            raise UnitFailedError(str(error)) from None
    return done.in_words


@task(task_run_name="list what waits for an operator", **_ONCE)
async def show() -> int:
    """Keep the list as an artifact; gives how many are on it."""
    with quiet("the list"):
        found = await asyncio.to_thread(_waiting)
        artifact = TableArtifact(
            key=KEY,
            table=[_row(one) for one in found],
            description="What gave up. Run this deployment with their ids to try them again.",
        )
        async with AsyncClientContext.get_or_create() as shared:
            await artifact.acreate(shared.client)
    return len(found)


def _waiting() -> list[Waiting]:
    with bootstrap.current().desk.database.reading() as session:
        return waiting(session)


def _row(one: Waiting) -> dict[str, str]:
    return {
        "id": one.id,
        "kind": one.kind,
        "name": one.name,
        "reason": one.reason,
        "since": f"{one.since:%Y-%m-%d %H:%M} UTC" if one.since else "",
    }
