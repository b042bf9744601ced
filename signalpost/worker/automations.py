"""The ready automations of ``deployments/automations``: read, resolved by names, and told to Prefect.

A file is an automation as Prefect describes it, with names where Prefect wants ids: ``block:`` names a
notification block, ``deployment:`` a deployment. While there is nothing by that name the automation is
there and does nothing, and `signalpost deploy` says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import AutomationCore
from pydantic import ValidationError

from signalpost.errors import ConfigurationError

FOLDER = Path("deployments/automations")


@dataclass(frozen=True)
class AutomationFile:
    """One file."""

    path: Path
    definition: Mapping[str, Any]


def read(folder: Path = FOLDER) -> list[AutomationFile]:
    """Read the files; none when the folder is missing.

    Raises:
        ConfigurationError: a file is not YAML, or has no name.
    """
    found = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            definition = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path} is not YAML: {error}") from error
        if not isinstance(definition, dict) or not definition.get("name"):
            raise ConfigurationError(f"{path} describes no automation; it needs at least a name.")
        found.append(AutomationFile(path, definition))
    return found


async def register(client: PrefectClient, files: Sequence[AutomationFile]) -> list[str]:
    """Make the automations in Prefect, or bring them to what the files say; gives notes.

    One that an operator disabled in Prefect's pages stays so.

    Raises:
        ConfigurationError: Prefect would not take one.
    """
    blocks = {one.name: one.id for one in await client.read_block_documents() if one.name}
    deployments = {one.name: one.id for one in await client.read_deployments()}
    notes: list[str] = []
    for file in files:
        definition, missing = _resolved(file.definition, blocks, deployments)
        wanted = _checked(file.path, definition)
        there = await client.read_automations_by_name(wanted.name)
        if not there:
            await client.create_automation(wanted)
        else:
            kept = wanted.model_copy(update={"enabled": there[0].enabled})
            await client.update_automation(there[0].id, kept)
        notes += [f"The automation {wanted.name!r} does nothing yet: {what}" for what in missing]
    return notes


def _resolved(
    definition: Mapping[str, Any], blocks: Mapping[str, Any], deployments: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    actions, missing = [], []
    for given in definition.get("actions", ()):
        action = dict(given)
        if (name := action.pop("block", None)) is not None:
            if name not in blocks:
                missing.append(f"make a notification block called {name!r}, and deploy again.")
                action = {"type": "do-nothing"}
            else:
                action["block_document_id"] = str(blocks[name])
        elif (name := action.pop("deployment", None)) is not None:
            if name not in deployments:
                missing.append(f"there is no deployment {name!r}.")
                action = {"type": "do-nothing"}
            else:
                action |= {"source": "selected", "deployment_id": str(deployments[name])}
        actions.append(action)
    return {**definition, "actions": actions}, missing


def _checked(path: Path, definition: Mapping[str, Any]) -> AutomationCore:
    try:
        return AutomationCore.model_validate(definition)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"{path} is no automation of Prefect: {where}: {first['msg']}"
        ) from error
