"""The units of work of a step as Prefect tasks: one task a batch, never one a person.

What each does is in ``signalpost.services``; here is how it is named, retried and kept quiet.
"""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from signalpost.errors import TransientError
from signalpost.services.journeys.advance import Units
from signalpost.services.journeys.people import Group
from tasks.quiet import quiet


def _passes(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.data, TransientError)


#: Twice more, after one second and four; then the whole batch waits its turn (``claims.release``).
_RETRIED: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [1, 4],
    "retry_condition_fn": _passes,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


@task(task_run_name="decide {about}", **_RETRIED)
async def decide(units: Units, group: Group, about: str) -> None:
    """Put each message through the gate."""
    with quiet(f"decide {about}"):
        await units.decide(group)


@task(task_run_name="render {about}", **_RETRIED)
async def render(units: Units, group: Group, about: str) -> None:
    """Render each person's words."""
    with quiet(f"render {about}"):
        await units.render(group)


@task(task_run_name="deliver {about}", **_RETRIED)
async def deliver(units: Units, group: Group, about: str) -> None:
    """Commit the intent, then call the provider."""
    with quiet(f"deliver {about}"):
        await units.deliver(group)


@task(task_run_name="settle {about}", **_RETRIED)
async def settle(units: Units, group: Group, about: str) -> bool:
    """Commit how it ended; true when somebody needs another channel now."""
    with quiet(f"settle {about}"):
        return await units.settle(group)


@task(task_run_name="move {about}", **_RETRIED)
async def move(units: Units, group: Group, about: str) -> None:
    """Move everybody on."""
    with quiet(f"move {about}"):
        await units.move(group)


class PrefectUnits:
    """Units of which each is a Prefect task around another's."""

    def __init__(self, units: Units) -> None:
        self._units = units

    async def decide(self, group: Group) -> None:
        """Put each message through the gate."""
        await decide(self._units, group, about(group))

    async def render(self, group: Group) -> None:
        """Render each person's words."""
        await render(self._units, group, about(group))

    async def deliver(self, group: Group) -> None:
        """Commit the intent, then call the provider."""
        await deliver(self._units, group, about(group))

    async def settle(self, group: Group) -> bool:
        """Commit how it ended; true when somebody needs another channel now."""
        return await settle(self._units, group, about(group))

    async def move(self, group: Group) -> None:
        """Move everybody on."""
        await move(self._units, group, about(group))


def about(group: Group) -> str:
    """Say what a group's step is about, and how many stand there: ``pickup_ready · 37 customers``."""
    subject = group.node.args.get("message") or group.node.kind.replace("_", " ")
    return f"{subject} · {customers(len(group))}"


def customers(number: int) -> str:
    """Say a number of customers in words."""
    return f"{number} customer{'' if number == 1 else 's'}"
