"""What comes back: SendGrid's events about a campaign, by batches of a thousand, signed and verified.

A campaign of 20,000 is sent; then "processed" and "delivered" of each come in over HTTP, as they do,
mixed and in no order, each batch answered 2xx when it is committed. CPU is the web process's and, on
PostgreSQL, the server's.
"""

import random
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import orjson
from sqlalchemy import text

from benchmarks._house import House, house
from benchmarks._postgres import postgres
from benchmarks._processes import cpu_seconds
from signalpost.postoffice.config import new_sendgrid_keypair
from signalpost.postoffice.signing import EventSigner
from signalpost.vendors import SENDGRID_EVENTS

PEOPLE = 20_000
BATCH = 1_000
COHORT = "readers"
BOUND_CPU_MS = 0.2
BOUND_RATE = 5_000

Row = dict[str, Any]


def _events(made: House) -> list[Row]:
    query = text(
        "SELECT m.id, d.id, d.provider_id, m.address FROM messages m"
        " JOIN deliveries d ON d.message_id = m.id WHERE m.campaign_run_id IS NOT NULL"
    )
    with made.app.database.reading() as session:
        rows = session.execute(query).all()
    return [
        {
            "email": address,
            "event": kind,
            "timestamp": int(time.time()),
            "sg_event_id": uuid.uuid4().hex,
            "sg_message_id": f"{provider_id}.recvd-canary-1",
            "smtp-id": f"<{provider_id}@geopod-ismtpd-1>",
            "x_message_id": message_id,
            "x_delivery_id": delivery_id,
            "category": ["marketing"],
            **({"response": "250 OK"} if kind == "delivered" else {}),
        }
        for message_id, delivery_id, provider_id, address in rows
        for kind in ("processed", "delivered")
    ]


def _requests(made: House, events: list[Row], signer: EventSigner) -> Iterator[Any]:
    random.Random(7).shuffle(events)
    for start in range(0, len(events), BATCH):
        body = orjson.dumps(events[start : start + BATCH])
        headers = {"Content-Type": "application/json", **signer.headers(body)}
        yield urllib.request.Request(f"{made.settings.web_url}{SENDGRID_EVENTS}", body, headers)


def measure(database: str | None = None, server: int | None = None) -> tuple[float, float]:
    """Give events a second, and ms of CPU for each."""
    private, public = new_sendgrid_keypair()
    given = {"database_url": database} if database else {}
    with house({COHORT: PEOPLE}, sendgrid_webhook_public_keys=public, **given) as made:
        with made.prefect(), made.worker("marketing"):
            made.send(COHORT)
        with made.web() as web:
            counted = {web.pid: "web"} | ({server: "PostgreSQL"} if server else {})
            sent = list(_requests(made, _events(made), EventSigner(private)))
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            used, began = sum(cpu_seconds(counted).values()), time.perf_counter()
            for one in sent:
                with opener.open(one, timeout=60) as answer:
                    assert answer.status // 100 == 2
            took = time.perf_counter() - began
            used = sum(cpu_seconds(counted).values()) - used
        _check(made)
    return PEOPLE * 2 / took, used * 1_000 / (PEOPLE * 2)


def _check(made: House) -> None:
    query = text(
        "SELECT count(*) FROM messages WHERE status = 'delivered' AND campaign_run_id IS NOT NULL"
    )
    with made.app.database.reading() as session:
        delivered = session.execute(query).scalar_one()
    if delivered != PEOPLE:
        raise RuntimeError(f"{delivered} of {PEOPLE} messages are delivered by the record")


def run() -> list[Row]:
    """Measure on SQLite, then on PostgreSQL."""
    rate, cpu = measure()
    with postgres() as server:
        pg_rate, pg_cpu = measure(server.url, server.pid)
    return [_row("SQLite", rate, cpu), _row("PostgreSQL", pg_rate, pg_cpu)]


def _row(database: str, rate: float, cpu: float) -> Row:
    return {
        "name": f"SendGrid's events taken in, by {BATCH:,}, {database}",
        "value": round(rate),
        "unit": "events/s",
        "bound": f">= {BOUND_RATE}",
        "holds": rate >= BOUND_RATE and cpu <= BOUND_CPU_MS,
        "peers": {f"CPU an event, ms (<= {BOUND_CPU_MS})": round(cpu, 3)},
    }


if __name__ == "__main__":
    for result in run():
        sys.stdout.write(f"{result}\n")
