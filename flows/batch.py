"""What every journey's flow does: take a batch of people as far as they can go now.

The order of the steps is the journey's; which units of work a step is made of is in
``signalpost.services.journeys.advance``; each unit is a task (``tasks.units``).
"""

from collections.abc import Iterable
from typing import Any

from prefect import get_run_logger
from prefect.context import AsyncClientContext
from prefect.runtime import flow_run
from prefect.settings import get_current_settings

from signalpost import bootstrap
from signalpost.domain.journey import Journey
from signalpost.services.desk import Desk
from signalpost.services.journeys.advance import Direct, Report, advance
from signalpost.services.journeys.claims import claim_due, release
from signalpost.worker import runs
from tasks.artifacts import show
from tasks.quiet import UnitFailedError, quiet
from tasks.units import PrefectUnits, customers

#: How a journey's flow keeps results: not at all. Prefect would ask its server where to, in each run.
NO_RESULTS: dict[str, Any] = {
    "persist_result": False,
    "result_storage": get_current_settings().results.local_storage_path,
}


async def advance_batch(journey: Journey, claim_id: str | None) -> None:
    """Advance the people of a claim, or of everybody who is due when no claim is named.

    Raises:
        UnitFailedError: the batch failed as a whole; its people are due again after a while.
    """
    with runs.body():
        desk = bootstrap.current().desk
        claimed = [claim_id] if claim_id else await _claim(desk, journey)
        reports = [await _advance(desk, claim) for claim in claimed]
    await show(journey.name, reports)


async def _claim(desk: Desk, journey: Journey) -> list[str]:
    """Claim who is due in this journey, since somebody asked for a run without naming a claim."""
    others = desk.programs.keys() - {journey.name}
    now = desk.clock()
    claims = claim_due(desk, lane=journey.lane, now=now, except_journeys=others)
    people = sum(claim.size for claim in claims)
    name = f"{journey.name} · {customers(people) if people else 'nobody due'}"
    async with AsyncClientContext.get_or_create() as shared:
        await shared.client.set_flow_run_name(flow_run.id, name)
    return [claim.id for claim in claims]


async def _advance(desk: Desk, claim_id: str) -> Report:
    units = PrefectUnits(Direct(desk))
    try:
        with quiet("the batch"):
            report = await advance(desk, claim_id=claim_id, units=units, run_id=flow_run.id)
    except UnitFailedError as error:
        release(desk, claim_id=claim_id, reason=str(error), now=desk.clock())
        raise
    get_run_logger().info("%s: %s", customers(report.people), _in_words([report]))
    return report


def _in_words(reports: Iterable[Report]) -> str:
    lines = [
        f"{count} {outcome} {subject}{f' by {channel}' if channel else ''}"
        for report in reports
        for (subject, channel, outcome, _), count in report.outcomes.most_common()
    ]
    return ", ".join(lines) or "moved on without a message"
