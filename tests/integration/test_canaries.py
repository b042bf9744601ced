"""Real processes are fed a person's words and secrets in every way that goes wrong, and then searched.

What may hold them is the record and the post office, which stands in for vendors. Nothing else may: no
line that a process logs, no answer to a request that failed, no error on the command line.
"""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli_harness import signalpost
from tests.integration.postoffice_harness import http, until

ROOT = Path(__file__).parents[2]
PHONE, EMAIL = "+12065557777", "canary.person@example.com"
SECRETS = ("spw_canary-key", "canary-bearer", "482913")
PERSONAL = (PHONE, PHONE[2:], EMAIL, "Canaria", "Canary Jewellers", "canary-bird", "canary-order")
CANARIES = (*PERSONAL, *SECRETS)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class House:
    """The post office, the web and the worker of lane risk, each a process with a log of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.web, self.office = free_port(), free_port()
        self.environment = {
            **{name: v for name, v in os.environ.items() if not name.startswith("SIGNALPOST_")},
            "SIGNALPOST_HOME": str(folder / "state"),
            "SIGNALPOST_WEB_PORT": str(self.web),
            "SIGNALPOST_POSTOFFICE_PORT": str(self.office),
            "SIGNALPOST_PREFECT_PORT": str(free_port()),  # nobody is there
            "SIGNALPOST_POSTOFFICE_DELAY": "0",
            "SIGNALPOST_LOG_LEVEL": "DEBUG",
            "PREFECT_HOME": str(folder / "prefect"),
            "DO_NOT_TRACK": "1",
            "NO_COLOR": "1",
        }
        self.answers: list[str] = []

    @property
    def keys(self) -> dict[str, str]:
        return json.loads((self.folder / "state" / "keys.json").read_text())

    @contextmanager
    def running(self, *words: str):
        log = (self.folder / f"{words[0]}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "signalpost.cli", *words],
            cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()  # how they stop is another test's
            process.wait(20)
            log.close()

    def cli(self, *words: str, code: int = 0) -> str:
        given = {
            name.removeprefix("SIGNALPOST_").lower(): value
            for name, value in self.environment.items()
            if name.startswith("SIGNALPOST_")
        }
        done = signalpost(self.folder, *words, **given)
        assert done.code == code, done
        return done.out + done.err

    def call(self, method: str, path: str, *, status: int | None = None, **rest):
        """Make a request; what is answered when it fails is kept to be searched."""
        url = f"http://127.0.0.1:{self.web}{path}"
        answer = http.request(method, url, timeout=30, **rest)
        if status is not None:
            assert answer.status_code == status, answer.text
        if answer.status_code >= 400:
            self.answers.append(answer.text + repr(dict(answer.headers)))
        return answer

    def track(self, number: int, **properties) -> None:
        event = {
            "type": "track", "event": "fraud.signalled", "userId": "canary-user",
            "messageId": f"risk-{number}", "timestamp": datetime.now(UTC).isoformat(),
            "context": {"traits": {"phone": PHONE, "email": EMAIL, "firstName": "Canaria"}},
            "properties": {
                "transaction_id": f"T-{number}", "merchant": "Canary Jewellers",
                "amount": {"amount": "10.00", "currency": "USD"},
                "occurred_at": datetime.now(UTC).isoformat(), **properties,
            },
        }  # fmt: skip
        self.call("POST", "/v1/track", json=event, auth=(self.keys["write_key"], ""), status=200)

    def sent(self) -> str:
        return (self.folder / "state" / "postoffice.jsonl").read_text()

    def break_the_record(self) -> None:
        """Have the database quote a person in its errors."""
        with sqlite3.connect(self.folder / "state" / "signalpost.db", timeout=30) as database:
            for what in ("INSERT ON consents", "INSERT ON replies", "UPDATE ON enrolments"):
                database.execute(
                    f"CREATE TRIGGER nosy_{what.split()[-1]} BEFORE {what} "
                    f"BEGIN SELECT RAISE(ABORT, '{' '.join(PERSONAL)}'); END"
                )


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    opened = House(tmp_path)
    opened.cli("migrate")
    with ExitStack() as stack:
        for words in (("postoffice",), ("web",), ("worker", "--lane", "risk")):
            stack.enter_context(opened.running(*words))
        for port, path in ((opened.office, "/postoffice/faults"), (opened.web, "/readyz")):
            until(lambda p=port, at=path: _answers(f"http://127.0.0.1:{p}{at}"), seconds=150)
        yield opened


def _answers(url: str) -> bool:
    try:
        return http.get(url, timeout=5).status_code == 200
    except OSError:
        return False
    except Exception as error:
        if "onnect" in type(error).__name__:
            return False
        raise


def refusals(house: House) -> None:
    """Everything at the edge that is wrong: keys, shapes, signatures, links."""
    write = (house.keys["write_key"], "")
    body = {"email": EMAIL, "phone": PHONE, "otp": "482913", "name": "Canaria"}
    house.call("POST", "/v1/track", json=body, auth=("spw_canary-key", ""), status=401)
    bearer = {"Authorization": "Bearer canary-bearer"}
    house.call("GET", "/v1/customers/canary-order", headers=bearer)
    house.call(
        "POST", "/v1/customers/lookup", json={"kind": "email", "value": EMAIL}, headers=bearer
    )
    house.call("POST", "/v1/track", content=b'{"email": "' + EMAIL.encode(), auth=write)
    house.call("POST", "/v1/batch", json={"batch": [body, 7, "Canaria"]}, auth=write)
    house.call(
        "POST", "/v1/track", json={**body, "type": "track", "timestamp": "Canaria"}, auth=write
    )
    read = {"Authorization": f"Bearer {house.keys['api_key']}"}
    house.call(
        "POST", "/v1/customers/lookup", json={"kind": "email", "value": [EMAIL]}, headers=read
    )
    house.call("POST", "/v1/customers/lookup", json={"kind": "email", "value": EMAIL}, headers=read)
    form = {"From": PHONE, "To": "+15005550006", "Body": "canary-bird", "MessageSid": "SM1"}
    house.call("POST", "/webhooks/twilio/inbound", data=form, status=403)
    house.call("POST", "/webhooks/sendgrid/events", json=[{"email": EMAIL}], status=403)
    for path in ("preferences", "unsubscribe", "agent", "answer"):
        house.call("POST", f"/links/{path}/canary-order.482913", data={"comment": "canary-bird"})
    house.call("GET", "/nothing/canary-order", headers={"Accept": "text/html"})
    house.call("GET", "/v1/customers/nobody/timeline", headers=read)  # an id is repeated, no more


def poison(house: House) -> None:
    """Signals that cannot be understood, and one that is as deep as a well."""
    house.track(90, amount="canary-bird dollars")
    deep: object = "canary-bird"
    for _ in range(60):
        deep = {"Canaria": deep}
    house.track(91, amount=deep, merchant=deep)


@pytest.mark.timeout(600)  # three processes start, on a machine that may be busy
def test_nothing_but_the_record_says_whose_data_it_was(house):
    house.track(1)
    refusals(house)
    poison(house)
    until(lambda: PHONE in house.sent() and "sms.accepted" in house.sent(), seconds=150)
    for name, fault in (("twilio", "html"), ("sendgrid", "garbled")):
        wish = {"provider": name, "fault": fault, "times": 1}
        answer = http.post(f"http://127.0.0.1:{house.office}/postoffice/faults", json=wish)
        assert answer.status_code == 201, answer.text
    house.track(2)
    until(lambda: "fault.hit" in house.sent(), seconds=60)
    reply = {"from": PHONE, "body": "no idea, says canary-bird"}
    http.post(f"http://127.0.0.1:{house.office}/postoffice/reply", json=reply)
    web = house.folder / "web.log"
    until(lambda: "reply.received" in web.read_text(), seconds=60)
    house.break_the_record()
    http.post(f"http://127.0.0.1:{house.office}/postoffice/reply", json=reply)
    house.track(8)
    until(lambda: "worker." in (house.folder / "worker.log").read_text(), seconds=100)
    until(lambda: "web.failed" in web.read_text(), seconds=60)
    said = [
        house.cli("merge", "canary-user", "nobody-at-all", "--reason", "x", code=4),
        house.cli("redrive"),
        house.cli("redrive", "no-such-id", code=4),
        house.cli("doctor"),
    ]
    logs = {path.name: path.read_text() for path in house.folder.glob("*.log")}
    assert set(logs) == {"web.log", "postoffice.log", "worker.log"}
    assert "reply.received" in logs["web.log"]  # the first reply was taken
    assert "web.failed" in logs["web.log"]  # the second one broke
    assert "worker." in logs["worker.log"]
    assert house.answers
    searched = {**logs, "answers": "\n".join(house.answers), "command line": "\n".join(said)}
    kept = [path for path in (house.folder / "prefect").rglob("*") if path.is_file()]
    searched |= {path.name: path.read_bytes().decode("utf-8", "replace") for path in kept}
    secrets = [value for name, value in house.keys.items() if "public" not in name]
    found = {
        (place, word)
        for place, text in searched.items()
        for word in (*CANARIES, *secrets)
        if word in text
    }
    assert found == set()
