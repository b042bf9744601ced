"""Real senders, killed with kill -9 at random moments: the post office's log against the record."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from signalpost import bootstrap, settings
from signalpost.clock import wall_clock
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.messages import Message
from signalpost.record.migrate import whole_metadata
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.runs import Launch
from tests.integration.campaign_engine import adds_up, notice, people, rows, the_run
from tests.integration.postoffice_harness import http, until

PEOPLE = int(os.environ.get("CAMPAIGN_KILLS_PEOPLE", "3000"))
KILLS = int(os.environ.get("CAMPAIGN_KILLS", "3"))
ROOT = Path(__file__).parents[2]


class House:
    """The product in this process, as ``campaign_engine`` asks for it: a desk, a record, a clock."""

    class Now:
        """The wall clock, asked as a virtual one is."""

        @property
        def now(self):
            return wall_clock()

    def __init__(self, home):
        self.product = bootstrap.build(settings.load(home=home), journeys=(), campaigns={})
        self.desk, self.database, self.clock = self.product.desk, self.product.database, self.Now()
        whole_metadata().create_all(self.database.engine)

    def sending(self):
        """Say whether a message is on its way at this moment."""
        asked = text("SELECT 1 FROM messages WHERE status = 'sending' LIMIT 1")
        with self.database.reading() as session:
            return session.execute(asked).first() is not None


@pytest.fixture
def home(tmp_path, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SIGNALPOST_POSTOFFICE_PORT", str(listener.getsockname()[1]))
    monkeypatch.setenv("SIGNALPOST_HOME", str(tmp_path))
    monkeypatch.setenv("SIGNALPOST_POSTOFFICE_DELAY", "60")
    return tmp_path


@pytest.fixture
def office(home):
    command = [sys.executable, "-m", "signalpost.cli", "postoffice"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{os.environ['SIGNALPOST_POSTOFFICE_PORT']}"

    def is_open():
        assert running.poll() is None, running.communicate()[0]
        try:
            return http.get(f"{url}/postoffice/health").is_success
        except httpx.TransportError:
            return False

    try:
        until(is_open, 30)
        yield url
    finally:
        running.kill()
        running.wait()


def accepted(home):
    """Count, by message id, what the post office has taken."""
    taken = Counter()
    for line in (home / "postoffice.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "mail.accepted":
            for person in entry["request"]["personalizations"]:
                taken[person["custom_args"]["x_message_id"]] += 1
    return taken


def begin(home):
    command = [sys.executable, "-m", "tests.integration.campaign_sender", str(home), "600"]
    return subprocess.Popen(command, cwd=ROOT)


def killed_again_and_again(home, house, run_id, seed, end):
    """Keep two senders going, killing one now and then; says how many were killed in the act."""
    chance, senders, kills = random.Random(seed), [begin(home), begin(home)], 0
    try:
        while the_run(house, run_id).status == "running":
            assert time.monotonic() < end, "it did not end in time"
            assert all(one.poll() is None for one in senders), "a sender ended by itself"
            if kills < KILLS and house.sending():
                time.sleep(chance.random() * 0.2)
                at = chance.randrange(2)
                senders[at].send_signal(signal.SIGKILL)
                senders[at].wait()
                senders[at] = begin(home)
                kills += 1
            time.sleep(0.01)
    finally:
        for one in senders:
            one.kill()
            one.wait()
    return kills


@pytest.mark.parametrize("seed", [1])
def test_senders_that_are_killed_lose_nobody_and_send_to_nobody_twice(home, office, seed):
    house = House(home)
    ids = people(house, PEOPLE)
    now = wall_clock()
    wanted = notice(channels={"every": ["email"]})
    run = launching.launch(house.desk, launch=Launch(campaign=wanted), by="ann", now=now)
    launching.start(house.desk, campaign_run_id=run.id, now=now)
    began = time.monotonic()
    kills = killed_again_and_again(home, house, run.id, seed, began + max(60, PEOPLE / 100))
    took = time.monotonic() - began
    taken = accepted(home)
    messages = {row.id: row for row in rows(house, Message, campaign_run_id=run.id)}
    states = Counter(row.status for row in messages.values())
    print(f"{PEOPLE} people, {kills} kills, {took:.1f} s: {dict(states)}, taken {len(taken)}")
    assert all(times == 1 for times in taken.values())
    assert {row.customer_id for row in messages.values()} == set(ids)
    assert len(messages) == PEOPLE
    assert set(states) <= {"handed_over", "delivered", "unknown"}
    for message_id, row in messages.items():
        assert message_id in taken or row.status == "unknown", row
    assert {p.outcome for p in rows(house, CampaignPerson, campaign_run_id=run.id)} == {"sent"}
    assert kills == 0 or states["unknown"] <= kills * 1_000
    adds_up(house, run.id)
    house.product.close()
