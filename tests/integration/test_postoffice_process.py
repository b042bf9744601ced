"""The post office as a process: started, killed, stopped."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from tests.integration.postoffice_harness import (
    ACCOUNT,
    ANN,
    KEY,
    OURS,
    PRIVATE,
    TOKEN,
    http,
    until,
)

RUN = """
import socket, sys
from pathlib import Path
from signalpost.postoffice import PostOfficeConfig, serve
log, port, account, token, key, private = sys.argv[1:]
serve(PostOfficeConfig(log_path=Path(log), port=int(port), twilio_account_sid=account,
    twilio_auth_token=token, sendgrid_api_key=key, sendgrid_webhook_private_key=private,
    sendgrid_events_url="http://127.0.0.1:9/events", delay=0))
"""


@contextmanager
def process(log, port):
    command = [sys.executable, "-c", RUN, str(log), str(port), ACCOUNT, TOKEN, KEY, PRIVATE]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    url = f"http://127.0.0.1:{port}"

    def is_open():
        assert running.poll() is None, running.communicate()[0]
        try:
            return http.get(f"{url}/postoffice/health").is_success
        except httpx.TransportError:
            return False

    try:
        until(is_open, 20)
        yield running, url
    finally:
        running.kill()
        running.wait()


@pytest.fixture
def port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def send(url, body):
    path = f"{url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    answer = http.post(path, data={"To": ANN, "From": OURS, "Body": body}, auth=(ACCOUNT, TOKEN))
    assert answer.status_code == 201
    return answer.json()["sid"]


def test_what_was_answered_survives_kill_9(tmp_path, port):
    log = tmp_path / "log.jsonl"
    with process(log, port) as (running, url):
        sids = [send(url, str(number)) for number in range(20)]
        running.send_signal(signal.SIGKILL)
        running.wait()
    with process(log, port) as (_, url):
        found = http.get(f"{url}/postoffice/messages").json()["messages"]
        assert [message["id"] for message in found] == sids


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_it_stops_cleanly_and_has_told_nobody_anything(tmp_path, port, name):
    """Numbers, texts and keys are in the log file only, never on the terminal."""
    with process(tmp_path / "log.jsonl", port) as (running, url):
        send(url, "a private text")
        http.get(f"{url}/postoffice/messages", params={"to": ANN})
        mail = {"personalizations": [{"to": [{"email": "ann@example.com"}]}]}
        http.post(f"{url}/v3/mail/send", json=mail, headers={"Authorization": f"Bearer {KEY}"})
        running.send_signal(getattr(signal, name))
        said = running.communicate(timeout=10)[0]
        assert (running.returncode, said) == (0, "")


def test_what_is_not_imitated_says_so_in_the_vendors_words(tmp_path, port):
    with process(tmp_path / "log.jsonl", port) as (_, url):
        calls = f"{url}/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
        answer = http.post(calls, auth=(ACCOUNT, TOKEN))
        assert (answer.status_code, answer.json()["code"]) == (404, 20404)
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = http.get(f"{url}/v3/marketing/lists", headers=headers)
        assert (answer.status_code, list(answer.json())) == (404, ["errors"])
