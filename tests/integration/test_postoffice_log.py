"""The post office's log is its own truth, and survives it."""

import base64
import json

import pytest
import standardwebhooks

from signalpost.errors import ConfigurationError
from signalpost.postoffice import create_app, serve
from signalpost.postoffice.office import Office
from tests.integration.postoffice_harness import (
    ACCOUNT,
    ANN,
    KEY,
    OURS,
    TOKEN,
    config_for,
    http,
    open_office,
    serving,
    until,
)

SECRET = "whsec_" + base64.b64encode(b"0" * 24).decode()
MAIL = {
    "from": {"email": "a@shop.example"},
    "personalizations": [{"to": [{"email": "ann@example.com"}]}],
    "subject": "Hi",
    "content": [{"type": "text/plain", "value": "Hello"}],
}


def send_mail(url, **changes):
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = http.post(f"{url}/v3/mail/send", json={**MAIL, **changes}, headers=headers)
    assert answer.status_code == 202


def send_sms(url, **changes):
    data = {"To": ANN, "From": OURS, "Body": "Hello", **changes}
    path = f"{url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    return http.post(path, data=data, auth=(ACCOUNT, TOKEN))


def log_of(url, **query):
    return http.get(f"{url}/postoffice/log", params=query).json()["entries"]


def messages(url, **query):
    return http.get(f"{url}/postoffice/messages", params=query).json()["messages"]


def at_rest(url, *, number):
    """Give the log once that many texts are delivered by it: it lags behind the list of messages."""
    entries = log_of(url)
    return entries if sum(one.get("status") == "delivered" for one in entries) == number else None


def test_the_log_is_numbered_without_gaps_and_read_in_parts(tmp_path):
    with open_office(tmp_path) as office:
        for _ in range(3):
            send_sms(office.url)
        entries = until(lambda: at_rest(office.url, number=3))
        assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
        assert log_of(office.url, after=2, limit=2) == entries[2:4]
        assert log_of(office.url, after=10**9) == []
        lines = office.config.log_path.read_text().splitlines()
        assert [json.loads(line) for line in lines] == entries
        assert office.config.log_path.stat().st_mode & 0o077 == 0


def test_what_is_refused_is_logged_too(tmp_path):
    with open_office(tmp_path) as office:
        assert send_sms(office.url, To="+15005550009").status_code == 400
        (entry,) = log_of(office.url)
        assert (entry["kind"], entry["code"]) == ("sms.refused", 21614)


def test_a_restart_changes_nothing_that_was_known(tmp_path):
    with open_office(tmp_path) as office:
        send_mail(office.url)
        send_sms(office.url)
        reply = {"from": ANN, "body": "STOP", "to": OURS}
        http.post(f"{office.url}/postoffice/reply", json=reply)
        until(lambda: all(m["status"] in {"delivered", "received"} for m in messages(office.url)))
        before = messages(office.url)
    with open_office(tmp_path) as office:
        assert messages(office.url) == before
        assert send_sms(office.url).json()["code"] == 21610


def test_a_message_on_its_way_arrives_after_a_restart(tmp_path):
    with open_office(tmp_path, delay=60) as office:
        send_mail(office.url)
        send_sms(office.url)
        assert [m["status"] for m in messages(office.url)] == ["accepted", "queued"]
    with open_office(tmp_path) as office:
        until(lambda: [m["status"] for m in messages(office.url)] == ["delivered"] * 2)


def test_events_that_were_not_taken_are_brought_after_a_restart(tmp_path):
    with open_office(tmp_path, sendgrid_events_url="http://127.0.0.1:9/nobody") as office:
        send_mail(office.url)
        until(lambda: [m["status"] for m in messages(office.url)] == ["delivered"])
    with open_office(tmp_path) as office:
        events = until(lambda: [json.loads(hook.body) for hook in office.product.hooks])
        until(lambda: sum(len(json.loads(hook.body)) for hook in office.product.hooks) == 2)
        assert events[0][0]["event"] == "processed"
    with open_office(tmp_path) as office:
        send_mail(office.url)
        until(lambda: messages(office.url)[-1]["status"] == "delivered")
        until(lambda: office.product.hooks)
        brought = [event for hook in office.product.hooks for event in json.loads(hook.body)]
        assert len({event["sg_message_id"] for event in brought}) == 1  # not the old ones again


def test_a_line_torn_by_a_crash_is_cut_off(tmp_path):
    with open_office(tmp_path) as office:
        send_sms(office.url)
        kept = until(lambda: at_rest(office.url, number=1))
    with office.config.log_path.open("ab") as log:
        log.write(b'{"seq":99,"kind":"sms.acc')
    with open_office(tmp_path) as office:
        assert log_of(office.url) == kept
        send_sms(office.url)
        assert log_of(office.url)[len(kept)]["seq"] == len(kept) + 1


async def _open(config):
    office = Office(config)
    try:
        await office.open()
    finally:
        await office.close()


def test_a_log_has_one_writer(tmp_path):
    import asyncio

    with (
        open_office(tmp_path) as office,
        pytest.raises(ConfigurationError, match="Another post office"),
    ):
        asyncio.run(_open(office.config))


def test_serve_says_so_before_it_listens(tmp_path):
    with (
        open_office(tmp_path) as office,
        pytest.raises(ConfigurationError, match="Another post office"),
    ):
        serve(office.config)


def test_a_log_that_is_not_ours_is_left_alone(tmp_path):
    import asyncio

    config = config_for(tmp_path, "http://127.0.0.1:9")
    config.log_path.write_text("my diary\n")
    with pytest.raises(ConfigurationError, match="line 1 is not JSON"):
        asyncio.run(_open(config))
    assert config.log_path.read_text() == "my diary\n"


def hook(url, body, webhook_id="msg_1", secret=SECRET):
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(secret).sign(webhook_id, now, body),
    }
    return http.post(f"{url}/hooks/block-card", content=body, headers=headers)


def test_a_card_is_blocked_once(tmp_path):
    with open_office(tmp_path, hook_secret=SECRET) as office:
        body = '{"type":"card.block","case_id":"c1"}'
        assert hook(office.url, body).json() == {"status": "blocked", "again": False}
        assert hook(office.url, body).json() == {"status": "blocked", "again": True}
    with open_office(tmp_path, hook_secret=SECRET) as office:
        assert hook(office.url, body).json()["again"] is True
        fresh = [entry for entry in log_of(office.url) if not entry["again"]]
        assert [entry["body"] for entry in fresh] == [json.loads(body)]


def test_a_forged_block_is_403_and_blocks_nothing(tmp_path):
    other = "whsec_" + base64.b64encode(b"1" * 24).decode()
    with open_office(tmp_path, hook_secret=SECRET) as office:
        assert hook(office.url, "{}", secret=other).status_code == 403
        assert http.post(f"{office.url}/hooks/block-card", content=b"{}").status_code == 403
        assert {entry["kind"] for entry in log_of(office.url)} == {"hook.refused"}


def test_the_app_says_when_it_is_open(tmp_path):
    with serving(create_app(config_for(tmp_path, "http://127.0.0.1:9"))) as url:
        assert http.get(f"{url}/postoffice/health").json()["status"] == "ok"
