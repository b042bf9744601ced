"""`deployments/prefect.yaml` and the journeys agree."""

from pathlib import Path

import pytest

from flows import JOURNEYS
from signalpost.errors import ConfigurationError
from signalpost.worker import deployments

ROOT = Path(__file__).parents[2]
FILE = ROOT / deployments.FILE


def test_every_journey_has_a_deployment_in_its_lane_under_its_own_name():
    """A journey without a deployment would never run under Prefect."""
    declared = {one.name: one for one in deployments.read(FILE)}
    for journey in JOURNEYS:
        deployment = declared[journey.name]
        assert deployment.lane == journey.lane
        assert set(deployment.tags) == {f"lane:{journey.lane}", f"journey:{journey.name}"}
        assert deployment.load_flow().name == journey.name


def test_an_entrypoint_that_cannot_be_imported_is_named_with_what_to_do():
    """The message names the deployment, the entrypoint and how to write it."""
    deployment = deployments.Deployment(name="x", entrypoint="flows.nowhere.x", lane="service")
    with pytest.raises(ConfigurationError, match=r"'x'.*flows\.nowhere\.x.*flows\.<file>"):
        deployment.load_flow()


def test_a_lane_that_does_not_exist_is_refused(tmp_path):
    """A queue that no worker serves would swallow its runs."""
    file = tmp_path / "prefect.yaml"
    file.write_text(
        "deployments:\n"
        "  - {name: x, entrypoint: flows.x.x, work_pool: {name: signalpost, work_queue_name: slow}}\n"
    )
    with pytest.raises(ConfigurationError, match=r"'slow'.*risk, service, marketing"):
        deployments.read(file)


def test_a_change_in_the_file_changes_the_version_and_nothing_else_does():
    """Prefect is told of changes only, so a start is quick and keeps the operator's schedules."""
    one = deployments.Deployment(name="x", entrypoint="flows.x.x", lane="service")
    same = deployments.Deployment(name="x", entrypoint="flows.x.x", lane="service")
    other = deployments.Deployment(name="x", entrypoint="flows.x.x", lane="service", tags=("new",))
    assert one.version == same.version != other.version
