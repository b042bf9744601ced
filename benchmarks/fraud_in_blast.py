"""Fraud alerts while a campaign goes out to 100,000: from the signal to the request at Twilio.

As ``signalpost up`` runs it: web, risk worker, marketing worker and Prefect in processes of their own,
one record between them. A signal comes in by HTTP; the clock runs from before its request until the
stand-in for Twilio has ours. Alerts come at a steady pace, whether the ones before them are through or
not, and only while a campaign is being sent; there are as many campaigns as it takes. Then the same
without a campaign, and how many signals of shops are taken in, with one and without.
"""

import asyncio
import base64
import json
import os
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from benchmarks import signals
from benchmarks._house import WARM_UP, House, house, wait
from benchmarks._postgres import postgres
from benchmarks.fraud_latency import Twilio
from signalpost.services.campaigns.runs import Run

PEOPLE = int(os.environ.get("BENCH_PEOPLE", "100000"))
ALERTS, IDLE_ALERTS = (100, 20) if PEOPLE >= 100_000 else (10, 5)
EVERY = 0.5  #: seconds between alerts
MOST_BLASTS = 6
BOUND = 1.5
BATCH = 100  #: signals of a request, where intake is measured
INTAKE = "intake"

Row = dict[str, Any]


@dataclass
class Blasts:
    """What came of it. ``alerts`` and ``idle``: seconds from signal to request."""

    alerts: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)  #: seconds until a signal was answered
    rates: list[float] = field(default_factory=list)  #: messages/s of each campaign
    intake: list[float] = field(default_factory=list)  #: signals/s: idle, in a campaign


class Alerts:
    """Sends fraud signals and knows when their alerts came."""

    def __init__(self, made: House, twilio: Twilio) -> None:
        self._made, self._twilio = made, twilio
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._number = 0
        self.sent: dict[str, float] = {}
        self.answered: list[float] = []  #: seconds until each was answered

    def signal(self) -> None:
        """Let a fraud be signalled."""
        self._number += 1
        merchant = f"Merchant{self._number}"
        body = {
            "messageId": f"fraud-{self._number}",
            "userId": f"u{self._number}",
            "event": "fraud.signalled",
            "properties": {
                "transaction_id": merchant,
                "merchant": merchant,
                "amount": "249.00",
                "currency": "USD",
                "occurred_at": datetime.now(UTC).isoformat(),
            },
            "context": {"traits": {"phone": f"+1206555{self._number:04d}"}},
        }
        request = urllib.request.Request(
            f"{self._made.settings.web_url}/v1/track",
            json.dumps(body).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": "Basic " + base64.b64encode(f"{signals.KEY}:".encode()).decode(),
            },
        )
        began = self.sent[merchant] = time.perf_counter()
        with self._opener.open(request, timeout=60) as answer:
            answer.read()
        self.answered.append(time.perf_counter() - began)

    def take(self) -> list[float]:
        """Wait for the alerts of what was signalled since last time; gives their seconds."""
        waited_for, self.sent = self.sent, {}
        return [
            self._twilio.wait_for(merchant, 120) - began for merchant, began in waited_for.items()
        ]


def _steadily(alerts: Alerts, goes_on: Any) -> None:
    """Signal at a steady pace, each in a thread of its own, as long as ``goes_on()``."""
    threads = []
    due = time.perf_counter()
    while goes_on():
        threads.append(threading.Thread(target=alerts.signal))
        threads[-1].start()
        due += EVERY
        time.sleep(max(0.0, due - time.perf_counter()))
    for one in threads:
        one.join()


def _begun(made: House, cohort: str) -> Run:
    """Launch a campaign; returns when its first messages have come to the sink."""
    before = made.sink.count()["messages"]
    run = made.start(made.launch(cohort))
    wait(lambda: made.sink.count()["messages"] > before, 60, watched=[*made.started.values()])
    return run


def _blasts(made: House, alerts: Alerts, cohorts: list[str], found: Blasts) -> None:
    for cohort in cohorts:
        if len(found.alerts) >= ALERTS:
            return
        run = _begun(made, cohort)
        _steadily(alerts, lambda run=run: made.run(run).status == "running")
        found.alerts += alerts.take()
        over = made.until_over(run)
        found.rates.append(PEOPLE / made.sending_seconds(over))


def _idle(alerts: Alerts, found: Blasts) -> None:
    turns = iter(range(IDLE_ALERTS))
    _steadily(alerts, lambda: next(turns, None) is not None)
    found.idle += alerts.take()


def _intake(made: House, found: Blasts) -> None:
    """Take in shops' signals by batches, some seconds without a campaign and some with one."""
    port = made.settings.web_port
    many = 3_000 if PEOPLE >= 100_000 else 500

    def take() -> float:
        sent = signals.bodies(many, BATCH)
        began = time.perf_counter()
        asyncio.run(signals._post_all(port, "/v1/batch", sent, 8))
        return many / (time.perf_counter() - began)

    found.intake.append(take())
    run = _begun(made, INTAKE)
    found.intake.append(take())
    made.until_over(run)


@contextmanager
def _twilio() -> Iterator[Twilio]:
    twilio = Twilio()
    serving = threading.Thread(target=twilio.serve_forever, daemon=True)
    serving.start()
    try:
        yield twilio
    finally:
        twilio.shutdown()
        twilio.server_close()


def measure(database: str | None = None) -> Blasts:
    """Measure on one database, SQLite unless told."""
    cohorts = [f"blast-{number}" for number in range(MOST_BLASTS)]
    found = Blasts()
    with ExitStack() as stack:
        twilio = stack.enter_context(_twilio())
        made = stack.enter_context(
            house(
                dict.fromkeys((*cohorts, INTAKE), PEOPLE),
                database_url=database,
                twilio_base_url=f"http://127.0.0.1:{twilio.server_port}",
                write_key=signals.KEY,
            )
        )
        stack.enter_context(made.prefect())
        stack.enter_context(made.web())
        stack.enter_context(made.worker("risk"))
        stack.enter_context(made.worker("marketing"))
        made.send(WARM_UP)
        alerts = Alerts(made, twilio)
        alerts.signal()
        alerts.take()  # the risk lane is warm
        _idle(alerts, found)
        alerts.answered.clear()
        _blasts(made, alerts, cohorts, found)
        found.answers = alerts.answered
        _intake(made, found)
    return found


def p99(seconds: list[float]) -> float:
    """Give the value that 99 of 100 stay under."""
    return statistics.quantiles(seconds, n=100, method="inclusive")[-1]


def run() -> list[Row]:
    """Measure on SQLite, then on PostgreSQL."""
    on_sqlite = measure()
    with postgres() as server:
        on_postgres = measure(server.url)
    return [_row("SQLite", on_sqlite), _row("PostgreSQL", on_postgres)]


def _row(database: str, found: Blasts) -> Row:
    enough = len(found.alerts) >= ALERTS
    return {
        "name": f"fraud signal to request at the provider, p99, while {PEOPLE:,} emails go out, "
        f"{database}",
        "value": round(p99(found.alerts), 3),
        "unit": "s",
        "bound": f"<= {BOUND}",
        "holds": p99(found.alerts) <= BOUND and enough,
        "peers": {
            "alerts": len(found.alerts),
            "median": round(statistics.median(found.alerts), 3),
            "slowest": round(max(found.alerts), 3),
            "median until the signal is answered": round(statistics.median(found.answers), 3),
            "slowest until the signal is answered": round(max(found.answers), 3),
            "median without a campaign": round(statistics.median(found.idle), 3),
            "slowest without a campaign": round(max(found.idle), 3),
            "the campaign meanwhile, messages/s": round(statistics.median(found.rates)),
            f"signals/s in batches of {BATCH}, without a campaign": round(found.intake[0]),
            f"signals/s in batches of {BATCH}, during one": round(found.intake[1]),
        },
    }


if __name__ == "__main__":
    for result in run():
        sys.stdout.write(json.dumps(result) + "\n")
