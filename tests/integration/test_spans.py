"""Spans: one trace from the signal to the receipt, with ids only, and none when nobody collects."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from uuid import UUID

import pytest

from signalpost.domain.delivery import Receipt
from signalpost.domain.vocabulary import ReceiptKind
from signalpost.errors import ConfigurationError
from signalpost.providers.measured import Measured
from signalpost.record.events import Event
from signalpost.record.messages import Message
from signalpost.services.inbound import receipts
from signalpost.services.watching import spans
from signalpost.telemetry import traces
from signalpost.testing import Stage
from tests.integration.campaign_engine import campaign, go, people
from tests.integration.front_harness import open_front

pytest.importorskip("opentelemetry.sdk")


@pytest.fixture
def collected():
    """Whatever spans end from here on."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    traces.collect(SimpleSpanProcessor(exporter), process="tests")
    yield exporter.get_finished_spans
    traces.close()


@pytest.fixture
def front(tmp_path):
    """The product, its providers timed as in production."""
    with open_front(tmp_path) as opened:
        desk = opened.stage.desk
        timed = {channel: Measured(one) for channel, one in desk.providers.items()}
        object.__setattr__(desk, "providers", timed)
        yield opened


def ready(user: str, phone: str) -> dict:
    """A Segment event: an order is ready for pickup."""
    return {
        "type": "track",
        "event": "Order Ready For Pickup",
        "userId": user,
        "messageId": f"m-{user}",
        "timestamp": "2026-03-02T08:59:00Z",
        "properties": {"order_id": f"order-of-{user}", "phone": phone},
        "context": {"traits": {"phone": phone}},
    }


def alert(user: str, transaction: str) -> dict:
    """A CloudEvent-like signal of a suspicious transaction."""
    return {
        "type": "track",
        "event": "fraud.signalled",
        "userId": user,
        "messageId": f"m-{transaction}",
        "timestamp": "2026-03-02T08:59:00Z",
        "properties": {
            "transaction_id": transaction,
            "merchant": "Canary Jewellers",
            "amount": "249.00",
            "currency": "USD",
            "occurred_at": "2026-03-02T08:59:00Z",
        },
        "context": {"traits": {"phone": "+12065557777"}},
    }


def receipt(front, message: Message) -> None:
    """Let the provider say that a message arrived."""
    said = Receipt(
        provider="outbox",
        keys=(f"key-{message.id}",),
        kind=ReceiptKind.DELIVERED,
        at=datetime.now(UTC),
        message_id=message.id,
    )
    with front.stage.database.writing() as session:
        receipts.record(session, given=[said], now=front.stage.clock())
        spans.of_receipts(session, given=[said])


def test_one_trace_leads_from_the_signal_to_the_receipt(front, collected):
    """Web, worker and webhook know nothing of each other; the event's id is the trace of all three."""
    assert front.batch(alert("c", "T1")).status_code == 200
    front.stage.run_due()
    sms = next(one for one in front.rows(Message) if one.channel == "sms")
    receipt(front, sms)

    [event] = front.rows(Event)
    mine = [one for one in collected() if one.context.trace_id == UUID(event.id).int]
    names = {one.name for one in mine}
    assert {"signal", "journey.ask", "decision", "provider.request", "receipt"} <= names
    [signal] = [one for one in mine if one.name == "signal"]
    known = {one.context.span_id: one for one in mine}

    def first_of(span):
        while span.parent is not None:
            span = known[span.parent.span_id]
        return span

    assert {first_of(one).context.span_id for one in mine} == {signal.context.span_id}
    [request] = [
        one
        for one in mine
        if one.name == "provider.request" and one.attributes["signalpost.channel"] == "sms"
    ]
    assert request.attributes["signalpost.message"] == sms.id


def test_a_batch_is_linked_to_every_signal_that_it_is_about(front, collected):
    """Two people at one step: the step's span is linked to both their signals."""
    for name in ("ann", "bo"):
        front.stage.signal(
            "order.ready_for_pickup", user_id=name, phone=f"+1206555010{len(name)}", order_id=name
        )
    front.stage.run_due()
    events = {UUID(one.id).int for one in front.rows(Event)}
    linked = [{link.context.trace_id for link in one.links} for one in collected()]
    assert events in linked


def test_every_batch_of_a_run_is_in_the_trace_of_the_run(tmp_path, collected):
    """A campaign's sender, on whichever machine, writes into the trace that the start began."""
    with Stage(folder=tmp_path, journeys=()) as stage:
        people(stage, 3)
        run_id = go(stage, campaign())
    mine = [one for one in collected() if one.context.trace_id == UUID(run_id).int]
    assert {"campaign", "decision", "campaign.batch"} <= {one.name for one in mine}
    [first] = [one for one in mine if one.name == "campaign"]
    others = [one for one in mine if one is not first]
    assert {one.parent.span_id for one in others if one.name != "provider.request"} == {
        first.context.span_id
    }


def test_spans_hold_ids_and_numbers_only(front, collected):
    """No address, no merchant, no name: a collector is somebody else's machine."""
    front.batch(alert("c", "T1"))
    front.stage.run_due()
    said = repr(
        [
            (one.name, dict(one.attributes), one.events, one.status.description)
            for one in collected()
        ]
    )
    assert collected()
    assert [word for word in ("+1206", "Canary", "249.00", "userId") if word in said] == []


def test_without_a_collector_there_are_no_spans(front):
    """Nobody collects: nothing is imported, and a span is the same empty context each time."""
    assert not traces.is_on()
    assert traces.span("x", causes=["e"]) is traces.span("y")
    front.batch(alert("c", "T1"))
    front.stage.run_due()
    assert front.rows(Message)


def test_a_collector_without_the_packages_is_said_to_need_them():
    """The setting alone is not enough: the sentence says what to install."""
    if importlib.util.find_spec("opentelemetry.exporter") is not None:
        pytest.skip("the exporter is installed here")
    with pytest.raises(ConfigurationError, match=r"signalpost\[telemetry\]"):
        traces.set_up(url="http://127.0.0.1:4318", process="web")
    traces.set_up(url=None, process="web")
    assert not traces.is_on()
