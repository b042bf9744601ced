"""Caps and fairness when everything comes at once: 100 triggers for one person, and 10,000 events."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from signalpost.domain.gate import Cap, Policy
from signalpost.domain.vocabulary import Lane
from signalpost.record.decisions import DecisionRow
from signalpost.services.intake import signals
from signalpost.services.intake.signals import Signal
from signalpost.services.journeys.claims import claim_due
from tests.integration.promises_harness import rows, work
from tests.integration.test_promises_decisions import newsroom

CAP, TRIGGERS, WORKERS, EVENTS = 2, 100, 12, 10_000
POLICY = Policy(caps=(Cap(CAP, timedelta(days=1)),))
HOT = "+12065550200"


@pytest.fixture
def postgres_url(postgres_home):
    yield postgres_home.furnished()
    postgres_home.sweep()


def publish(stage, user, first, count):
    """Let so many issues be published for somebody, in one batch."""
    now = stage.clock()
    batch = [
        Signal(
            message_id=f"{user}:{number}",
            source="shop",
            name="news.published",
            occurred_at=now,
            body_hash="",
            identities={"user_id": user},
            properties={"issue": f"{user}-{number}"},
        )
        for number in range(first, first + count)
    ]
    with stage.database.writing() as session:
        signals.accept(session, signals=batch, now=now, react=stage.react, policy=stage.policy)


@pytest.mark.postgres
def test_a_hundred_triggers_at_once_never_exceed_the_cap(tmp_path, postgres_url):
    """C26: each trigger a claim of its own, a dozen workers on them at the same moment."""
    with newsroom(tmp_path, database_url=postgres_url, policy=POLICY) as stage:
        publish(stage, "u0", 0, TRIGGERS)
        claims = []
        while found := claim_due(stage.desk, lane=Lane.MARKETING, now=stage.clock(), limit=1):
            claims += found
        assert len(claims) == TRIGGERS
        together = threading.Barrier(WORKERS)

        def worker(number):
            together.wait(timeout=30)
            for claim in claims[number::WORKERS]:
                work(stage, claim.id)

        with ThreadPoolExecutor(WORKERS) as workers:
            list(workers.map(worker, range(WORKERS)))
        assert [one.to for one in stage.sent] == [HOT] * CAP
        reasons = Counter(d.reason for d in rows(stage, DecisionRow) if d.kind == "gate")
        assert reasons == {"allowed": CAP, "frequency_cap": TRIGGERS - CAP}


def test_ten_thousand_events_of_one_customer_keep_nobody_else_waiting(tmp_path):
    """F28: the cap holds for the hot one, and each batch of theirs delays the others by little."""
    with newsroom(tmp_path, policy=POLICY) as stage:
        for first in range(0, EVENTS, 500):
            publish(stage, "u0", first, 500)
        for user in ("u1", "u2", "u3"):
            publish(stage, user, 0, 1)
        batches, longest = 0, 0.0
        while claims := claim_due(stage.desk, lane=Lane.MARKETING, now=stage.clock()):
            for claim in claims:
                began = time.process_time()
                work(stage, claim.id)
                longest = max(longest, time.process_time() - began)
                batches += 1
        assert Counter(one.to for one in stage.sent) == {
            HOT: CAP, "+12065550201": 1, "+12065550202": 1, "+12065550203": 1,
        }  # fmt: skip
        assert batches <= EVENTS // 500 + 1
        assert longest < 5, "seconds of CPU that a batch of the hot customer takes"
