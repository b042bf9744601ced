"""The page and the desk, seen by somebody who means harm."""

import pytest

from tests.integration.postoffice_harness import ACCOUNT, ANN, KEY, OURS, TOKEN, http, open_office

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}@version@"


@pytest.fixture
def office(tmp_path):
    with open_office(tmp_path) as running:
        yield running


def send_hostile(office):
    mail = {
        "from": {"email": "a@shop.example", "name": EVIL.replace(";", "")},
        "personalizations": [
            {"to": [{"email": "ann@example.com", "name": EVIL}], "custom_args": {"a": EVIL}}
        ],
        "subject": EVIL,
        "headers": {"X-Evil": EVIL},
        "content": [
            {"type": "text/plain", "value": EVIL},
            {"type": "text/html", "value": EVIL + '<a href="https://a.example/?&quot;">x</a>'},
        ],
    }
    headers = {"Authorization": f"Bearer {KEY}"}
    assert http.post(f"{office.url}/v3/mail/send", json=mail, headers=headers).is_success
    data = {"To": ANN, "From": OURS, "Body": EVIL}
    path = f"{office.url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert http.post(path, data=data, auth=(ACCOUNT, TOKEN)).is_success
    return http.get(f"{office.url}/postoffice/messages").json()["messages"][0]["id"]


def test_hostile_text_is_shown_and_never_run(office):
    mail_id = send_hostile(office)
    for path in ("/", f"/page/mail/{mail_id}", "/page/mail", f"/page/phone/{ANN}", "/page/phone"):
        page = http.get(office.url + path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert "&lt;script&gt;" in page.text
        assert "{{7*7}}" in page.text


def test_the_html_of_a_mail_is_locked_in(office):
    mail_id = send_hostile(office)
    body = http.get(f"{office.url}/page/mail/{mail_id}/body")
    policy = body.headers["content-security-policy"]
    assert policy.startswith("sandbox;")
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert body.headers["x-content-type-options"] == "nosniff"
    assert 'sandbox=""' in http.get(f"{office.url}/page/mail/{mail_id}").text


def test_the_page_has_no_inline_script_and_strict_headers(office):
    page = http.get(office.url)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "onclick" not in page.text
    assert page.text.count("<script") == page.text.count('<script src="/static/')


def test_looking_changes_nothing(office):
    mail_id = send_hostile(office)
    log = f"{office.url}/postoffice/log"
    kinds = ("/", f"/page/mail/{mail_id}", f"/page/mail/{mail_id}/body", f"/page/phone/{ANN}")
    for path in kinds:
        http.get(office.url + path)
    for act in ("open", "click", "bounce", "spam", "reply", "unsubscribe"):
        assert http.get(f"{office.url}/postoffice/{act}").status_code == 405
        assert http.get(f"{office.url}/page/mail/{mail_id}/{act}").status_code == 405
    events = [e for e in http.get(log).json()["entries"] if e["kind"] == "mail.events"]
    happened = {event["event"] for entry in events for event in entry["events"]}
    assert happened <= {"processed", "delivered"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
    ],
)
def test_another_site_cannot_act_here(office, headers):
    wish = {"from": ANN, "to": OURS, "body": "OK 1234"}
    answer = http.post(f"{office.url}/postoffice/reply", json=wish, headers=headers)
    assert answer.status_code == 403
    assert http.get(f"{office.url}/postoffice/messages").json() == {"messages": []}


def test_a_rebound_name_reads_nothing(office):
    assert http.get(office.url, headers={"Host": "evil.example:8025"}).status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/postoffice/open", b"{", 400),
        ("/postoffice/open", b"[]", 400),
        ("/postoffice/open", b'{"id":"nobody"}', 404),
        ("/postoffice/reply", b'{"from":"+14155550123","body":5}', 400),
        ("/postoffice/reply", b'{"from":"../etc","to":"+12025550100","body":"x"}', 400),
        ("/postoffice/reply", b'{"from":"+14155550123","body":"x"}', 400),
        ("/postoffice/faults", b"[" * 10_000, 400),
        ("/postoffice/reply", b"x" * 1_000_001, 413),
        ("/page/phone/%2B14155550123/reply", b"body=", 400),
        ("/page/mail/nobody/open", b"", 404),
    ],
)
def test_bad_input_gets_a_clear_answer(office, path, body, status):
    answer = http.post(office.url + path, content=body)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_the_inbox_pane_says_when_the_product_is_away(tmp_path):
    with open_office(tmp_path, inbox_url="http://127.0.0.1:9", api_key="k") as office:
        page = http.get(f"{office.url}/page/inbox")
        assert (page.status_code, "not reachable" in page.text) == (200, True)
        detail = http.get(f"{office.url}/page/inbox/c1")
        assert "not reachable" in detail.text
