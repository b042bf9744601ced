"""What runs Signalpost on many machines is valid, closed, bounded, and names settings that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from signalpost.domain.vocabulary import Lane
from signalpost.settings import PREFIX, Settings

DEPLOYMENTS = Path(__file__).parents[2] / "deployments"
COMPOSE = DEPLOYMENTS / "compose.yaml"
KUBERNETES = "1.35"


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((DEPLOYMENTS / "kubernetes").glob("*.yaml")):
        for one in yaml.safe_load_all(file.read_text()):
            yield f"{file.name}:{one['kind']}:{one['metadata']['name']}", one


MANIFESTS = dict(manifests())
PODS = {
    name: one["spec"]["template"]
    for name, one in MANIFESTS.items()
    if "template" in one.get("spec", {})
}


def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


@pytest.mark.parametrize("name", MANIFESTS)
def test_kubernetes_takes_each_manifest(name: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], KUBERNETES, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    wrong = {**MANIFESTS["web.yaml:Deployment:web"], "spec": {"replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_docker_takes_the_compose_file() -> None:
    place = resources.files("check_jsonschema.builtin_schemas.vendor")
    schema = json.loads((place / "compose-spec.json").read_text())
    jsonschema.validate(compose(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"web": {"imag": "signalpost"}}}, schema)


@pytest.mark.parametrize("name", PODS)
def test_every_container_is_bounded_and_closed(name: str) -> None:
    pod = PODS[name]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    for one in containers(pod):
        assert {"cpu", "memory"} <= one["resources"]["limits"].keys(), one["name"]
        assert one["securityContext"]["allowPrivilegeEscalation"] is False
        assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("app", ["web", *Lane])
def test_each_process_of_ours_waits_for_its_tables_and_is_probed(app: str) -> None:
    [pod] = [one for one in PODS.values() if one["metadata"]["labels"]["app"] == app]
    assert [one["args"] for one in pod["spec"]["initContainers"]] == [["migrate"]]
    [ours] = pod["spec"]["containers"]
    assert ours["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert ours["livenessProbe"]["httpGet"]["path"] == "/healthz"
    service = compose()["services"][app]
    assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert "/readyz" in service["healthcheck"]["test"][-1]


def test_there_is_a_worker_for_every_lane_and_time_for_it_to_end() -> None:
    """A worker finishes its batch in ``SIGNALPOST_GRACE`` seconds; only then may it be killed."""
    lanes = {
        one["metadata"]["labels"]["app"]: one
        for one in PODS.values()
        if one["metadata"]["labels"].get("part") == "worker"
    }
    assert lanes.keys() == {lane.value for lane in Lane}
    for lane, pod in lanes.items():
        assert pod["spec"]["containers"][0]["args"] == ["worker", "--lane", lane]
        assert pod["spec"]["terminationGracePeriodSeconds"] > Settings.model_fields["grace"].default
        assert compose()["services"][lane]["stop_grace_period"] == "60s"


def test_everything_listens_inside_except_web() -> None:
    """Prefect's pages have no login."""
    published = [port for one in compose()["services"].values() for port in one.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    open_to_all = {
        one["spec"]["podSelector"]["matchLabels"]["app"]
        for one in MANIFESTS.values()
        if one["kind"] == "NetworkPolicy"
        for rule in one["spec"]["ingress"]
        if "from" not in rule
    }
    assert open_to_all == {"web"}


def test_every_setting_that_is_named_exists() -> None:
    from prefect.settings import Settings as Prefect
    from prefect.settings.legacy import _get_settings_fields
    from prefect_redis.client import RedisMessagingSettings

    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= set(_get_settings_fields(Prefect))
    known |= {
        f"PREFECT_REDIS_MESSAGING_{name.upper()}" for name in RedisMessagingSettings.model_fields
    }
    files = [COMPOSE, DEPLOYMENTS / "example.env", *(DEPLOYMENTS / "kubernetes").glob("*.yaml")]
    named = {
        name
        for file in files
        for name in re.findall(r"\b(?:SIGNALPOST|PREFECT)_[A-Z_]+\b", file.read_text())
    }
    assert named - known == set()


def test_no_secret_is_written_down() -> None:
    lines = (DEPLOYMENTS / "example.env").read_text().splitlines()
    for line in lines:
        if re.match(r"[A-Z_]*(KEY|TOKEN|SECRET|SECRETS|PASSWORD)=", line):
            assert line.endswith("="), line
