"""A worker process that is told to stop leaves nothing half-way, and does not wait for ever."""

import signal
import time
from collections import Counter

from sqlmodel import select

from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Delivery, Message
from tests.integration.test_worker_process import (
    Operator,
    message,
    operator,
    stage,
    until,
    worker,
)

__all__ = ["Operator", "operator", "stage"]


def rows(stage, table):
    with stage.database.reading() as session:
        return list(session.exec(select(table)))


def alert(stage, count):
    for number in range(count):
        stage.signal(
            "fraud.signalled",
            user_id=f"u{number}",
            phone=f"+1206555{number:04d}",
            transaction_id=f"U{number}",
            merchant=f"Shop {number}",
            amount="249.00",
            currency="USD",
            occurred_at=stage.clock().isoformat(),
        )


def nothing_half_way(stage):
    """Nobody's message is on its way, and nobody is held by a worker that is gone."""
    assert "sending" not in {one.status for one in rows(stage, Message)}
    assert "sending" not in {one.status for one in rows(stage, Delivery)}
    assert [one.claim_id for one in rows(stage, Enrolment) if one.claim_id] == []


def test_a_second_sigterm_hastens_and_what_was_on_its_way_is_unknown(stage, operator, tmp_path):
    """Twilio thinks for 20 s; the worker is gone long before, and nobody is sent anything twice."""
    with worker(tmp_path, operator.url) as process:
        until(operator.came.is_set, process)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)  # two signals at the same moment are one
        assert process.poll() is None
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=15)
        took = time.monotonic() - began
    assert process.returncode == 0, said
    assert took < 10
    assert message(stage)["status"] == "unknown"
    nothing_half_way(stage)


def test_after_its_grace_time_it_waits_for_nobody(stage, operator, tmp_path, monkeypatch):
    with worker(tmp_path, operator.url, SIGNALPOST_GRACE="1") as process:
        until(operator.came.is_set, process)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=15)
    assert process.returncode == 0, said
    assert message(stage)["status"] == "unknown"
    nothing_half_way(stage)


def test_stopped_in_mid_blast_and_started_again_everybody_is_told_once(stage, operator, tmp_path):
    """F7: the next worker goes on with exactly those who are left."""
    alert(stage, 120)
    operator.let_go.set()
    for _ in range(2):
        before = len(operator.bodies)  # else the second would be stopped before it had begun
        with worker(tmp_path, operator.url) as process:
            until(lambda n=before + 5: len(operator.bodies) >= n, process)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=30)
        assert process.returncode == 0, said
        nothing_half_way(stage)
    with worker(tmp_path, operator.url) as process:
        until(lambda: len(operator.bodies) >= 121, process)
        until(lambda: all(one.status != "queued" for one in rows(stage, Message)), process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert Counter(Counter(operator.bodies).values()) == {1: 121}
    nothing_half_way(stage)
    texts = [one for one in rows(stage, Message) if one.channel == "sms"]
    assert {one.status for one in texts} == {"handed_over"}
