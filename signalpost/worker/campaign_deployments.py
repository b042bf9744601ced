"""Every campaign file as a deployment: its schedule, and the form that its Run button shows."""

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from signalpost.content import Catalogue, Fact, FactType
from signalpost.domain.audience import givens
from signalpost.domain.campaign import Campaign
from signalpost.domain.vocabulary import Lane
from signalpost.errors import ConfigurationError
from signalpost.worker.campaign_schedules import prefect_schedule
from signalpost.worker.deployments import POOL, Deployment, read
from signalpost.worker.registering import CAMPAIGN_TAG

ENTRYPOINT = "flows.campaign.campaign"
SHARD_ENTRYPOINT = "flows.campaign.campaign_shard"
SHARD_FLOW = "campaign-shard"

_AT = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?$"


def campaign_deployments(
    campaigns: Mapping[str, Campaign], *, catalogue: Catalogue, taken: Iterable[str] = ()
) -> list[Deployment]:
    """Describe the deployment of each campaign, and of the pools that their shards run on.

    Raises:
        ConfigurationError: a campaign has the name of a journey (``taken``).
    """
    if both := sorted(campaigns.keys() & set(taken)):
        raise ConfigurationError(
            f"The campaign {both[0]!r} has the name of a deployment in deployments/prefect.yaml. "
            "Rename its file and its name."
        )
    pools = {one.run_on for one in campaigns.values() if runs_elsewhere(one)}
    return [
        *(_deployment(campaign, catalogue) for campaign in campaigns.values()),
        *(_shards(pool) for pool in sorted(filter(None, pools))),
    ]


def everything(campaigns: Mapping[str, Campaign], catalogue: Catalogue) -> list[Deployment]:
    """Describe every deployment: those of deployments/prefect.yaml, and the campaigns'.

    Raises:
        ConfigurationError: the file is wrong, or a campaign has the name of a journey.
    """
    journeys = read()
    taken = [one.name for one in journeys]
    return [*journeys, *campaign_deployments(campaigns, catalogue=catalogue, taken=taken)]


def files_in(folder: Path) -> set[str]:
    """Name the campaigns that have a file, readable or not."""
    return {one.stem for one in folder.glob("*.y*ml")}


def runs_elsewhere(campaign: Campaign) -> bool:
    """Whether the shards of a campaign are flow runs on another pool than ours."""
    return campaign.run_on is not None and campaign.run_on != POOL


def _deployment(campaign: Campaign, catalogue: Catalogue) -> Deployment:
    return Deployment(
        name=campaign.name,
        entrypoint=ENTRYPOINT,
        lane=Lane.MARKETING,
        tags=(f"lane:{Lane.MARKETING}", CAMPAIGN_TAG + campaign.name),
        description=_description(campaign),
        parameters={"campaign": campaign.name},
        schedule=prefect_schedule(campaign.schedule),
        form=launch_form(campaign, catalogue),
    )


def _shards(pool: str) -> Deployment:
    return Deployment(
        name=pool,
        entrypoint=SHARD_ENTRYPOINT,
        lane=None,
        pool=pool,
        tags=(f"lane:{Lane.MARKETING}",),
        description="One shard of a campaign's audience. The marketing worker asks for these runs.",
    )


def _description(campaign: Campaign) -> str:
    lines = [campaign.description.strip() or campaign.name]
    if campaign.owner:
        lines.append(f"Owner: {campaign.owner}.")
    if campaign.schedule.is_local and prefect_schedule(campaign.schedule):
        lines.append(
            "The time is each customer's own. A run begins when the first zone on earth (UTC+14) "
            "reaches it, and goes on for about 26 hours."
        )
    return "\n\n".join(lines)


def launch_form(campaign: Campaign, catalogue: Catalogue) -> dict[str, Any]:
    """Give the JSON schema by which Prefect's Run form asks a marketer for what a launch needs.

    What the flow takes besides, which campaign and which run, is not for people to fill in.
    """
    fields: dict[str, dict[str, Any]] = {}
    required: list[str] = []
    if campaign.stages:
        fields |= _stage_fields(campaign)
        required += ["stage", "series"]
    if campaign.asks:
        fields["facts"] = _facts_field(campaign, catalogue)
        required.append("facts")
    fields["at"] = _at_field(campaign)
    fields["test_on"] = {
        "title": "Test on so many people only",
        "description": "Sends to the first so many of the audience, for good. Empty: to everybody.",
        "type": "integer",
        "minimum": 1,
    }
    for position, field in enumerate(fields.values()):
        field["position"] = position
    return {"title": "Parameters", "type": "object", "properties": fields, "required": required}


def _stage_fields(campaign: Campaign) -> dict[str, dict[str, Any]]:
    says = ", ".join(f"{one.name} ({one.message})" for one in campaign.stages)
    return {
        "stage": {
            "title": "Stage",
            "description": f"Which message of the series: {says}.",
            "type": "string",
            "enum": [one.name for one in campaign.stages],
        },
        "series": {
            "title": "What it is about",
            "description": "The incident's number, such as INC-7: the same word for every stage.",
            "type": "string",
            "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        },
    }


def _at_field(campaign: Campaign) -> dict[str, Any]:
    whose = "in each customer's own zone" if campaign.schedule.is_local else (
        f"in {campaign.schedule.zone}"
    )  # fmt: skip
    return {
        "title": "At",
        "description": f"Date and time {whose}, such as 2026-12-01T10:00. Empty: now.",
        "type": "string",
        "pattern": _AT,
    }


def _facts_field(campaign: Campaign, catalogue: Catalogue) -> dict[str, Any]:
    specs = [catalogue[name] for name in campaign.messages() if name in catalogue]
    known = {name: spec.facts[name] for spec in reversed(specs) for name in spec.facts}
    asked = {
        name: _fact_field(name, known.get(name), _needed(campaign, catalogue, name))
        for name in campaign.asks
    }
    for position, field in enumerate(asked.values()):
        field["position"] = position
    return {
        "title": "What the message says",
        "description": "Only you know this.",
        "type": "object",
        "properties": asked,
        # A stage may not need each of them; the launch says which one is missing.
        "required": [] if campaign.stages else [*campaign.asks],
    }


_TYPES: Mapping[FactType, Mapping[str, Any]] = {
    FactType.TEXT: {"type": "string", "maxLength": 500},
    FactType.CODE: {"type": "string", "maxLength": 64},
    FactType.URL: {"type": "string", "format": "uri"},
    FactType.DATETIME: {"type": "string", "format": "date-time"},
    FactType.DATE: {"type": "string", "format": "date"},
    FactType.INTEGER: {"type": "integer"},
    FactType.DECIMAL: {"type": "number"},
    FactType.LIST: {"type": "array", "items": {"type": "object"}},
    FactType.MONEY: {
        "type": "object",
        "properties": {
            "amount": {"type": "string", "title": "Amount", "position": 0},
            "currency": {"type": "string", "title": "Currency", "position": 1},
        },
        "required": ["amount", "currency"],
    },
}


_KINDS: Mapping[FactType, str] = {
    FactType.TEXT: "Text",
    FactType.CODE: "A code",
    FactType.URL: "An address",
    FactType.DATETIME: "Date and time with its offset",
    FactType.DATE: "A date",
    FactType.INTEGER: "A whole number",
    FactType.DECIMAL: "A number",
    FactType.LIST: "A list",
    FactType.MONEY: "An amount with its currency",
}


def _fact_field(name: str, fact: Fact | None, needed: str) -> dict[str, Any]:
    title = name.replace("_", " ").capitalize()
    if fact is None:  # no message shows it: the audience is found by it
        says = f"Text; it says who is meant. {needed}".strip()
        return {"title": title, "type": "string", "description": says}
    says = f"{_KINDS[fact.type]}, such as: {_example(fact.sample).rstrip('.')}. {needed}".strip()
    return {"title": title, **_TYPES[fact.type], "description": says}


def _example(sample: Any) -> str:
    if isinstance(sample, datetime | date):
        return sample.isoformat().replace("+00:00", "Z")
    return sample if isinstance(sample, str) else json.dumps(sample, default=str)


def _needed(campaign: Campaign, catalogue: Catalogue, name: str) -> str:
    """Say which stages need a fact, and which may do without; empty where there are no stages."""
    needs, takes = [], []
    for stage in campaign.stages:
        fact = catalogue[stage.message].facts.get(name) if stage.message in catalogue else None
        if (fact and fact.required) or (stage.opens and name in givens(campaign.audience)):
            needs.append(stage.name)
        elif fact:
            takes.append(stage.name)
    said = [f"Needed by: {', '.join(needs)}."] if needs else []
    return " ".join([*said, *([f"May be given for: {', '.join(takes)}."] if takes else [])])
