"""An occurrence that is launched again: the same launch has its run, any other is told of it.

A schedule, a worker that was killed and a flow run that Prefect retries all launch again, and come to
one run. Somebody who has changed the file meanwhile must not be told that theirs was launched.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlmodel import Session

from signalpost.errors import ConflictError
from signalpost.record import campaigns
from signalpost.record.base import to_json
from signalpost.services.campaigns.runs import AGAIN, Launch, Run


def run_of(session: Session, *, launch: Launch) -> Run | None:
    """Give the run that the occurrence of a launch has; None: it has none, or the launch is by hand."""
    if launch.occurrence is None:
        return None
    row = campaigns.run_of(session, campaign=launch.campaign.name, occurrence=launch.occurrence)
    return None if row is None else Run.of(row)


def launched_by(session: Session, *, run: Run) -> str | None:
    """Say who launched a run; None: it was missed or refused before it could be."""
    acts = campaigns.acts(session, campaign_run_id=run.id)
    return next((one["who"] for one in acts if one["act"] == "launched"), None)


def same(session: Session, *, run: Run, launch: Launch, run_id: str | None) -> Run:
    """Give the run of an occurrence, when it is what this launch asks for. ``run_id``: as in ``launch``.

    Raises:
        ConflictError: it has ended without being done, or it is another launch than this one.
    """
    if run_id is not None and run.run_id == run_id:
        return run  # the flow run that launched it, once more
    differs = list(_differs(run, launch))
    if not differs and run.status in (*campaigns.LIVE, "done"):
        return run
    if run.status in campaigns.LIVE:
        differs.append(
            f"To have this one instead, cancel that with `signalpost campaign cancel {run.id}`, and "
            f"{AGAIN}."
        )
    else:
        differs = [f"That time is not launched a second time; {AGAIN}."]
    by = launched_by(session, run=run)
    said = f"launched by {by}, " if by else ""
    said += run.status.replace("_", " ") + (f" ({run.reason})" if run.reason else "")
    raise ConflictError(
        f"{run.title} of {run.occurrence} has a run already, {said}: {run.id}. {' '.join(differs)}"
    )


def _differs(run: Run, launch: Launch) -> Iterator[str]:
    version = launch.campaign.version
    if run.version != version:
        yield f"The file has changed since: it was of version {run.version}, now it is of {version}."
    if _given(run.facts) != _given(launch.facts):
        yield "It was given other facts."
    if (run.stage, run.series, run.sample_of) != (launch.stage, launch.series, launch.sample_of):
        yield "It is of another stage or series, or a test."


def _given(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Give facts as the record has them, without what nobody filled in."""
    return json.loads(to_json({name: one for name, one in facts.items() if one not in (None, "")}))
