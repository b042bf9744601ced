"""Another try for what gave up, from Prefect's pages; without parameters, the list of it.

The same as ``signalpost redrive`` in a terminal.
"""

from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import Field

from flows.batch import NO_RESULTS
from signalpost.worker import runs
from tasks import redrive as tasks
from tasks.quiet import UnitFailedError

_ID = r"^[0-9A-Za-z:-]{1,80}$"


@flow(name="redrive", **NO_RESULTS)
async def redrive(
    ids: Annotated[
        list[Annotated[str, Field(pattern=_ID)]],
        Field(title="Ids", description="As the list has them. Empty: by name, or only the list."),
    ] = [],  # noqa: B006 - Prefect shows it as the default, and nobody changes it
    name: Annotated[
        str | None,
        Field(title="Journey or campaign", description="All that gave up in it.", max_length=100),
    ] = None,
    reason: Annotated[
        str | None,
        Field(title="Reason", description="Only of this reason: missing_fact.", max_length=200),
    ] = None,
) -> State[None]:
    """Try again what the ids or the name say; show what is left as an artifact."""
    with runs.body():
        try:
            said = "Nothing was asked to be tried again."
            if ids or name:
                said = await tasks.redrive(ids, name, reason, f"prefect:{flow_run.id}")
            left = await tasks.show()
        except UnitFailedError as error:
            return Failed(message=str(error))
    return Completed(message=f"{said} {left} wait for an operator.")
