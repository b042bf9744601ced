"""Deploying from the terminal: Prefect knows everything afterwards, and the audit log who did it."""

import json

import pytest

from signalpost.cli.door import actor
from tests.cli_harness import signalpost

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_server")]


def test_who_deployed_is_in_the_audit_log(tmp_path):
    """Deployments decide what runs: a change of them is somebody's act."""
    from urllib.parse import urlsplit

    from prefect.settings import PREFECT_API_URL

    port = str(urlsplit(PREFECT_API_URL.value()).port)
    assert signalpost(tmp_path, "migrate").code == 0
    done = signalpost(tmp_path, "deploy", prefect_port=port)
    assert done.code == 0, done
    shown = json.loads(signalpost(tmp_path, "audit", "--json").out)
    assert [(one["action"], one["actor"]) for one in shown][1:] == [("deploy", actor())]


def test_a_deployment_that_no_log_could_take_says_so(tmp_path):
    """There is no record yet: the deployment holds, and is not written down in silence."""
    from urllib.parse import urlsplit

    from prefect.settings import PREFECT_API_URL

    port = str(urlsplit(PREFECT_API_URL.value()).port)
    done = signalpost(tmp_path, "deploy", prefect_port=port)
    assert done.code == 0, done
    assert f"deploy by {actor()} is not in the audit log" in done.err
