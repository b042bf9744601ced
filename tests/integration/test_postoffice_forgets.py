"""The post office forgets as the vendors do, and our adapters ask it to: its log is searched."""

import asyncio

import pytest

from signalpost.domain.erasure import NotErasedError
from signalpost.providers.sendgrid import From, SendGridEraser, SendGridSettings
from signalpost.providers.twilio import TwilioEraser, TwilioSettings
from tests.integration.postoffice_harness import (
    ACCOUNT,
    ANN,
    KEY,
    OURS,
    TOKEN,
    http,
    open_office,
    until,
)

SECRET = "canary-word"
EMAIL = "canary.person@example.com"


@pytest.fixture
def office(tmp_path):
    with open_office(tmp_path) as opened:
        yield opened


def sendgrid(office, key=KEY):
    sender = {"transactional": From(email="hello@brand.example", name="Brand")}
    return SendGridEraser(SendGridSettings(api_key=key, senders=sender, base_url=office.url))


def twilio(office, token=TOKEN, sender=OURS):
    return TwilioEraser(
        TwilioSettings(
            account_sid=ACCOUNT, api_key=ACCOUNT, api_secret=token, base_url=office.url,
            sender=sender,
        )
    )  # fmt: skip


def erase(eraser, **asked):
    return asyncio.run(eraser.erase(**{"addresses": [], "provider_ids": [], **asked}))


def mail(office, *people):
    """Send one request to several people, each with a word of their own."""
    body = {
        "personalizations": [
            {
                "to": [{"email": email, "name": f"{word} name"}],
                "substitutions": {"-s0-": word},
                "custom_args": {"x_message_id": f"m-{email[:3]}"},
            }
            for email, word in people
        ],
        "from": {"email": "hello@brand.example"},
        "subject": "Hello -s0-",
        "content": [{"type": "text/plain", "value": "Hello -s0-"}],
    }
    answer = http.post(
        f"{office.url}/v3/mail/send", json=body, headers={"Authorization": f"Bearer {KEY}"}
    )
    assert answer.status_code == 202
    return answer.headers["X-Message-Id"]


def text(office, to=ANN, sender=OURS, body=SECRET):
    base = f"{office.url}/2010-04-01/Accounts/{ACCOUNT}"
    sent = http.post(f"{base}/Messages.json", data={"To": to, "From": sender, "Body": body},
                     auth=(ACCOUNT, TOKEN))  # fmt: skip
    sid = sent.json()["sid"]
    read = lambda: http.get(f"{base}/Messages/{sid}.json", auth=(ACCOUNT, TOKEN)).json()  # noqa: E731
    until(lambda: read()["status"] == "delivered")
    return sid


def log_of(office):
    return office.config.log_path.read_text()


def lines(office):
    return [line for line in log_of(office).splitlines() if line]


def delivered(office, number):
    until(lambda: log_of(office).count('"event":"delivered"') >= number)


def test_a_recipient_is_erased_and_the_others_of_the_request_are_not(office):
    mail(office, (EMAIL, SECRET), ("ann@example.com", "hello"))
    mail(office, (EMAIL, SECRET))
    delivered(office, 3)
    count = len(lines(office))
    done = erase(sendgrid(office), addresses=[EMAIL.upper(), ANN])
    assert done.addresses == 1
    assert len(done.job_ids) == 1
    said = log_of(office)
    assert EMAIL not in said
    assert SECRET not in said
    assert "ann@example.com" in said
    assert len(lines(office)) > count  # what was sent can still be counted
    shown = http.get(f"{office.url}/postoffice/log", params={"limit": 1000})
    assert EMAIL not in shown.text
    mail(office, ("bo@example.com", "later"))
    until(lambda: "bo@example.com" in log_of(office))
    assert [line for line in lines(office) if not line.startswith("{")] == []


def test_a_job_with_an_address_that_is_none_is_refused_as_sendgrid_does(office):
    answer = http.post(
        f"{office.url}/v3/recipients/erasejob",
        json={"email_addresses": ["nobody"]},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "email_addresses"


def test_messages_with_a_number_of_ours_go_whether_we_know_their_sid_or_not(office):
    known, unknown = text(office), text(office)
    other = text(office, sender="+12025550199")
    done = erase(twilio(office), addresses=[ANN], provider_ids=[known, known])
    assert done.messages == 2
    said = log_of(office)
    assert said.count(SECRET) == 1
    assert other in said
    left = http.get(f"{office.url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
                    auth=(ACCOUNT, TOKEN)).json()  # fmt: skip
    assert [one["sid"] for one in left["messages"]] == [other]
    assert erase(twilio(office), provider_ids=[known, unknown, other]).messages == 1
    assert ANN not in log_of(office)
    assert SECRET not in log_of(office)


def test_a_wrong_key_or_a_vendor_that_is_away_says_so_and_names_nobody(office):
    for eraser in (sendgrid(office, key="wrong"), twilio(office, token="wrong")):
        with pytest.raises(NotErasedError) as refused:
            erase(eraser, addresses=[EMAIL, ANN], provider_ids=["SM1"])
        assert EMAIL not in str(refused.value)
        assert ANN not in str(refused.value)
