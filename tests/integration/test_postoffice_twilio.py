"""Twilio's own client, and others, send messages to the post office."""

import asyncio
import base64

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from tests.integration.postoffice_harness import (
    ACCOUNT,
    ANN,
    OURS,
    SERVICE,
    TOKEN,
    http,
    open_office,
    until,
)

INBOUND = "/webhooks/twilio/inbound"


@pytest.fixture
def office(tmp_path):
    with open_office(tmp_path) as running:
        yield running


def client_of(office, user=ACCOUNT, secret=TOKEN):
    client = Client(user, secret, ACCOUNT)
    client.api.base_url = office.url
    return client


@pytest.fixture
def client(office):
    return client_of(office)


def send(client, **changes):
    return client.messages.create(**{"to": ANN, "from_": OURS, "body": "Hello", **changes})


def reply(office, body, **more):
    answer = http.post(f"{office.url}/postoffice/reply", json={"from": ANN, "body": body, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["message"]


def settled(client, sid, status):
    return until(lambda: client.messages(sid).fetch().status == status)


def thread(office, number=ANN):
    found = http.get(f"{office.url}/postoffice/messages", params={"to": number})
    return [message["text"] for message in found.json()["messages"]]


def test_the_official_client_sends(client):
    sms = send(client, body="ж" * 71)
    assert (sms.status, sms.num_segments, sms.direction) == ("queued", "2", "outbound-api")
    assert sms.date_sent is None
    settled(client, sms.sid, "delivered")
    assert client.messages(sms.sid).fetch().date_sent is not None


def test_the_async_client_sends(office):
    async def run():
        sender = AsyncTwilioHttpClient()
        client = Client(ACCOUNT, TOKEN, http_client=sender)
        client.api.base_url = office.url
        try:
            jobs = (
                client.messages.create_async(to=ANN, from_=OURS, body=str(n)) for n in range(50)
            )
            return await asyncio.gather(*jobs)
        finally:
            await sender.close()

    assert len({sms.sid for sms in asyncio.run(run())}) == 50
    assert sorted(map(int, thread(office))) == list(range(50))


def test_an_api_key_opens_the_account_too(office):
    assert send(client_of(office, user="SK" + "9" * 32)).sid
    assert client_of(office).api.accounts(ACCOUNT).fetch().status == "active"


@pytest.mark.parametrize(
    ("user", "secret"), [(ACCOUNT, "wrong"), ("AC" + "9" * 32, TOKEN), ("", "")]
)
def test_a_wrong_key_is_20003(office, user, secret):
    answer = http.post(
        f"{office.url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json", auth=(user, secret), data={}
    )
    assert (answer.status_code, answer.json()["code"]) == (401, 20003)


def test_a_messaging_service_chooses_its_sender_later(client):
    sms = send(client, from_=None, messaging_service_sid=SERVICE)
    assert (sms.status, sms.from_, sms.num_segments) == ("accepted", None, "0")
    settled(client, sms.sid, "delivered")
    found = client.messages(sms.sid).fetch()
    assert found.from_.startswith("+1202555")
    assert found.num_segments == "1"


def test_status_callbacks_are_signed_over_the_exact_address(office, client):
    url = f"{office.product.url}/cb?s=0192f1&m=a%2Fb%3D"
    sms = send(client, status_callback=url + "#rc=5&rp=all")
    hooks = until(lambda: len(office.product.hooks) == 2 and office.product.hooks)
    assert {hook.fields["MessageStatus"] for hook in hooks} == {"sent", "delivered"}
    for hook in hooks:
        assert hook.url == url
        assert hook.fields["MessageSid"] == sms.sid
        signature = hook.headers["x-twilio-signature"]
        assert RequestValidator(TOKEN).validate(url, hook.fields, signature)
        assert not RequestValidator(TOKEN).validate(url + "x", hook.fields, signature)


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        ("+15005553003", "undelivered", 30003),
        ("+15005553007", "undelivered", 30007),
        ("+15005553001", "failed", 30001),
    ],
)
def test_magic_numbers_fail_later_with_their_code(office, client, number, status, code):
    sms = send(client, to=number, status_callback=office.product.url + "/cb")
    settled(client, sms.sid, status)
    assert client.messages(sms.sid).fetch().error_code == code
    last = until(lambda: [h for h in office.product.hooks if h.fields["MessageStatus"] == status])
    assert last[0].fields["ErrorCode"] == str(code)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": "+15005550001"}, 21211),
        ({"to": "hello"}, 21211),
        ({"body": "a" * 1601}, 21617),
        ({"body": ""}, 21602),
        ({"validity_period": 36001}, 21624),
    ],
)
def test_a_refusal_has_twilios_code(client, changes, code):
    with pytest.raises(TwilioRestException) as refused:
        send(client, **changes)
    assert (refused.value.status, refused.value.code) == (400, code)


def test_the_list_is_newest_first_and_paged(client):
    for number in range(7):
        send(client, body=str(number))
    send(client, to="+14155550199", body="other")
    found = client.messages.list(to=ANN, page_size=3)
    assert [sms.body for sms in found] == ["6", "5", "4", "3", "2", "1", "0"]
    assert len(client.messages.list(from_=OURS)) == 8
    assert client.messages.list(to="+14155550000") == []


def test_a_message_is_redacted_and_deleted(client):
    sms = send(client, body="secret")
    settled(client, sms.sid, "delivered")
    assert client.messages(sms.sid).update(body="").body == ""
    assert client.messages(sms.sid).delete()
    with pytest.raises(TwilioRestException) as gone:
        client.messages(sms.sid).fetch()
    assert (gone.value.status, gone.value.code) == (404, 20404)


def test_a_scheduled_message_waits_and_can_be_cancelled(client):
    from datetime import UTC, datetime, timedelta

    sms = send(
        client,
        from_=None,
        messaging_service_sid=SERVICE,
        schedule_type="fixed",
        send_at=datetime.now(UTC) + timedelta(hours=1),
    )
    assert sms.status == "scheduled"
    assert client.messages(sms.sid).update(status="canceled").status == "canceled"


def test_a_reply_is_a_signed_webhook_and_twiml_comes_back(office, client):
    send(client)
    office.product.answers = [(200, "<Response><Message>Thanks &amp; bye</Message></Response>")]
    message = reply(office, "OK 4821")
    assert (message["from"], message["to"], message["direction"]) == (ANN, OURS, "inbound")
    (hook,) = until(lambda: office.product.to(INBOUND))
    assert (hook.fields["Body"], hook.fields["From"], hook.fields["To"]) == ("OK 4821", ANN, OURS)
    assert "OptOutType" not in hook.fields
    assert RequestValidator(TOKEN).validate(
        office.config.twilio_inbound_url, hook.fields, hook.headers["x-twilio-signature"]
    )
    until(lambda: thread(office) == ["Hello", "OK 4821", "Thanks & bye"])
    assert client.messages.list(to=OURS)[0].direction == "inbound"


def test_stop_is_obeyed_for_this_pair_until_start(office, client):
    send(client)
    reply(office, "Stop")
    (hook,) = until(lambda: office.product.to(INBOUND))
    assert hook.fields["OptOutType"] == "STOP"
    assert "unsubscribed" in thread(office)[-1]
    with pytest.raises(TwilioRestException) as refused:
        send(client)
    assert refused.value.code == 21610
    assert send(client, from_="+12025550199").sid  # another sender is another pair
    reply(office, "START", to=OURS)
    assert send(client).sid


def test_stop_to_a_service_holds_for_the_service(office, client):
    send(client, from_=None, messaging_service_sid=SERVICE)
    until(lambda: thread(office))
    reply(office, "STOP")
    with pytest.raises(TwilioRestException) as refused:
        send(client, from_=None, messaging_service_sid=SERVICE)
    assert refused.value.code == 21610


def test_whatsapp_and_messenger_go_the_same_way(office, client):
    sms = send(client, to="whatsapp:" + ANN, from_="whatsapp:" + OURS)
    send(client, to="messenger:4711", from_="messenger:1147")
    settled(client, sms.sid, "delivered")
    read = http.post(f"{office.url}/postoffice/open", json={"id": sms.sid})
    assert read.status_code == 200
    assert client.messages(sms.sid).fetch().status == "read"
    answer = http.post(
        f"{office.url}/postoffice/reply", json={"from": "messenger:4711", "body": "Hi"}
    )
    assert answer.json()["message"]["to"] == "messenger:1147"


def test_a_callback_is_retried_as_the_fragment_asks(office, client):
    office.product.answers = [(500, "")] * 3
    send(client, status_callback=office.product.url + "/cb#rc=5&rp=all")
    until(lambda: len(office.product.to("/cb")) == 5)  # two statuses, three refused tries


def test_without_the_fragment_an_error_is_not_retried(office, client):
    office.product.answers = [(500, "")] * 2
    sms = send(client, status_callback=office.product.url + "/cb")
    log = f"{office.url}/postoffice/log"

    def answers():
        entries = http.get(log).json()["entries"]
        return [one for one in entries if one["kind"] == "webhook.answer" and one["done"]]

    until(lambda: len(answers()) == 2)
    assert [(one["sid"], one["attempt"], one["status"]) for one in answers()] == [
        (sms.sid, 1, 500)
    ] * 2


def test_any_client_with_basic_auth_is_served(office):
    """As curl or a Node client would: by hand-made header, repeated MediaUrl, odd characters."""
    key = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    form = (
        "To=%2B14155550123&From=SHOP&Body=Gr%C3%BC%C3%9Fe+%26+more"
        "&MediaUrl=https%3A%2F%2Fa.example%2F1&MediaUrl=https%3A%2F%2Fa.example%2F2"
    )
    answer = http.post(
        f"{office.url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
        headers={
            "Authorization": f"Basic {key}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
        content=form,
    )
    body = answer.json()
    assert answer.status_code == 201
    assert (body["body"], body["num_media"], body["sid"][:2]) == ("Grüße & more", "2", "MM")


def test_null_mode_answers_and_keeps_nothing(tmp_path):
    with open_office(tmp_path, keep=False) as office:
        client = client_of(office)
        assert send(client, status_callback=office.product.url + "/cb").sid.startswith("SM")
        assert client.messages.list() == []
        assert not office.config.log_path.exists()
