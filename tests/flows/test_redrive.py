"""Redriving from Prefect's pages: the list as an artifact, and another try by name and reason."""

import json
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]


def refused(one: Any) -> Handover:
    """A provider that puts everything off."""
    return Handover(
        status=DeliveryStatus.RETRY,
        provider="outbox",
        fault=FaultClass.TRANSIENT,
        code="429",
    )


async def run(worker: Any, client: PrefectClient, **parameters: Any) -> Any:
    """Press Run on the deployment, as a person does in the pages; give how the run ended."""
    deployment = await client.read_deployment_by_name("redrive/redrive")
    asked = await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    await worker.view.look()
    assert await worker.round()
    return (await client.read_flow_run(asked.id)).state


async def listed(client: PrefectClient) -> list[dict[str, str]]:
    """Give the newest list of what waits for an operator."""
    key = ArtifactFilter(key=ArtifactFilterKey(any_=["waiting-for-an-operator"]))
    found = await client.read_artifacts(artifact_filter=key)
    newest = max(found, key=lambda one: one.created)
    return json.loads(newest.data)


def test_the_form_lists_what_gave_up_and_tries_it_again(house):
    """Nobody's address is in Prefect; the act is in the audit log under the flow run's id."""
    house.stage.outbox.manner = refused
    house.pickups(2)
    house.stage.run_for(hours=4)
    house.stage.outbox.manner = lambda _: None

    async def then(worker: Any, client: Any) -> Any:
        await worker.view.look()
        first = await run(worker, client)
        before = await listed(client)
        nothing = await run(worker, client, name="pickup-follow-up", reason="no_such_reason")
        again = await run(worker, client, name="pickup-follow-up", reason="provider_refuses")
        wrong = await run(worker, client, name="nobody-knows-this")
        return first, before, nothing, again, wrong, await listed(client)

    first, before, nothing, again, wrong, after = house.work("service", then)
    assert "2 wait for an operator" in first.message
    assert {row["reason"] for row in before} == {"provider_refuses:429"}
    assert "@" not in json.dumps(before)
    assert "Tried again: nothing." in nothing.message
    assert "Tried again: 2 people of journeys." in again.message
    assert wrong.is_failed()
    assert "no journey and no campaign called 'nobody-knows-this'" in wrong.message
    assert after == []
    house.stage.run_due()
    assert {one.message for one in house.stage.sent} == {"pickup_ready"}
