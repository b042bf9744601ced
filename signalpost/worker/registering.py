"""Telling Prefect what is deployed, and leaving alone what an operator changed there.

``prefect deploy --prefect-file deployments/prefect.yaml --all`` does the same for the journeys; that
takes seconds a deployment, this some milliseconds, and nothing at all when Prefect knows already.
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    DeploymentUpdate,
    WorkPoolCreate,
)
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, RRuleSchedule
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from signalpost.worker.deployments import POOL, PRIORITIES, Deployment, digest

CAMPAIGN_TAG = "campaign:"
_REMOVED = "removed-"  #: the version of a campaign's deployment whose file is gone begins so
#: The schedule of a deployment that comes from its file; any other was made in Prefect's pages.
OURS = "file"


async def tell_prefect(
    client: PrefectClient,
    *,
    deployments: Sequence[Deployment],
    folder: Path,
    broken: Collection[str] = (),
) -> list[str]:
    """Make the work pool, its queues and the deployments, where Prefect does not have them yet.

    What an operator paused stays paused, and schedules that were made or changed in Prefect's pages
    stay. ``broken``: campaigns whose file cannot be read now, which are left as they are. Gives what
    an operator should know, in sentences.
    """
    await _ensure_pool(client)
    known = {one.name: one for one in await known_deployments(client)}
    notes: list[str] = []
    for deployment in deployments:
        if deployment.pool != POOL:
            notes += await _deploy_elsewhere(client, deployment, folder)
            continue
        there = known.get(deployment.name)
        if there is None or there.version != deployment.version:
            notes += await _deploy(client, deployment, folder, there=there)
    declared = {one.name for one in deployments} | set(broken)
    for gone in known.values():
        if is_campaign(gone) and gone.name not in declared and not _is_retired(gone):
            notes += await _retire(client, gone)
    return notes


async def known_deployments(client: PrefectClient) -> list[DeploymentResponse]:
    """Give the deployments that Prefect has on our pool, however many."""
    ours = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
    found: list[DeploymentResponse] = []
    while page := await client.read_deployments(work_pool_filter=ours, offset=len(found)):
        found += page
        if len(page) < _PAGE:
            break
    return found


_PAGE = 200  #: what Prefect gives at once


def is_campaign(deployment: DeploymentResponse) -> bool:
    """Whether a deployment is a campaign's."""
    return any(tag.startswith(CAMPAIGN_TAG) for tag in deployment.tags)


def _is_retired(deployment: DeploymentResponse) -> bool:
    return (deployment.version or "").startswith(_REMOVED)


async def _ensure_pool(client: PrefectClient) -> None:
    try:
        await client.read_work_pool(POOL)
    except ObjectNotFound:
        from prefect.workers.process import ProcessWorker

        pool = WorkPoolCreate(
            name=POOL,
            type="process",
            description="Signalpost's lanes. `signalpost worker --lane NAME` serves one of them.",
            base_job_template=ProcessWorker.get_default_base_job_template(),
        )
        await client.create_work_pool(pool, overwrite=True)
    there = {queue.name for queue in await client.read_work_queues(work_pool_name=POOL)}
    for lane, priority in PRIORITIES.items():
        if lane not in there:
            try:
                await client.create_work_queue(
                    name=str(lane), work_pool_name=POOL, priority=priority
                )
            except ObjectAlreadyExists:  # another worker was faster
                continue


async def _deploy_elsewhere(
    client: PrefectClient, deployment: Deployment, folder: Path
) -> list[str]:
    """Deploy on somebody else's pool, which has to be there; what is going on here goes on without."""
    try:
        pool = await client.read_work_pool(deployment.pool)
    except ObjectNotFound:
        note = (
            f"Campaigns are to run on the work pool {deployment.pool!r}, and Prefect has none of that "
            f"name. Make it: prefect work-pool create --type process {deployment.pool}"
        )
        return [note]
    flow = deployment.load_flow()
    try:
        there = await client.read_deployment_by_name(f"{flow.name}/{deployment.name}")
    except ObjectNotFound:
        there = None
    if there is not None and there.version == deployment.version:
        return []
    # In a container the project is where the image puts it: its working directory.
    where = folder if pool.type == "process" else Path()
    return await _deploy(client, deployment, where, there=there)


async def _deploy(
    client: PrefectClient,
    deployment: Deployment,
    folder: Path,
    *,
    there: DeploymentResponse | None,
) -> list[str]:
    flow = deployment.load_flow()
    schedules, notes = _schedules(deployment, there)
    await client.create_deployment(
        flow_id=await client.create_flow(flow),
        name=deployment.name,
        version=deployment.version,
        entrypoint=deployment.entrypoint,
        work_pool_name=deployment.pool,
        work_queue_name=deployment.lane,
        tags=list(deployment.tags),
        description=deployment.description,
        parameters=dict(deployment.parameters),
        parameter_openapi_schema=deployment.schema(),
        enforce_parameter_schema=True,
        schedules=schedules,
        paused=False if there and _is_retired(there) else None,
        job_variables=there.job_variables if there else None,  # an operator's, such as an image
        # Without a pull step a worker in a subprocess first copies its whole working directory.
        pull_steps=[
            {"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}
        ],
    )
    return notes


def _schedules(
    deployment: Deployment, there: DeploymentResponse | None
) -> tuple[list[DeploymentScheduleCreate], list[str]]:
    """Decide which schedules the deployment gets: Prefect drops those that are not given again.

    Ours follows its file when the file changes, and keeps the operator's pause. One that an operator
    changed is theirs.
    """
    before = list(there.schedules) if there else []
    mine = next((one for one in before if one.slug == OURS), None)
    kept = [_repeated(one) for one in before if one is not mine]
    told = schedule_told(there) if there else None
    if told == digest(deployment.schedule):  # the file says what it said: whatever is there stays
        return kept + ([_repeated(mine)] if mine else []), []
    if mine is not None and told != digest(said(mine)):
        note = (
            f"The schedule of {deployment.name!r} was changed in Prefect, so the new one of its file "
            "is not used. To use it, delete the schedule in Prefect and deploy again."
        )
        return [*kept, _repeated(mine)], [note]
    if deployment.schedule is None:
        return kept, []
    ours = DeploymentScheduleCreate(
        schedule=_schedule(deployment.schedule),
        active=mine.active if mine else True,
        slug=OURS,
    )
    return [*kept, ours], []


def schedule_told(there: DeploymentResponse) -> str:
    """Give the digest of the schedule that its file had when Prefect was last told."""
    return (there.version or "").rpartition("-")[2]


def _repeated(one: DeploymentSchedule) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(
        schedule=one.schedule, active=one.active, slug=one.slug, parameters=one.parameters
    )


def _schedule(words: Any) -> CronSchedule | RRuleSchedule:
    return CronSchedule(**words) if "cron" in words else RRuleSchedule(**words)


def said(one: DeploymentSchedule) -> dict[str, Any]:
    """Give a schedule of Prefect in the words of ``Deployment.schedule``."""
    names: Iterable[str] = ("cron", "rrule", "timezone")
    dumped = one.schedule.model_dump(mode="json")
    return {name: dumped[name] for name in names if name in dumped}


async def _retire(client: PrefectClient, gone: DeploymentResponse) -> list[str]:
    """Pause a campaign whose file is gone; its runs and their history stay."""
    words = "Paused: its file is gone from deployments/campaigns. Put it back and deploy to go on."
    version = _REMOVED + schedule_told(gone)
    await client.update_deployment(
        gone.id, DeploymentUpdate(paused=True, version=version, description=words)
    )
    return [
        f"The file of the campaign {gone.name!r} is gone: its deployment is paused, not deleted."
    ]
