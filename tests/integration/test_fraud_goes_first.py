"""An alert goes out while Prefect is away and both other lanes are as busy as they can be."""

import asyncio
import threading
import time

from flows.fraud_alert import FRAUD_ALERT
from signalpost.domain.journey import IN_APP, Journey, Send, first
from signalpost.domain.vocabulary import Lane
from signalpost.record.messages import Message
from signalpost.services.campaigns import sending
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import claim_due
from tests.integration.campaign_engine import launched, notice, people, rows
from tests.integration.test_worker_process import operator, stage, until, worker

__all__ = ["operator", "stage"]

BUSY = Journey(
    name="busy",
    lane=Lane.SERVICE,
    starts_on="order.ready_for_pickup",
    key="order_id",
    steps=[Send("pickup_ready", via=first(IN_APP))],
)


def test_an_alert_passes_a_campaign_and_a_full_service_lane(stage, operator, tmp_path):
    """A risk worker of its own, one record for all; the alert does not wait for the others' end."""
    operator.let_go.set()
    stage.restart([FRAUD_ALERT, BUSY])
    people(stage, 10_000)
    for number in range(200):
        stage.signal(
            "order.ready_for_pickup", user_id=f"s{number}", order_id=str(number), store="Leeds"
        )
    launched(stage, notice(channels={"every": ["email"]}))
    with worker(tmp_path, operator.url) as process:
        until(lambda: len(operator.bodies) == 1, process)  # it is up, and has sent the first alert
        over = threading.Event()
        others = [
            threading.Thread(target=campaign, args=(stage, over)),
            threading.Thread(target=service, args=(stage, over)),
        ]
        for one in others:
            one.start()
        until(lambda: len(stage.sent) > 1_000, process)
        began = time.monotonic()
        stage.signal(
            "fraud.signalled", user_id="eve", phone="+12065550199", transaction_id="T2",
            merchant="Other", amount="9.00", currency="USD", occurred_at=stage.clock().isoformat(),
        )  # fmt: skip
        until(lambda: len(operator.bodies) == 2, process)
        took, sent = time.monotonic() - began, len(stage.sent)
        over.set()
        for one in others:
            one.join(60)
    assert sent < 10_000, "the campaign was still going on"
    assert took < 10, f"the alert took {took:.1f} s"
    alerts = [m for m in rows(stage, Message) if m.message == "fraud_alert" and m.channel == "sms"]
    assert len(alerts) == 2
    assert {one.run_id for one in alerts} == {None}


def campaign(stage, over):
    [claim, *_] = sending.claim_shards(stage.desk, now=stage.clock(), limit=1)
    asyncio.run(sending.send_shard(stage.desk, claim=claim, run_id=None, stop=over.is_set))


def service(stage, over):
    while not over.is_set():
        for claim in claim_due(stage.desk, lane="service", now=stage.clock(), limit=20):
            units = Direct(stage.desk)
            asyncio.run(advance(stage.desk, claim_id=claim.id, units=units, run_id=None))
