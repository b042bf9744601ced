"""What a marketer finds beside a campaign's flow run: the plan, and what the run decided.

How far the campaign is, and its report, are kept by the worker (``worker.campaign_artifacts``), since
they outlive a flow run. That an artifact cannot be kept fails no send.
"""

from collections import Counter
from collections.abc import Sequence

from prefect import get_run_logger
from prefect.artifacts import Artifact, MarkdownArtifact, TableArtifact
from prefect.context import AsyncClientContext

from signalpost import bootstrap
from signalpost.services.campaigns.plan import Plan
from signalpost.services.campaigns.runs import Run
from signalpost.services.campaigns.sending import ShardReport
from signalpost.services.campaigns.standing import table


def page(run: Run) -> str:
    """Give the address of a run's page."""
    return f"{bootstrap.current().settings.base_url}/campaigns/{run.id}"


async def show_plan(run: Run) -> None:
    """Keep the plan where whoever approves it looks."""
    if run.plan:
        text = f"{Plan.from_json(run.plan).markdown()}\n[On the record]({page(run)})\n"
        await _keep(
            MarkdownArtifact(key=f"{run.campaign}-plan", markdown=text, description=run.title)
        )


async def show_outcomes(run: Run, reports: Sequence[ShardReport]) -> None:
    """Keep what this flow run decided, by outcome and reason."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for report in reports:
        counts.update(report.counts)
    if counts:
        words = f"{run.title}: what this flow run decided. [The whole run]({page(run)})"
        key = f"{run.campaign}-outcomes"
        await _keep(TableArtifact(key=key, table=table(counts), description=words))


async def _keep(artifact: Artifact) -> None:
    try:
        async with AsyncClientContext.get_or_create() as shared:
            await artifact.acreate(shared.client)
    except Exception as error:
        get_run_logger().warning("An artifact could not be kept: %s", type(error).__name__)
