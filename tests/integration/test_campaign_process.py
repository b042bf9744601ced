"""Real senders, killed with kill -9 at random moments: the post office's log against the record."""

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
from signalpost.record.messages import Delivery, Message
from signalpost.record.migrate import whole_metadata
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.runs import Launch
from tests.integration.campaign_engine import adds_up, notice, people, rows, the_run
from tests.integration.postoffice_harness import http, until
from tests.postoffice_log import read_log

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
    for entry in read_log(home / "postoffice.jsonl"):
        if entry["kind"] == "mail.accepted":
            for person in entry["request"]["personalizations"]:
                taken[person["custom_args"]["x_message_id"]] += 1
    return taken


def begin(home, lease=1.5, **environment):
    name = "tests.integration.campaign_sender"
    command = [sys.executable, "-m", name, str(home), "600", str(lease)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})


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


LONG = 10  #: seconds; extended after three


def stopped(process):
    """Say whether a process stands still."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc who stands still")
def test_f24_a_sender_that_is_stopped_past_its_lease_wakes_and_sends_nothing_late(home, office):
    """SIGSTOP between the intent's commit and the request, for longer than the lease; then SIGCONT.

    The lease is long, so that no other thread of the one that is stopped holds SQLite's lock meanwhile.
    The other sender calls the batch unknown and ends the run. The late one finds that it may not send
    any more, says so, and the batch goes out once.
    """
    house = House(home)
    people(house, 1_300)
    wanted = notice(channels={"every": ["email"]})
    now = wall_clock()
    run = launching.launch(house.desk, launch=Launch(campaign=wanted), by="ann", now=now)
    launching.start(house.desk, campaign_run_id=run.id, now=now)
    late = begin(home, LONG, SIGNALPOST_CRASH_AT="send.intended=stop")
    other = None
    try:
        until(lambda: stopped(late), 60)
        assert len(accepted(home)) == 0
        other = begin(home, LONG)
        until(lambda: the_run(house, run.id).status == "done", 60)
        states = Counter(one.status for one in rows(house, Message, campaign_run_id=run.id))
        assert states == {"unknown": 1_000, "handed_over": 300}
        late.send_signal(signal.SIGCONT)
        until(lambda: len(accepted(home)) == 1_300, 60)
        until(lambda: the_run(house, run.id).status == "done", 60)
    finally:
        for one in (late, other):
            if one is not None:
                one.kill()
                one.wait()
    assert all(times == 1 for times in accepted(home).values())
    messages = rows(house, Message, campaign_run_id=run.id)
    assert {one.status for one in messages} == {"handed_over"}
    fenced = [one for one in rows(house, Delivery) if one.code == "fenced"]
    assert len(fenced) >= 1_000  # on a slow machine a later batch may have been too late as well
    adds_up(house, run.id)
    house.product.close()
