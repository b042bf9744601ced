"""A plan made again when its run is to be approved: what it says may have changed since it was seen.

Customers come and go between the two, and a handful of them ask for no second look. Another campaign
that was launched meanwhile does, when it takes many of the same people.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from signalpost.content.campaigns import from_definition
from signalpost.record import campaigns
from signalpost.services.campaigns.collisions import EFFECTS
from signalpost.services.campaigns.keeping import HOUSE, note
from signalpost.services.campaigns.plan import Plan, make_plan
from signalpost.services.campaigns.plan_words import collision
from signalpost.services.campaigns.planned import STEP
from signalpost.services.campaigns.runs import WAITS, Launch, Run
from signalpost.services.desk import Desk

_HANDFUL = 5  #: people more or less, however few there are, are no other plan


def renew(desk: Desk, *, campaign_run_id: str, seen: str, now: datetime) -> list[str]:
    """Make the plan of a run that waits for approval again; say what has changed since it was seen.

    Then the new plan is the run's, under a digest of its own. Empty: nothing that matters has changed,
    or the plan that was seen is not the one that waits.
    """
    with desk.database.reading() as session:
        row = campaigns.run(session, campaign_run_id=campaign_run_id)
        if row is None or not _waits(row, seen):
            return []
        run = Run.of(row)
        definition = campaigns.definition(session, version=run.version) or {}
    old = Plan.from_json(run.plan)
    launch = _launch(run, definition)
    plan = make_plan(desk, launch=launch, now=now, leave_out=run.id)
    found = list(_differences(old, plan))
    if not found:
        return []
    since = f"Since the plan of {datetime.fromisoformat(old.made_at):%Y-%m-%d %H:%M} UTC"
    plan = replace(plan, warnings=[f"{since}: {'; '.join(found)}.", *plan.warnings])
    said = plan.to_json()
    said["digest"] = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
    with desk.database.writing() as session:
        row = campaigns.run(session, campaign_run_id=run.id, lock=True)
        if row is not None and _waits(row, seen):
            campaigns.set_run(session, campaign_run_id=run.id, plan=said)
            note(session, run.id, "planned again", HOUSE, now, digest=said["digest"])
    return found


def _waits(row: RowMapping, seen: str) -> bool:
    return row["status"] == WAITS and row["plan"].get("digest") == seen


def _launch(run: Run, definition: Mapping[str, Any]) -> Launch:
    """Give the launch that a run was made by."""
    local_at = datetime.fromisoformat(run.local_at) if run.local_at else None
    return Launch(
        campaign=from_definition(definition),
        occurrence=run.occurrence,
        scheduled_at=None if local_at else run.scheduled_at,
        local_at=local_at,
        stage=run.stage,
        series=run.series,
        facts=run.facts,
        sample_of=run.sample_of,
    )


def _differences(seen: Plan, now: Plan) -> Iterator[str]:
    """Say what is other than it was, as far as whoever approves it has to know."""
    if now.refusals:
        yield from (one.rstrip(".") for one in now.refusals)
        return
    for name, version in now.messages.items():
        if seen.messages.get(name) != version:
            yield f"the words of message {name!r} changed"
    if _differs(seen.people, now.people):
        yield f"{seen.people:,} people were in the audience, and now {now.people:,}"
    if _differs(seen.reached, now.reached):
        yield f"{seen.reached:,} would be written to, and now {now.reached:,}"
    for one in now.collisions:
        # Of a campaign that comes again, the next time is told of each day, and is no news.
        before = [old for old in seen.collisions if old["campaign"] == one["campaign"]]
        known = {key: max((old[key] for old in before), default=0) for key in EFFECTS}
        if any(one[key] > known[key] and _differs(known[key], one[key]) for key in EFFECTS):
            yield f"{one['campaign']}: {collision(one)}"


def _differs(before: int, after: int) -> bool:
    fewer, more = sorted((before, after))
    return more - fewer > _HANDFUL and more > fewer * STEP
