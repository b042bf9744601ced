"""What an operator finds in the UI after a run: outcomes by reason, and the way to the record."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import TableArtifact
from prefect.context import AsyncClientContext

from signalpost import bootstrap
from signalpost.services.journeys.advance import Report

#: More links than this help nobody; the record finds everybody.
_MOST_LINKS = 20


async def show(journey: str, reports: Sequence[Report]) -> None:
    """Keep the table of a run as an artifact; that it cannot be kept fails no batch."""
    people = [customer for report in reports for customer in report.customer_ids]
    if not people:
        return
    try:
        artifact = TableArtifact(
            key=f"{journey}-outcomes",
            table=table(reports),
            description=_description(journey, people, sum(one.set_aside for one in reports)),
        )
        async with AsyncClientContext.get_or_create() as shared:
            await artifact.acreate(shared.client)
    except Exception as error:
        get_run_logger().warning("The table could not be kept: %s", type(error).__name__)


def table(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Give outcomes as rows, the most frequent first."""
    outcomes: Counter[tuple[str, str, str, str]] = Counter()
    for report in reports:
        outcomes.update(report.outcomes)
    if not outcomes:
        return [{"what": "no message was due", "people": sum(one.people for one in reports)}]
    return [
        {"what": what, "channel": channel, "outcome": outcome, "reason": reason, "people": number}
        for (what, channel, outcome, reason), number in outcomes.most_common()
    ]


def _description(journey: str, people: Sequence[str], set_aside: int) -> str:
    base = bootstrap.current().settings.base_url
    seen = list(dict.fromkeys(people))
    links = [f"[{id_}]({base}/customers/{id_})" for id_ in seen[:_MOST_LINKS]]
    more = f" and {len(seen) - _MOST_LINKS} more" if len(seen) > _MOST_LINKS else ""
    aside = f" **{set_aside} set aside**: their record says why." if set_aside else ""
    return f"{journey}: {len(seen)} on the record.{aside}\n\n{', '.join(links)}{more}"
