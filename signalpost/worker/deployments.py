"""The deployments of ``deployments/prefect.yaml``, and telling Prefect about them.

``prefect deploy --prefect-file deployments/prefect.yaml --all`` does the same as ``register``; that
takes seconds a deployment, this some milliseconds, and nothing at all when Prefect knows already.
"""

import hashlib
import importlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.utilities.callables import parameter_schema

from signalpost.domain.vocabulary import Lane
from signalpost.errors import ConfigurationError

POOL = "signalpost"
FILE = Path("deployments/prefect.yaml")

#: The queues of the pool and their priority; 1 goes first.
PRIORITIES: Mapping[str, int] = {Lane.RISK: 1, Lane.SERVICE: 2, Lane.MARKETING: 3}


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One deployment of a flow; a journey's deployment has the journey's name."""

    name: str
    entrypoint: str  #: a module path: flows.fraud_alert.fraud_alert
    lane: str  #: the work queue
    tags: tuple[str, ...] = ()
    description: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """A hash of what is declared, so that Prefect is told of changes only."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def load_flow(self) -> Flow[..., Any]:
        """Import the flow.

        Raises:
            ConfigurationError: there is no such flow.
        """
        module, _, name = self.entrypoint.rpartition(".")
        try:
            flow = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigurationError(
                f"Deployment {self.name!r} in {FILE} has the entrypoint {self.entrypoint!r}, which "
                f"cannot be imported ({error}). Write it as flows.<file>.<function>."
            ) from error
        if not isinstance(flow, Flow):
            raise ConfigurationError(
                f"Deployment {self.name!r} in {FILE}: {self.entrypoint} is not a @flow."
            )
        return flow


def read(file: Path = FILE) -> list[Deployment]:
    """Read the deployments.

    Raises:
        ConfigurationError: the file is missing, or a deployment lacks something.
    """
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"There is no {file} here. Run this in the project's folder."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{file} is not YAML: {error}") from error
    return [_deployment(entry, file) for entry in (document or {}).get("deployments") or []]


def _deployment(entry: Mapping[str, Any], file: Path) -> Deployment:
    try:
        found = Deployment(
            name=entry["name"],
            entrypoint=entry["entrypoint"],
            lane=entry["work_pool"]["work_queue_name"],
            tags=tuple(entry.get("tags") or ()),
            description=entry.get("description"),
            parameters=entry.get("parameters") or {},
        )
    except (KeyError, TypeError) as error:
        name = entry.get("name", "without a name")
        raise ConfigurationError(f"{file}: deployment {name!r} lacks {error}.") from error
    if found.lane not in PRIORITIES:
        raise ConfigurationError(
            f"{file}: deployment {found.name!r} names the work queue {found.lane!r}; "
            f"the lanes are {', '.join(PRIORITIES)}."
        )
    return found


async def tell_prefect(
    client: PrefectClient, *, deployments: list[Deployment], folder: Path
) -> None:
    """Make the work pool, its queues and the deployments, where Prefect does not have them yet.

    What an operator paused stays paused, and schedules made in Prefect's pages stay.
    """
    await _ensure_pool(client)
    known = {one.name: one for one in await known_deployments(client)}
    for deployment in deployments:
        there = known.get(deployment.name)
        if there is None or there.version != deployment.version:
            await _deploy(client, deployment, folder, schedules=there.schedules if there else [])


async def known_deployments(client: PrefectClient) -> list[DeploymentResponse]:
    """Give the deployments that Prefect has on our pool."""
    ours = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
    return await client.read_deployments(work_pool_filter=ours)


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


async def _deploy(
    client: PrefectClient,
    deployment: Deployment,
    folder: Path,
    *,
    schedules: Iterable[DeploymentSchedule],
) -> None:
    flow = deployment.load_flow()
    await client.create_deployment(
        flow_id=await client.create_flow(flow),
        name=deployment.name,
        version=deployment.version,
        entrypoint=deployment.entrypoint,
        work_pool_name=POOL,
        work_queue_name=deployment.lane,
        tags=list(deployment.tags),
        description=deployment.description,
        parameters=dict(deployment.parameters),
        parameter_openapi_schema=parameter_schema(flow).model_dump(),
        enforce_parameter_schema=True,
        schedules=[  # those that somebody made in the pages; Prefect drops what is not repeated
            DeploymentScheduleCreate(schedule=one.schedule, active=one.active, slug=one.slug)
            for one in schedules
        ],
        # Without a pull step a worker in a subprocess first copies its whole working directory.
        pull_steps=[
            {"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}
        ],
    )
