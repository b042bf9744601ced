"""CloudEvents and signed webhooks: each refusal says where and what to do, each repeat the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select
from standardwebhooks import Webhook

from signalpost.record.customers import ContactPoint
from signalpost.record.database import Database
from tests.integration.intake_harness import SECRETS, Intake

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
FRAUD = {
    "transaction_id": "T-1",
    "merchant": "XYZ store",
    "amount": "1200.00",
    "currency": "USD",
    "occurred_at": "2026-03-01T09:58:00Z",
    "user_id": "u1",
}


@pytest.fixture
def intake(database: Database) -> Iterator[Intake]:
    running = Intake(database, now=NOW)
    yield running
    running.committer.close()


def cloud_event(**rest: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/risk",
        "type": "fraud.signalled",
        "time": "2026-03-01T09:59:00Z",
        "data": FRAUD,
    } | rest


def structured(intake: Intake, event: Any, **rest: Any) -> Any:
    return intake.post(
        "/v1/events",
        content=json.dumps(event),
        headers={"content-type": "application/cloudevents+json; charset=utf-8"},
        **rest,
    )


def signed(
    intake: Intake,
    body: Any,
    *,
    secret: str = SECRETS[0],
    age: timedelta = timedelta(),
    **rest: Any,
) -> Any:
    text = json.dumps(body)
    at = datetime.now(UTC) - age
    message_id = rest.get("message_id", "msg-1")
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, text),
    } | rest.get("headers", {})
    return intake.post("/v1/events", content=rest.get("sent", text), headers=headers, auth=None)


def test_a_structured_event_is_kept(intake: Intake) -> None:
    answer = structured(intake, cloud_event())
    [event] = intake.events()
    assert answer.status_code == 202
    assert answer.json() == {
        "results": [
            {"id": "e-1", "status": "accepted", "reason": None, "event_id": event.id, "code": 202}
        ]
    }
    assert event.facts["amount"] == {"amount": "1200.00", "currency": "USD"}
    assert event.occurred_at == NOW - timedelta(minutes=1)


def test_binary_and_structured_are_the_same_event(intake: Intake) -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "e-1",
        "ce-source": "%2Frisk",
        "ce-type": "fraud.signalled",
        "ce-time": "2026-03-01T09:59:00Z",
        "content-type": "application/json",
    }
    one = intake.post("/v1/events", content=json.dumps(FRAUD, indent=3), headers=headers)
    other = structured(intake, cloud_event())
    assert (one.status_code, other.status_code) == (202, 202)
    assert one.json() == other.json()
    assert len(intake.events()) == len(intake.arrivals) == 1


def test_the_same_id_with_another_body_is_409_and_visible(intake: Intake) -> None:
    structured(intake, cloud_event())
    answer = structured(intake, cloud_event(data=FRAUD | {"merchant": "Another"}))
    assert answer.status_code == 409
    assert "another body" in answer.json()["results"][0]["reason"]
    assert [e.status for e in intake.events()] == ["accepted", "conflict"]
    assert len(intake.arrivals) == 1


def test_in_a_batch_each_event_stands_for_itself(intake: Intake) -> None:
    without = {key: value for key, value in FRAUD.items() if key != "merchant"}
    batch = [
        cloud_event(id="1"),
        cloud_event(id="2", data=without),
        "no event",
        cloud_event(id="1", data=FRAUD | {"merchant": "Another"}),
        cloud_event(id="4"),
    ]
    answer = intake.post(
        "/v1/events",
        content=json.dumps(batch),
        headers={"content-type": "application/cloudevents-batch+json"},
    )
    results = answer.json()["results"]
    assert answer.status_code == 207
    assert [r["code"] for r in results] == [202, 400, 400, 409, 202]
    assert "merchant" in results[1]["reason"]
    assert results[1]["where"] == "[1].data"
    assert len(intake.arrivals) == 2


@pytest.mark.parametrize(
    ("event", "where"),
    [
        (cloud_event(specversion="0.3"), "specversion"),
        (cloud_event(id=""), "id"),
        (cloud_event(id="x" * 300), "id"),
        (cloud_event(source=None), "source"),
        (cloud_event(source="a b"), "source"),
        (cloud_event(type="Not a name!", data={}), "type"),
        (cloud_event(type=7), "type"),
        (cloud_event(time="noon"), "time"),
        (cloud_event(data="text"), "data"),
        (cloud_event(data=FRAUD | {"amount": "much"}), "data"),
        (cloud_event(data=FRAUD | {"occurred_at": None}), "data"),
        (cloud_event(data=FRAUD | {"customer": "Ann"}), "data.customer"),
        (cloud_event(data_base64="aGk="), "data_base64"),
        ([], None),
    ],
)
def test_a_refusal_says_where_and_keeps_nothing(
    intake: Intake, event: Any, where: str | None
) -> None:
    answer = structured(intake, event)
    assert answer.status_code == 400
    assert answer.json()["where"] == where
    assert answer.json()["detail"]
    assert intake.events() == []


def test_missing_facts_are_named_with_the_remedy(intake: Intake) -> None:
    answer = structured(intake, cloud_event(data={"transaction_id": "T", "merchant": "M"}))
    assert "amount is missing" in answer.json()["detail"]
    assert '"currency"' in answer.json()["detail"]


@pytest.mark.parametrize("auth", [None, ("wrong", "")])
def test_without_key_or_signature_it_is_401(intake: Intake, auth: Any) -> None:
    assert structured(intake, cloud_event(), auth=auth).status_code == 401
    assert intake.events() == []


def test_the_write_key_may_be_a_bearer_token(intake: Intake) -> None:
    answer = intake.post(
        "/v1/events",
        {"id": "1", "type": "order.placed", "data": {"order_id": "1", "total": 2}},
        auth=None,
        headers={"authorization": "Bearer write-key"},
    )
    assert (answer.status_code, answer.json()["results"][0]["status"]) == (202, "guest")


@pytest.mark.parametrize("secret", SECRETS)
def test_a_webhook_signed_with_either_secret_is_kept_once(intake: Intake, secret: str) -> None:
    body = {"type": "fraud.signalled", "timestamp": "2026-03-01T09:59:00Z", "data": FRAUD}
    answers = [signed(intake, body, secret=secret) for _ in range(2)]
    assert [a.status_code for a in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert len(intake.events()) == 1


@pytest.mark.parametrize(
    "rest",
    [
        {"secret": "whsec_c29tZWJvZHkgZWxzZXM="},
        {"age": timedelta(minutes=6)},
        {"age": timedelta(minutes=-6)},
        {"sent": '{"type":"fraud.signalled","data":{}}'},
        {"headers": {"webhook-id": "another"}},
        {"headers": {"webhook-signature": "v1,!!!"}},
        {"headers": {"webhook-signature": "nonsense"}},
        {"headers": {"webhook-timestamp": "soon"}},
    ],
)
def test_a_forged_or_old_signature_is_401(intake: Intake, rest: dict[str, Any]) -> None:
    answer = signed(intake, {"type": "fraud.signalled", "data": FRAUD}, **rest)
    assert answer.status_code == 401
    assert intake.events() == []


def test_the_data_says_who(intake: Intake) -> None:
    customer = {
        "id": "u9",
        "email": "Ann@Example.com",
        "phone": "+14155552671",
        "first_name": "Ann",
    }
    data = {"order_id": "1", "total": 5, "customer": customer}
    structured(intake, cloud_event(type="order.placed", data=data))
    with intake.database.reading() as session:
        points = {p.address for p in session.exec(select(ContactPoint))}
    assert {"ann@example.com", "+14155552671"} < points


def test_the_subject_may_be_the_user_id(intake: Intake) -> None:
    data = {"order_id": "1", "total": 5}
    structured(intake, cloud_event(type="order.placed", data=data, subject="u1"))
    structured(intake, cloud_event(id="2", type="page.viewed", data={"user_id": "u1"}))
    assert len({e.customer_id for e in intake.events()}) == 1


def test_when_the_database_is_away_it_is_503_and_to_be_sent_again(
    database: Database, intake: Intake, tmp_path: Any
) -> None:
    from signalpost.record.database import open_engine

    away = open_engine("postgresql://nobody@127.0.0.1:1/none")
    intake.committer._database = Database(away)
    for answer in (structured(intake, cloud_event()), intake.post("/v1/track", {"event": "x.y"})):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
    intake.committer._database = database
    assert structured(intake, cloud_event()).status_code == 202
    assert len(intake.events()) == 1


def test_a_full_queue_refuses_and_says_when_to_come_again(database: Database) -> None:
    import asyncio
    import threading

    from signalpost.services.intake.signals import Signal, SignalPolicy
    from signalpost.web.intake import Committer, Unavailable

    gate, inside = threading.Event(), threading.Event()

    def slow(*_: Any) -> None:
        inside.set()
        gate.wait(10)

    committer = Committer(
        database=database,
        react=slow,
        policy=SignalPolicy(fingerprints=None),
        clock=lambda: NOW,
        most_waiting=2,
    )

    def signal(n: int) -> Signal:
        return Signal(
            message_id=str(n),
            source="t",
            name="a.b",
            occurred_at=NOW,
            body_hash="",
            identities={"user_id": "u"},
        )

    async def crowd() -> list[Any]:
        first = asyncio.create_task(committer.submit([signal(1)]))
        await asyncio.to_thread(inside.wait, 10)
        second = asyncio.create_task(committer.submit([signal(2), signal(3)]))
        await asyncio.sleep(0)
        third = committer.submit([signal(4)])
        refused = await asyncio.gather(third, return_exceptions=True)
        gate.set()
        return [*refused, *await first, *await second]

    refused, *kept = asyncio.run(crowd())
    committer.close()
    assert isinstance(refused, Unavailable)
    assert [a.status for a in kept] == ["accepted"] * 3
