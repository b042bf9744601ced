"""What a marketer finds beside a campaign's flow run: the plan, and what the run decided.

How far the campaign is, and its report, are kept by the worker (``worker.campaign_artifacts``), since
they outlive a flow run. That an artifact cannot be kept fails no send.
"""

from collections import Counter
from collections.abc import Sequence

from prefect import get_run_logger
from prefect.artifacts import Artifact, MarkdownArtifact, TableArtifact
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
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
    """Keep the plan where whoever approves it looks, once: also of what was launched elsewhere."""
    if not run.plan:
        return
    key, words = f"{run.campaign}-plan", f"{run.title}: plan {run.plan.get('digest')}, run {run.id}"
    if await _is_kept(key, words):
        return
    text = f"{Plan.from_json(run.plan).markdown()}\n[On the record]({page(run)})\n"
    await _keep(MarkdownArtifact(key=key, markdown=text, description=words))


async def show_outcomes(run: Run, reports: Sequence[ShardReport]) -> None:
    """Keep what this flow run decided, by outcome and reason."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for report in reports:
        counts.update(report.counts)
    if counts:
        words = (
            f"{run.title}: what this one flow run decided. Of the whole run there is "
            f"`{run.campaign}-run-outcomes` when it has ended, and [its page]({page(run)})."
        )
        key = f"{run.campaign}-flow-run-outcomes"
        await _keep(TableArtifact(key=key, table=table(counts), description=words))


async def _is_kept(key: str, description: str) -> bool:
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    try:
        async with AsyncClientContext.get_or_create() as shared:
            found = await shared.client.read_artifacts(artifact_filter=wanted)
    except Exception:  # then it may be there twice, which does no harm
        return False
    return any(one.description == description for one in found)


async def _keep(artifact: Artifact) -> None:
    try:
        async with AsyncClientContext.get_or_create() as shared:
            await artifact.acreate(shared.client)
    except Exception as error:
        get_run_logger().warning("An artifact could not be kept: %s", type(error).__name__)
