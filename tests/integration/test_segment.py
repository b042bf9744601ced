"""Segment's tracking API: official clients work unchanged, and refusals are clear."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from signalpost.record.consents import Consent
from signalpost.record.customers import ContactPoint, Customer, Identity, Merge
from signalpost.record.database import Database
from tests.integration.intake_harness import WRITE_KEY, Intake

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.fixture
def intake(database: Database) -> Iterator[Intake]:
    running = Intake(database, now=NOW)
    yield running
    running.committer.close()


def track(event: str, properties: Any = None, **rest: Any) -> dict[str, Any]:
    return {"type": "track", "event": event, "userId": "u1", "properties": properties or {}} | rest


def rows(intake: Intake, table: Any) -> list[Any]:
    with intake.database.reading() as session:
        return list(session.exec(select(table)))


def test_the_official_segment_client_works_unchanged(database: Database) -> None:
    from segment.analytics.client import Client

    intake = Intake(database)
    with intake.on_a_port() as address:
        errors: list[Any] = []
        client = Client(
            WRITE_KEY,
            host=address,
            gzip=True,
            on_error=lambda e, _: errors.append(e),
            max_retries=0,
        )
        client.identify("u1", {"email": "ann@example.com", "firstName": "Ann"})
        client.track("u1", "Order Completed", {"orderId": 50314, "total": 27.5, "products": []})
        client.page("u1", "Docs", "Python")
        client.screen("u1", "Home")
        client.group("u1", "g1", {"name": "Initech"})
        client.alias("anon-1", "u1")
        client.track(None, "Product Added", {"name": "Tea"}, anonymous_id="anon-1")
        client.shutdown()
    intake.committer.close()
    assert errors == []
    assert [(e.name, e.status) for e in intake.events()] == [
        ("customer.identified", "accepted"),
        ("order.placed", "accepted"),
        ("page.viewed", "accepted"),
        ("screen.viewed", "accepted"),
        ("customer.grouped", "accepted"),
        ("customer.aliased", "accepted"),
        ("cart.updated", "accepted"),
    ]
    assert len({e.customer_id for e in intake.events()}) == 1


def test_the_official_rudderstack_client_works_unchanged(database: Database) -> None:
    from rudderstack.analytics.client import Client

    intake = Intake(database)
    with intake.on_a_port() as address:
        errors: list[Any] = []
        client = Client(
            WRITE_KEY, host=address, on_error=lambda e, _: errors.append(e), max_retries=0
        )
        client.identify("u1", {"email": "ann@example.com"})
        client.track("u1", "Order Completed", {"order_id": "50314", "revenue": "27.50"})
        client.flush()
        client.join()
    intake.committer.close()
    assert errors == []
    assert [e.name for e in intake.events()] == ["customer.identified", "order.placed"]
    assert intake.events()[1].facts["total"] == {"amount": "27.50", "currency": "USD"}


def test_the_wire_shape_of_the_node_client_works(intake: Intake) -> None:
    """As @segment/analytics-node sends it: no writeKey in the body, an ``_metadata`` and library."""
    event = track("Order Completed", {"orderId": "1", "total": 3}) | {
        "messageId": "node-next-1700000000000-0b6b1f6e",
        "timestamp": "2026-03-01T09:59:59.000Z",
        "context": {"library": {"name": "@segment/analytics-node", "version": "2.2.0"}},
        "integrations": {},
        "_metadata": {"nodeVersion": "20.5.0", "jsRuntime": "node"},
    }
    answer = intake.post("/v1/batch", {"batch": [event], "sentAt": "2026-03-01T10:00:00.000Z"})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    [kept] = intake.events()
    assert (kept.name, kept.occurred_at) == ("order.placed", NOW - timedelta(seconds=1))


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t", "/v1/track/"])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/octet-stream"])
def test_any_content_type_and_every_path_is_taken(intake: Intake, path: str, kind: str) -> None:
    body = json.dumps(track("Cart Viewed"))
    answer = intake.post(path, content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [e.name for e in intake.events()] == ["cart.viewed"]


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("identify", {"userId": "u1", "traits": {}}, "customer.identified"),
        ("page", {"userId": "u1", "name": "Home"}, "page.viewed"),
        ("screen", {"userId": "u1", "name": "Home"}, "screen.viewed"),
        ("group", {"userId": "u1", "groupId": "g"}, "customer.grouped"),
        ("alias", {"userId": "u1", "previousId": "a"}, "customer.aliased"),
        ("import", {"batch": [{"type": "page", "userId": "u1"}]}, "page.viewed"),
        (
            "track",
            {"userId": "u1", "event": "order.picked_up", "properties": {"order_id": 1}},
            "order.picked_up",
        ),
        ("track", {"userId": "u1", "event": "Signed Up"}, "track.signed_up"),
        (
            "track",
            {"userId": "u1", "event": "ORDER CANCELLED", "properties": {"orderId": 1}},
            "order.cancelled",
        ),
    ],
)
def test_each_call_has_its_name_on_the_record(
    intake: Intake, path: str, body: dict[str, Any], name: str
) -> None:
    assert intake.post(f"/v1/{path}", body).status_code == 200
    assert [(e.name, e.status) for e in intake.events()] == [(name, "accepted")]


def test_the_write_key_may_come_in_the_body(intake: Intake) -> None:
    body = track("Cart Viewed") | {"writeKey": WRITE_KEY}
    assert intake.client.post("/v1/track", json=body).status_code == 200
    assert "writeKey" not in intake.events()[0].payload


@pytest.mark.parametrize(
    "rest",
    [
        {"auth": ("wrong", "")},
        {"auth": ("", WRITE_KEY)},
        {"auth": None},
        {"auth": None, "headers": {"authorization": "Basic !!!"}},
        {"auth": None, "headers": {"authorization": "Bearer wrong"}},
        {"auth": None, "headers": {"authorization": b"Basic \xe9"}},
    ],
)
def test_without_the_write_key_nothing_is_kept(intake: Intake, rest: dict[str, Any]) -> None:
    answer = intake.client.post("/v1/track", json=track("Cart Viewed"), **rest)
    assert answer.status_code == 401
    assert "write key" in answer.json()["detail"]
    assert intake.events() == []


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/events"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_post_is_taken(intake: Intake, path: str, method: str) -> None:
    assert intake.client.request(method, path, auth=(WRITE_KEY, "")).status_code == 405


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"\xff\xfe", 400),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
        (b'{"event":"x","userId":"u","properties":' + b"[" * 300 + b"]" * 300 + b"}", 400),
        (b'{"event":"' + b"x" * 33 * 1024 + b'"}', 400),
        (b'{"event":"' + b"x" * 501 * 1024 + b'"}', 413),
    ],
    ids=[
        "nothing",
        "half",
        "a list",
        "null",
        "no utf-8",
        "10,000 deep",
        "300 deep",
        "33 KB",
        "501 KB",
    ],
)
def test_what_cannot_be_read_is_refused_clearly(
    intake: Intake, content: bytes, status: int
) -> None:
    answer = intake.post("/v1/track", content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert intake.events() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"batch": [{"type": "page", "userId": "u"}] * 2_501}, 400),
        ({"batch": "no list"}, 400),
        ({}, 400),
        ({"batch": [{"type": "page", "userId": "u", "name": "x" * 40_000}]}, 400),
        ({"batch": []}, 200),
    ],
    ids=["too many", "no list", "none", "one too large", "empty"],
)
def test_the_limits_of_a_batch(intake: Intake, body: dict[str, Any], status: int) -> None:
    assert intake.post("/v1/batch", body).status_code == status
    assert intake.events() == []


def test_a_packed_bomb_is_refused_without_unpacking_it(intake: Intake) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    answer = intake.post("/v1/batch", content=bomb, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("content", "encoding", "status"),
    [(b"not gzip", "gzip", 400), (gzip.compress(b"{}")[:-9], "gzip", 400), (b"{}", "br", 415)],
    ids=["no gzip", "cut short", "unknown"],
)
def test_broken_packing_is_refused(
    intake: Intake, content: bytes, encoding: str, status: int
) -> None:
    answer = intake.post("/v1/batch", content=content, headers={"content-encoding": encoding})
    assert answer.status_code == status


def test_one_bad_event_is_parked_and_its_batch_is_kept(intake: Intake) -> None:
    good = track("Cart Viewed")
    bad: list[Any] = [
        "no object",
        None,
        {"type": "track", "userId": "u1"},
        {"type": "dance", "userId": "u1"},
        track("Order Completed", {"orderId": "1", "total": {"a": 1}}),
        {"type": "track", "event": 7, "userId": ["u1"], "properties": [], "context": 3},
    ]
    answer = intake.post("/v1/batch", {"batch": [good, *bad, good]})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    statuses = [e.status for e in intake.events()]
    assert sorted(statuses) == ["accepted", "accepted"] + ["parked"] * len(bad)
    assert all(e.reason for e in intake.events() if e.status == "parked")


def test_a_retry_by_the_client_changes_nothing(intake: Intake) -> None:
    event = track("Order Completed", {"orderId": "1", "total": 2}, messageId="m1")
    for sent_at in ("2026-03-01T10:00:00Z", "2026-03-01T10:00:07Z"):
        body = {"batch": [event], "sentAt": sent_at}
        assert intake.post("/v1/batch", body).json() == {"success": True}
        assert intake.post("/v1/track", event | {"sentAt": sent_at}).json() == {"success": True}
    assert [e.message_id for e in intake.events()] == ["segment:m1"]
    assert len(intake.arrivals) == 1


def test_a_wrong_clock_at_the_client_is_corrected(intake: Intake) -> None:
    """timestamp = receivedAt - (sentAt - originalTimestamp): a day ahead, an hour ago."""
    event = track("Cart Viewed", timestamp="2026-03-02T09:00:00+00:00")
    intake.post("/v1/batch", {"batch": [event], "sentAt": "2026-03-02T10:00:00Z"})
    assert intake.events()[0].occurred_at == NOW - timedelta(hours=1)


@pytest.mark.parametrize("stated", ["yesterday", {}, [], True, "9999-12-31T23:59:59-14:00", 1e300])
def test_a_time_that_is_none_counts_as_now(intake: Intake, stated: Any) -> None:
    intake.post("/v1/track", track("Cart Viewed", timestamp=stated))
    [event] = intake.events()
    assert (event.occurred_at, event.reason) == (NOW, "bad_timestamp")


def test_context_says_who_and_where(intake: Intake) -> None:
    context = {
        "locale": "th-TH",
        "timezone": "Asia/Bangkok",
        "device": {"id": "d-1"},
        "traits": {"email": "ann@example.com", "phone": "081 234 5678"},
        "consent": {"categoryPreferences": {"Marketing": True, "Analytics": False}},
    }
    intake.post("/v1/track", track("Cart Viewed", context=context))
    [customer] = rows(intake, Customer)
    assert (customer.locale, customer.zone) == ("th-TH", "Asia/Bangkok")
    assert {i.kind for i in rows(intake, Identity)} == {"user_id", "device_id", "email", "phone"}
    assert "+66812345678" in {p.address for p in rows(intake, ContactPoint)}
    [consent] = rows(intake, Consent)
    assert (consent.channel, consent.status) == ("*", "granted")


def test_a_guests_order_with_an_email_leads_to_somebody(intake: Intake) -> None:
    body = {
        "event": "Order Completed",
        "properties": {"order_id": "1", "total": 1, "email": "a@example.com"},
    }
    intake.post("/v1/track", body)
    [event] = intake.events()
    assert event.status == "accepted"
    assert {p.address for p in rows(intake, ContactPoint)} == {"a@example.com"}


def test_a_guests_order_without_anything_is_kept(intake: Intake) -> None:
    body = {"event": "Order Completed", "properties": {"order_id": "1", "total": 1}}
    assert intake.post("/v1/track", body).status_code == 200
    assert [e.status for e in intake.events()] == ["guest"]
    assert intake.arrivals == []


def test_an_anonymous_visitor_who_signs_up_is_one_person(intake: Intake) -> None:
    intake.post("/v1/page", {"anonymousId": "a1", "name": "Home"})
    intake.post("/v1/identify", {"userId": "u1", "anonymousId": "a1", "traits": {}})
    assert len(rows(intake, Customer)) == 1
    intake.post("/v1/page", {"anonymousId": "a2", "name": "Home"})
    intake.post("/v1/identify", {"userId": "u1", "anonymousId": "a2", "traits": {}})
    [merge] = rows(intake, Merge)
    assert merge.reason == "identify"
    assert {c.root_id for c in rows(intake, Customer)} == {merge.kept_id}
