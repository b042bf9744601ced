"""From a fraud signal to the request at Twilio, a Prefect flow run included, on an idle machine.

A Prefect server, a risk worker and a stand-in for Twilio run as processes of their own; the clock
runs from before the signal's transaction until the stand-in has the request. The peer, in the same
go and on the same server: the same flow, triggered through the same deployment when the signal is
committed, executed by Prefect's own process worker, which starts a subprocess for each run.
"""

import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SIGNALS, PEER_SIGNALS = 40, 8
BOUND = 0.5
WORKER = "from signalpost import settings, worker; worker.run('risk', settings.load())"


class Twilio(ThreadingHTTPServer):
    """Takes messages; keeps when each came, by the merchant that it names."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.came: dict[str, float] = {}
        self.arrival = threading.Condition()

    def handle_error(self, *_: Any) -> None:
        """Say nothing of connections that a worker leaves open when it is stopped."""

    def wait_for(self, merchant: str, seconds: float) -> float:
        """Give the moment at which the message about the merchant came."""
        with self.arrival:
            if not self.arrival.wait_for(lambda: merchant in self.came, seconds):
                raise TimeoutError(f"no message about {merchant} within {seconds} s")
            return self.came[merchant]


class _Take(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        came = time.perf_counter()
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        server: Any = self.server
        with server.arrival:
            for word in body.replace("+", " ").split():
                if word.startswith("Merchant"):
                    server.came.setdefault(word.rstrip(".,?:;"), came)
            server.arrival.notify_all()
        answer = b'{"sid": "SM%032d", "status": "queued"}' % len(server.came)
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process(arguments: list[str], env: dict[str, str], log: Path) -> Iterator[None]:
    """Run a process; it is ended with the block."""
    with log.open("ab") as out:
        running = subprocess.Popen(
            [sys.executable, *arguments], env=env, cwd=ROOT, stdout=out, stderr=out
        )
        try:
            yield
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()


def _until_healthy(url: str) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2):
            return
        time.sleep(0.2)
    raise TimeoutError("the Prefect server did not start")


def _signal(stage: Any, merchant: str) -> float:
    """Let a fraud be signalled; gives the moment before it was."""
    before = time.perf_counter()
    stage.clock.now = datetime.now(UTC)
    number = int(merchant.removeprefix("Merchant"))
    stage.signal(
        "fraud.signalled",
        user_id=f"u{number}",
        phone=f"+1206555{number:04d}",
        transaction_id=merchant,
        merchant=merchant,
        amount="249.00",
        currency="USD",
        occurred_at=stage.clock().isoformat(),
    )
    return before


def _ours(stage: Any, twilio: Twilio) -> list[float]:
    seconds = []
    _signal(stage, "Merchant0")
    twilio.wait_for("Merchant0", 120)  # the worker is up and warm
    for number in range(1, SIGNALS + 1):
        time.sleep(1.0)
        merchant = f"Merchant{number}"
        before = _signal(stage, merchant)
        seconds.append(twilio.wait_for(merchant, 60) - before)
    print("ours:", sorted(round(one, 3) for one in seconds), file=sys.stderr)
    return seconds


def _peer(stage: Any, twilio: Twilio, api: str) -> list[float]:
    [deployment] = _ask(
        f"{api}/deployments/filter", {"deployments": {"name": {"any_": ["fraud-alert"]}}}
    )
    seconds = []
    for number in range(1000, 1000 + PEER_SIGNALS):
        time.sleep(1.0)
        merchant = f"Merchant{number}"
        before = _signal(stage, merchant)
        _ask(f"{api}/deployments/{deployment['id']}/create_flow_run", {})
        seconds.append(twilio.wait_for(merchant, 120) - before)
    return seconds


def _ask(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    for _ in range(20):  # on SQLite Prefect answers 503 when two of its transactions met
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
        time.sleep(0.05)
    raise TimeoutError(f"Prefect is too busy to answer {url}")


def p95(seconds: list[float]) -> float:
    """Give the value that 95 of 100 stay under."""
    return statistics.quantiles(seconds, n=20, method="inclusive")[-1]


def _runs_in_prefect(api: str) -> int:
    wanted = {"flows": {"name": {"any_": ["fraud-alert"]}}}
    states = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    return _ask(f"{api}/flow_runs/count", wanted | states)


def run() -> list[dict[str, Any]]:
    """Measure; gives one result for ours, with the peer's beside it."""
    from flows.fraud_alert import FRAUD_ALERT
    from signalpost.testing import Stage
    from signalpost.worker import prefect_environment

    port, twilio = _free_port(), Twilio()
    threading.Thread(target=twilio.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prefect = prefect_environment(home, port)
        env = os.environ | prefect | {
            "SIGNALPOST_HOME": folder,
            "SIGNALPOST_PREFECT_PORT": str(port),
            "SIGNALPOST_TWILIO_BASE_URL": f"http://127.0.0.1:{twilio.server_port}",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }  # fmt: skip
        api = prefect["PREFECT_API_URL"]
        url = f"sqlite:///{home / 'signalpost.db'}"
        now = datetime.now(UTC)
        log = home / "log"
        server = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        with (
            Stage(folder=home, journeys=[FRAUD_ALERT], start=now, database_url=url) as stage,
            process(server, env, log),
        ):
            _until_healthy(api)
            with process(["-c", WORKER], env, log):
                ours = _ours(stage, twilio)
            named = _runs_in_prefect(api)
            theirs = ["-m", "prefect", "worker", "start", "--pool", "signalpost"]
            with process([*theirs, "--work-queue", "risk"], env, log):
                peer = _peer(stage, twilio, api)
    twilio.shutdown()
    return [_result(ours, peer, named)]


def _result(ours: list[float], peer: list[float], named: int) -> dict[str, Any]:
    with_run = "with a flow run each" if named >= len(ours) else f"only {named} with a flow run"
    return {
        "name": f"fraud signal to request at the provider, p95 of {len(ours)}, idle, {with_run}",
        "value": round(p95(ours), 3),
        "unit": "s",
        "bound": f"<= {BOUND}",
        "holds": p95(ours) <= BOUND and named >= len(ours),
        "peers": {
            "ours, median": round(statistics.median(ours), 3),
            "deployment run in a subprocess (Prefect's process worker), median": round(
                statistics.median(peer), 3
            ),
            "the same, p95": round(p95(peer), 3),
        },
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
    }


if __name__ == "__main__":
    for result in run():
        print(json.dumps(result))
