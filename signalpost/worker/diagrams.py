"""Each journey's diagram as an artifact in Prefect, once for each version of the journey."""

from collections.abc import Iterable

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey

from signalpost.domain.diagram import mermaid
from signalpost.domain.program import Program


async def show_diagrams(client: PrefectClient, programs: Iterable[Program]) -> None:
    """Keep the diagrams that Prefect does not have yet."""
    by_key = {f"{program.journey}-diagram": program for program in programs}
    wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[*by_key]))
    latest = await client.read_latest_artifacts(artifact_filter=wanted)
    there = {one.key: one.description or "" for one in latest}
    for key, program in by_key.items():
        if program.version not in there.get(key, ""):
            await client.create_artifact(
                ArtifactCreate(
                    key=key,
                    type="markdown",
                    description=f"{program.journey}, version {program.version}",
                    data=f"```mermaid\n{mermaid(program)}```\n",
                )
            )
