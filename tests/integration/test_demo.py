"""The demo from outside: one command, the whole system, a verdict."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.timeout(480)]


def free_ports(count):
    """Find ports that are free now."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_demo_plays_to_its_end_and_every_promise_holds(tmp_path):
    """`signalpost demo --exit` ends by itself with code 0, and leaves nothing running."""
    web, prefect, postoffice = ports = free_ports(3)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALPOST_")}
    home = tmp_path / "state"
    done = subprocess.run(
        [sys.executable, "-m", "signalpost.cli", "demo", "--exit"],
        env=kept
        | {
            "SIGNALPOST_HOME": str(home),
            "SIGNALPOST_WEB_PORT": str(web),
            "SIGNALPOST_PREFECT_PORT": str(prefect),
            "SIGNALPOST_POSTOFFICE_PORT": str(postoffice),
            "COLUMNS": "200",
        },
        capture_output=True,
        text=True,
        timeout=470,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "✗" not in told
    assert told.count("✓") >= 35
    assert "promises hold" in told
    assert "Not yet known" in told, "the campaign's report is honest"
    for words in ("SC-02", "SC-05", "SC-07", "Steve", "Ann", "Jane", "spring-weekend"):
        assert words in told
    assert [one.name for one in home.iterdir()] == ["demo"], "the user's own record is untouched"
    assert all(map(is_free, ports)), "something is still running"
    again = simulated(home / "demo", kept)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Exactly this went." in again.stdout


def simulated(home, environment):
    """Simulate the demo's campaign on the record that the demo left, as its last lines say."""
    said = (home / "env").read_text().splitlines()
    own = dict(line.removeprefix("export ").split("=", 1) for line in said if "=" in line)
    words = ["campaign", "simulate", "spring-weekend", "--from", "2026-03-02", "--to", "2026-03-12"]
    return subprocess.run(
        [sys.executable, "-m", "signalpost.cli", *words, "--check"],
        env=environment | own,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
