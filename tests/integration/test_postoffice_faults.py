"""Calls that go wrong because a test asked for it."""

import httpx
import pytest

from tests.integration.postoffice_harness import ACCOUNT, ANN, KEY, OURS, TOKEN, http, open_office

MAIL = {
    "from": {"email": "a@shop.example"},
    "personalizations": [{"to": [{"email": "ann@example.com"}]}],
    "subject": "Hi",
    "content": [{"type": "text/plain", "value": "Hello"}],
}


@pytest.fixture
def office(tmp_path):
    with open_office(tmp_path) as running:
        yield running


def call(office, provider):
    if provider == "twilio":
        return http.post(
            f"{office.url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
            data={"To": ANN, "From": OURS, "Body": "Hello"},
            auth=(ACCOUNT, TOKEN),
            timeout=0.5,
        )
    headers = {"Authorization": f"Bearer {KEY}"}
    return http.post(f"{office.url}/v3/mail/send", json=MAIL, headers=headers, timeout=0.5)


def fault(office, provider, name, **more):
    wish = {"provider": provider, "fault": name, **more}
    return http.post(f"{office.url}/postoffice/faults", json=wish)


def taken(office):
    return len(http.get(f"{office.url}/postoffice/messages").json()["messages"])


@pytest.mark.parametrize("provider", ["twilio", "sendgrid"])
@pytest.mark.parametrize(
    ("name", "outcome", "processed"),
    [
        ("429", 429, 0),
        ("400", 400, 0),
        ("500_not_processed", 500, 0),
        ("500_processed", 500, 1),
        ("timeout", httpx.ReadTimeout, 0),
        ("timeout_processed", httpx.ReadTimeout, 1),
        ("reset", httpx.TransportError, 0),
        ("reset_processed", httpx.TransportError, 1),
        ("401", 401, 0),
        ("503_processed", 503, 1),
        ("502_not_processed", 502, 0),
        ("redirect", 301, 0),
        ("html", 200, 0),
        ("html_processed", 200, 1),
        ("garbled_processed", 200, 1),
    ],
)
def test_a_fault_hits_as_often_as_asked_and_is_processed_or_not(
    office, provider, name, outcome, processed
):
    assert fault(office, provider, name, times=1).status_code == 201
    if isinstance(outcome, int):
        assert call(office, provider).status_code == outcome
    else:
        with pytest.raises(outcome):
            call(office, provider)
    assert taken(office) == processed
    assert call(office, provider).is_success
    assert taken(office) == processed + 1


@pytest.mark.parametrize("provider", ["twilio", "sendgrid"])
def test_an_answer_can_come_late_and_is_the_right_one(office, provider):
    fault(office, provider, "slow", seconds=0.2)
    answer = call(office, provider)
    assert answer.is_success
    assert answer.elapsed.total_seconds() >= 0.2
    assert taken(office) == 1


def test_an_answer_can_come_a_byte_a_second_and_the_message_is_taken(office):
    fault(office, "twilio", "drip")
    with pytest.raises(httpx.ReadTimeout):
        call(office, "twilio")
    assert taken(office) == 1


def test_the_log_says_whose_call_went_wrong(office):
    fault(office, "sendgrid", "500_not_processed")
    call(office, "sendgrid")
    [hit] = [
        entry
        for entry in http.get(f"{office.url}/postoffice/log").json()["entries"]
        if entry["kind"] == "fault.hit"
    ]
    assert (hit["fault"], len(hit["about"])) == ("500_not_processed", 1)


def test_a_fault_can_be_for_one_address_and_be_taken_back(office):
    fault(office, "twilio", "429", times=5, match={"to": "+14155550199"}, retry_after=7)
    assert call(office, "twilio").is_success
    fault(office, "twilio", "429", match={"to": ANN}, retry_after=7)
    answer = call(office, "twilio")
    assert (answer.status_code, answer.json()["code"]) == (429, 20429)
    assert answer.headers["retry-after"] == "7"
    assert http.delete(f"{office.url}/postoffice/faults").status_code == 204
    assert http.get(f"{office.url}/postoffice/faults").json() == {"faults": []}


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"provider": "post", "fault": "429"},
        {"provider": "twilio", "fault": "earthquake"},
        {"provider": "twilio", "fault": "429", "times": 0},
        {"provider": "twilio", "fault": "429", "match": {"body": "x"}},
    ],
)
def test_an_unknown_fault_is_refused_with_a_reason(office, wish):
    answer = http.post(f"{office.url}/postoffice/faults", json=wish)
    assert answer.status_code == 400
    assert answer.json()["error"]
