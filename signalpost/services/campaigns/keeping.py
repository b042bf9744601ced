"""Writing a run down, and what is done to it: by whom, when and with what in front of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.domain.campaign import Campaign, release_moment
from signalpost.domain.local_time import FIRST_ZONE
from signalpost.errors import ConflictError
from signalpost.record import audit, campaigns
from signalpost.record.base import new_id
from signalpost.services.campaigns.runs import Launch, Run
from signalpost.services.desk import Desk

HOUSE = "signalpost"  #: who acts when nobody does
SCHEDULE = "schedule"  #: who launches what comes by itself


def keep(
    desk: Desk,
    *,
    launch: Launch,
    status: str,
    by: str,
    now: datetime,
    plan: Mapping[str, Any] | None = None,
    reason: str | None = None,
    run_id: str | None = None,
    actor: str | None = None,
) -> Run:
    """Keep a launch; gives the run that its occurrence has, whoever was first.

    ``plan``: what was shown before. ``reason``: why it is over already, ``missed`` or ``refused``.
    """
    name = launch.campaign.name
    row = {
        "id": new_id(),
        "campaign": name,
        "version": launch.campaign.version,
        "occurrence": launch.occurrence or f"by hand {new_id()}",
        "stage": launch.stage,
        "series": launch.series,
        "facts": dict(launch.facts),
        "status": status,
        "reason": reason,
        "scheduled_at": _first_moment(launch, now),
        "local_at": launch.local_at.isoformat() if launch.local_at else None,
        "sample_of": launch.sample_of,
        "people": None,
        "plan": dict(plan or {}),
        "created_at": now,
        "started_at": None,
        "ended_at": now if reason else None,
        "run_id": run_id,
    }
    detail = {"digest": plan["digest"]} if plan else {"why": reason}
    with desk.database.writing() as session:
        _keep_version(session, launch.campaign, now)
        if campaigns.add_run(session, row=row):
            note(session, row["id"], status if reason else "launched", by, now, actor, **detail)
        kept = campaigns.run_of(session, campaign=name, occurrence=row["occurrence"])
    if kept is None:
        raise ConflictError("The run was not kept; launch it again.")
    return Run.of(kept)


def _first_moment(launch: Launch, now: datetime) -> datetime:
    if launch.local_at is not None:
        return release_moment(launch.local_at, FIRST_ZONE)
    return launch.scheduled_at or now


def _keep_version(session: Session, campaign: Campaign, now: datetime) -> None:
    campaigns.keep_version(
        session,
        row={
            "version": campaign.version,
            "campaign": campaign.name,
            "definition": dict(campaign.definition),
            "first_seen_at": now,
        },
    )


def note(
    session: Session,
    campaign_run_id: str,
    act: str,
    who: str,
    now: datetime,
    actor: str | None = None,
    **detail: Any,
) -> None:
    """Write an act down on the run, and, when it was somebody's, in the audit log."""
    campaigns.act(
        session,
        row={
            "id": new_id(),
            "campaign_run_id": campaign_run_id,
            "act": act,
            "who": who,
            "detail": {key: value for key, value in detail.items() if value not in (None, "")},
            "at": now,
        },
    )
    if who in (HOUSE, SCHEDULE):
        return
    seen = {key: detail[key] for key in ("digest", "people") if detail.get(key) is not None}
    audit.add(
        session,
        actor=actor or f"stated:{who}",
        action=f"campaign.{act}",
        subject=f"run:{campaign_run_id}",
        detail={"by": who, **seen},
        now=now,
    )
