"""The worker as a process, while Prefect is away: stopped in the middle of a batch, and killed."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from werkzeug import Request, Response

from flows.fraud_alert import FRAUD_ALERT
from signalpost.record.messages import Message
from signalpost.testing import Stage

ROOT = Path(__file__).parents[2]
RUN = "from signalpost import settings, worker; worker.run('risk', settings.load())"


class Operator:
    """Takes text messages as Twilio does, holding each until it is let go."""

    def __init__(self, httpserver: Any) -> None:
        self.bodies: list[str] = []
        self.came = threading.Event()
        self.let_go = threading.Event()
        self.url = httpserver.url_for("")
        httpserver.expect_request(re.compile(r".*/Messages\.json")).respond_with_handler(self._take)

    def _take(self, request: Request) -> Response:
        self.bodies.append(request.form["Body"])
        self.came.set()
        self.let_go.wait(20)
        answer = f'{{"sid": "SM{len(self.bodies):032d}", "status": "queued", "num_segments": "1"}}'
        return Response(answer, status=201, content_type="application/json")


@pytest.fixture
def operator(httpserver: Any) -> Iterator[Operator]:
    """A Twilio that answers when it is told to."""
    operator = Operator(httpserver)
    yield operator
    operator.let_go.set()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A record on which a fraud was signalled just now."""
    monkeypatch.chdir(ROOT)
    url = f"sqlite:///{tmp_path / 'signalpost.db'}"
    with Stage(
        folder=tmp_path, journeys=[FRAUD_ALERT], start=datetime.now(UTC), database_url=url
    ) as stage:
        stage.signal(
            "fraud.signalled",
            user_id="ann",
            phone="+12065550100",
            transaction_id="T1",
            merchant="Acme",
            amount="249.00",
            currency="USD",
            occurred_at=stage.clock().isoformat(),
        )
        yield stage


@contextmanager
def worker(folder: Path, twilio: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A risk worker whose Prefect does not exist; ``more`` of its environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = probe.getsockname()[1]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "SIGNALPOST"))}
    env = inherited | {
        "SIGNALPOST_HOME": str(folder),
        "SIGNALPOST_PREFECT_PORT": str(nowhere),
        "SIGNALPOST_TWILIO_BASE_URL": twilio,
        **more,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", RUN],
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def message(stage: Stage) -> Any:
    """The text message of the alert, as the record has it."""
    table = Message.__table__  # type: ignore[attr-defined]
    with stage.database.reading() as session:
        query = select(table).where(table.c.channel == "sms")
        return session.execute(query).mappings().one_or_none()


def until(holds: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 60) -> Any:
    """Wait until something holds; tells what the worker said when it ended or time ran out."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"it never came to that; the worker said:\n{process.communicate()[0]}")
        time.sleep(0.02)
    return found


def test_told_to_stop_the_worker_finishes_its_batch_and_ends_well(stage, operator, tmp_path):
    """SIGTERM comes while Twilio is still thinking; what it answers is on the record, without a run."""
    with worker(tmp_path, operator.url) as process:
        until(operator.came.is_set, process)
        process.send_signal(signal.SIGTERM)
        operator.let_go.set()
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert message(stage)["status"] == "handed_over"
    assert message(stage)["run_id"] is None
    assert "+12065550100" not in said


def test_killed_between_intent_and_answer_the_alert_is_unknown_and_never_sent_twice(
    stage, operator, tmp_path
):
    """Nobody knows whether the message went; the next worker says so and goes on with the rest."""
    with worker(tmp_path, operator.url) as process:
        until(operator.came.is_set, process)
        process.kill()
    assert message(stage)["status"] == "sending"
    operator.let_go.set()
    with stage.database.writing() as session:  # two minutes later the lease is over
        over = (datetime.now(UTC) - timedelta(seconds=1)).replace(tzinfo=None)
        session.execute(text("UPDATE enrolments SET lease_until = :over"), {"over": over})
    with worker(tmp_path, operator.url) as process:
        until(lambda: message(stage)["status"] == "unknown", process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert sum("Acme" in body for body in operator.bodies) == 1
