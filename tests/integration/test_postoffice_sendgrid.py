"""SendGrid's own client, and others, send mail to the post office."""

import json

import pytest
from python_http_client.exceptions import BadRequestsError, UnauthorizedError
from sendgrid import SendGridAPIClient
from sendgrid.helpers.eventwebhook import EventWebhook
from sendgrid.helpers.mail import Mail

from tests.integration.postoffice_harness import KEY, PUBLIC, http, open_office, until

EVENTS = "/webhooks/sendgrid/events"


@pytest.fixture
def office(tmp_path):
    with open_office(tmp_path) as running:
        yield running


@pytest.fixture
def client(office):
    return SendGridAPIClient(KEY, host=office.url)


def mail(*people, **changes):
    return {
        "from": {"email": "orders@shop.example", "name": "Shop"},
        "personalizations": list(people) or [{"to": [{"email": "ann@example.com", "name": "Ann"}]}],
        "subject": "Your order",
        "content": [
            {"type": "text/plain", "value": "Hello -name-"},
            {"type": "text/html", "value": '<p>Hello -name-</p><a href="https://shop.example/1">o</a>'},
        ],
        **changes,
    }  # fmt: skip


def post(office, body, key=KEY, **options):
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return http.post(f"{office.url}/v3/mail/send", headers=headers, content=body, **options)


def events_of(office):
    return [event for hook in office.product.to(EVENTS) for event in json.loads(hook.body)]


def act(office, name, **wish):
    return http.post(f"{office.url}/postoffice/{name}", json=wish)


def messages(office, **query):
    return http.get(f"{office.url}/postoffice/messages", params=query).json()["messages"]


def test_the_official_client_sends_and_hears_back(office, client):
    answer = client.send(
        Mail("a@shop.example", "ann@example.com", "Hi", plain_text_content="Hello")
    )
    assert (answer.status_code, answer.body) == (202, b"")
    events = until(lambda: len(events_of(office)) == 2 and events_of(office))
    assert {event["event"] for event in events} == {"processed", "delivered"}
    for event in events:
        assert event["sg_message_id"].startswith(answer.headers["X-Message-Id"] + ".")
    assert len({event["sg_event_id"] for event in events}) == 2


def test_every_batch_is_signed_as_sendgrid_signs(office, client):
    client.send(Mail("a@shop.example", "ann@example.com", "Hi", plain_text_content="Hello"))
    hook = until(lambda: office.product.to(EVENTS))[0]
    signature = hook.headers["x-twilio-email-event-webhook-signature"]
    timestamp = hook.headers["x-twilio-email-event-webhook-timestamp"]
    validator = EventWebhook(PUBLIC)
    assert validator.verify_signature(hook.body.decode(), signature, timestamp)
    assert not validator.verify_signature(hook.body.decode() + " ", signature, timestamp)


def test_a_thousand_people_are_one_request_and_one_log_line(office, client):
    people = [
        {
            "to": [{"email": f"p{n}@example.com"}],
            "substitutions": {"-name-": f"P{n}"},
            "custom_args": {"x_message_id": f"m{n}"},
            "headers": {"List-Unsubscribe": f"<https://shop.example/u/{n}>"},
        }
        for n in range(1000)
    ]
    assert client.client.mail.send.post(request_body=mail(*people)).status_code == 202
    log = http.get(f"{office.url}/postoffice/log").json()["entries"]
    assert [entry["kind"] for entry in log].count("mail.accepted") == 1
    (one,) = messages(office, to="p7@example.com")
    assert (one["text"], one["custom_args"]) == ("Hello P7", {"x_message_id": "m7"})
    assert one["headers"] == {"List-Unsubscribe": "<https://shop.example/u/7>"}
    events = until(lambda: len(events_of(office)) == 2000 and events_of(office))
    assert {event["x_message_id"] for event in events} == {f"m{n}" for n in range(1000)}
    assert all(len(json.loads(hook.body)) <= 1000 for hook in office.product.to(EVENTS))


def test_one_bad_address_refuses_everybody(office, client):
    people = [{"to": [{"email": "ann@example.com"}]}, {"to": [{"email": "not an address"}]}]
    with pytest.raises(BadRequestsError) as refused:
        client.client.mail.send.post(request_body=mail(*people))
    (error,) = refused.value.to_dict["errors"]
    assert error["field"] == "personalizations.1.to.0.email"
    assert messages(office) == []


def test_a_wrong_key_is_401(office):
    with pytest.raises(UnauthorizedError):
        SendGridAPIClient("SG.wrong", host=office.url).send(
            Mail("a@shop.example", "ann@example.com", "Hi", plain_text_content="Hello")
        )
    assert http.post(f"{office.url}/v3/mail/send", content=b"{}").status_code == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 10_000, b"null", b"\xff", b'{"a":NaN}'])
def test_a_body_that_is_no_mail_is_400(office, body):
    answer = post(office, body)
    assert answer.status_code == 400
    assert answer.json()["errors"]


def test_more_than_30_megabytes_is_413_and_not_json(office):
    answer = post(office, b"x" * 30_000_001)
    assert (answer.status_code, answer.headers["content-type"][:9]) == (413, "text/html")


def test_sandbox_mode_sends_nothing(office):
    answer = post(
        office, json.dumps(mail(mail_settings={"sandbox_mode": {"enable": True}})).encode()
    )
    assert answer.status_code == 200
    assert messages(office) == []


def test_custom_args_are_flattened_and_reserved_names_win(office, client):
    wish = mail(custom_args={"x_message_id": "m1", "event": "forged"}, categories=["receipt"])
    client.client.mail.send.post(request_body=wish)
    until(lambda: len(events_of(office)) == 2)  # each comes by itself, in whatever order
    told = events_of(office)
    assert {event["event"] for event in told} == {"processed", "delivered"}
    assert {(event["x_message_id"], event["category"]) for event in told} == {("m1", "receipt")}


@pytest.mark.parametrize(
    ("local", "events", "status"),
    [
        ("bounce", ["processed", "bounce"], "bounced"),
        ("blocked", ["processed", "bounce"], "blocked"),
        ("deferred", ["processed", "deferred", "delivered"], "delivered"),
        ("dropped", ["dropped"], "dropped"),
        ("spamreport", ["processed", "delivered", "spamreport"], "delivered"),
        ("unsubscribe+tag", ["processed", "delivered", "unsubscribe"], "delivered"),
    ],
)
def test_magic_addresses_live_their_lives(office, client, local, events, status):
    client.send(Mail("a@shop.example", f"{local}@example.com", "Hi", plain_text_content="Hello"))
    until(lambda: len(events_of(office)) == len(events))
    (one,) = messages(office)
    assert [event["event"] for event in one["events"]] == events
    assert one["status"] == status


def test_after_a_hard_bounce_the_next_mail_is_dropped(office, client):
    for _ in range(2):
        before = len(events_of(office))
        client.send(Mail("a@shop.example", "bounce@example.com", "Hi", plain_text_content="Hello"))
        until(lambda before=before: len(events_of(office)) > before + (before == 0))
    dropped = until(lambda: [e for e in events_of(office) if e["event"] == "dropped"])[0]
    assert dropped["reason"] == "Bounced Address"
    lifted = client.client.suppression.bounces._("bounce@example.com").delete()
    assert lifted.status_code == 204


def test_a_person_opens_clicks_and_complains(office, client):
    client.client.mail.send.post(request_body=mail())
    assert act(office, "open", to="ann@example.com").json()["event"]["event"] == "open"
    clicked = act(office, "click", to="ann@example.com").json()["event"]
    assert clicked["url"] == "https://shop.example/1"
    assert act(office, "click", to="ann@example.com", url="https://evil.example").status_code == 400
    act(office, "spam", to="ann@example.com")
    act(office, "bounce", to="ann@example.com")
    wanted = {"open", "click", "spamreport", "bounce"}
    until(lambda: wanted <= {event["event"] for event in events_of(office)})


def test_tracking_that_is_off_tells_nothing(office, client):
    off = {"click_tracking": {"enable": False}, "open_tracking": {"enable": False}}
    client.client.mail.send.post(request_body=mail(tracking_settings=off))
    assert act(office, "open", to="ann@example.com").json() == {"event": None}
    assert act(office, "click", to="ann@example.com").json() == {"event": None}


def test_one_click_unsubscribe_is_a_post_to_the_header(office, client):
    headers = {
        "List-Unsubscribe": f"<{office.product.url}/u/token>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    client.client.mail.send.post(request_body=mail(headers=headers))
    assert act(office, "unsubscribe", to="ann@example.com").json() == {"status": 200}
    (hook,) = office.product.to("/u/token")
    assert hook.body == b"List-Unsubscribe=One-Click"
    assert "cookie" not in hook.headers


def test_a_batch_is_brought_again_until_it_is_taken(office, client):
    office.product.answers = [(503, ""), (500, "")]
    client.client.mail.send.post(request_body=mail())
    until(lambda: len(events_of(office)) >= 4)
    log = http.get(f"{office.url}/postoffice/log").json()["entries"]
    answers = [entry for entry in log if entry["kind"] == "webhook.answer"]
    assert {500, 503} <= {entry["status"] for entry in answers}
    ids = [event["sg_event_id"] for event in events_of(office)]
    assert len(set(ids)) == 2  # the same events, not new ones


def test_a_lost_send_is_found_by_address_and_time(office, client):
    client.client.mail.send.post(request_body=mail(custom_args={"x_message_id": "m1"}))
    query = (
        'to_email = "ann@example.com" AND sg_message_id_created_at > '
        'TIMESTAMP "2020-01-01T00:00:00Z"'
    )
    found = client.client.logs.post(request_body={"query": query, "limit": 10}).to_dict["messages"]
    assert [row["subject"] for row in found] == ["Your order"]
    detail = client.client.logs._(found[0]["sg_message_id"]).get().to_dict
    assert detail["custom_args"] == {"x_message_id": "m1"}
    none = {"query": "to_email = 'bob@example.com'"}
    assert client.client.logs.post(request_body=none).to_dict == {"messages": []}
    delivered = {"query": "status IN ('delivered', 'processed')"}
    assert until(lambda: client.client.logs.post(request_body=delivered).to_dict["messages"])
    with pytest.raises(BadRequestsError):
        client.client.logs.post(request_body={"query": "1 = 1; DROP"})


def test_the_key_can_be_checked_and_a_batch_id_had(office, client):
    assert "mail.send" in client.client.scopes.get().to_dict["scopes"]
    assert client.client.mail.batch.post().to_dict["batch_id"]
