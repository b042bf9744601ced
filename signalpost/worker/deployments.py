"""What is deployed: the flows of ``deployments/prefect.yaml``, and how one of them is described.

``campaign_deployments`` adds the campaigns; ``registering`` tells Prefect.
"""

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow
from prefect.utilities.callables import parameter_schema

from signalpost.domain.vocabulary import Lane
from signalpost.errors import ConfigurationError

POOL = "signalpost"
FILE = Path("deployments/prefect.yaml")

#: The queues of the pool and their priority; 1 goes first.
PRIORITIES: Mapping[str, int] = {Lane.RISK: 1, Lane.SERVICE: 2, Lane.MARKETING: 3}


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One deployment of a flow; a journey's and a campaign's deployment have its name."""

    name: str
    entrypoint: str  #: a module path: flows.fraud_alert.fraud_alert
    lane: str | None  #: the work queue; None: the pool's own default
    tags: tuple[str, ...] = ()
    description: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    pool: str = POOL
    schedule: Mapping[str, Any] | None = None  #: cron or rrule, and timezone
    form: Mapping[str, Any] | None = None  #: JSON schema of the parameters; None: as the flow says

    @property
    def version(self) -> str:
        """Hashes of what is declared and of its schedule, so that Prefect is told of changes only."""
        return f"{digest(asdict(self))}-{digest(self.schedule)}"

    def schema(self) -> dict[str, Any]:
        """Give the JSON schema by which Prefect's pages ask for the parameters."""
        return dict(self.form) if self.form else parameter_schema(self.load_flow()).model_dump()

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


def digest(value: Any) -> str:
    """Give twelve characters that differ when the value does."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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
