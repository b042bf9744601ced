"""Providers in trouble while journeys and campaigns go on: real adapters, post offices and records."""

from collections import Counter
from contextlib import ExitStack
from datetime import timedelta

import pytest

from flows import JOURNEYS
from signalpost.domain.vocabulary import Channel
from signalpost.providers.sendgrid import From, SendGrid, SendGridSettings
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Delivery, Message
from signalpost.services.campaigns import launching
from signalpost.services.ways_out.accounts import Account, WayOut
from signalpost.services.ways_out.circuits import Circuits
from signalpost.testing import Stage
from tests.integration.campaign_engine import (
    acts,
    adds_up,
    launched,
    notice,
    outcomes,
    pass_until,
    people,
    rows,
    send,
    the_run,
)
from tests.integration.postoffice_harness import KEY, http, open_office
from tests.postoffice_log import read_log

SENDERS = {name: From(email="hello@shop.example") for name in ("transactional", "marketing")}


class Street:
    """A stage whose mail goes to a real post office, and to a second one when there is one."""

    def __init__(self, stack, folder, database_url, *, accounts=1):
        self.stage = stack.enter_context(
            Stage(folder=folder, journeys=JOURNEYS, database_url=database_url)
        )
        self.offices = []
        for number in range(accounts):
            home = folder / f"office{number}"
            home.mkdir()
            self.offices.append(stack.enter_context(open_office(home)))
        self.folder = folder
        self.key(KEY)

    def key(self, key):
        """Set the key of the first account, as an operator does with a new start."""
        names = ("sendgrid", "sendgrid-second")
        adapters = [
            SendGrid(
                SendGridSettings(
                    api_key=key if number == 0 else KEY, senders=SENDERS, base_url=office.url,
                    timeout=timedelta(seconds=30),
                )
            )
            for number, office in enumerate(self.offices)
        ]  # fmt: skip
        way = WayOut(
            [
                Account(name=name, provider=one, channels=one.channels, at_risk=1000)
                for name, one in zip(names, adapters, strict=False)
            ],
            circuits=Circuits(self.stage.database, clock=self.stage.clock),
            clock=self.stage.clock,
        )
        providers = dict(self.stage.desk.providers) | {Channel.EMAIL: way}
        object.__setattr__(self.stage.desk, "providers", providers)

    def wish(self, fault, *, times=10_000, office=0, **more):
        wish = {"provider": "sendgrid", "fault": fault, "times": times, **more}
        http.post(f"{self.offices[office].url}/postoffice/faults", json=wish).raise_for_status()

    def mend(self, office=0):
        http.delete(f"{self.offices[office].url}/postoffice/faults").raise_for_status()

    def mailed(self, office=0):
        """How many mails each address got, by the post office's own log."""
        found = Counter()
        for entry in read_log(self.folder / f"office{office}" / "postoffice.jsonl"):
            if entry["kind"] == "mail.accepted":
                for one in entry["request"]["personalizations"]:
                    found[one["to"][0]["email"]] += 1
        return found


@pytest.fixture
def street(tmp_path, database_url):
    with ExitStack() as stack:
        yield lambda **options: Street(stack, tmp_path, database_url, **options)


def test_a_key_revoked_in_mid_blast_pauses_the_campaign_and_after_resume_all_get_it_once(street):
    """F14: the reason is in words, nobody is burnt, and whoever had it does not get it again."""
    here = street()
    stage = here.stage
    people(stage, 2_500)
    run_id = launched(stage, notice(channels={"every": ["email"]}))
    batches = iter(range(100))

    def revoke_after_the_first():
        if next(batches) == 1:
            here.key("revoked")
        return False

    send(stage, stop=revoke_after_the_first)
    run = the_run(stage, run_id)
    assert run.status == "paused"
    assert "SendGrid did not accept our key" in (run.reason or "")
    assert len(here.mailed()) == 1_000
    assert {p.outcome for p in rows(stage, CampaignPerson)} == {"sent", None}
    here.key(KEY)
    stage.clock.now += timedelta(minutes=2)
    launching.resume(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
    pass_until(stage, stage.clock() + timedelta(minutes=10))
    assert Counter(here.mailed().values()) == {1: 2_500}
    assert the_run(stage, run_id).status == "done"
    adds_up(stage, run_id)


def test_resumed_with_the_key_still_wrong_it_is_paused_again_and_asks_with_one_message(street):
    here = street()
    stage = here.stage
    people(stage, 300)
    here.key("wrong")
    run_id = launched(stage, notice(channels={"every": ["email"]}))
    send(stage)
    assert the_run(stage, run_id).status == "paused"
    before = len([d for d in rows(stage, Delivery) if d.code == "401"])
    stage.clock.now += timedelta(minutes=2)
    launching.resume(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
    send(stage)
    assert the_run(stage, run_id).status == "paused"
    asked = len([d for d in rows(stage, Delivery) if d.code == "401"]) - before
    assert asked == 1
    assert [act for act, _ in acts(stage, run_id)].count("paused") == 2


def test_ten_minutes_of_too_many_requests_delay_a_campaign_and_cost_nobody_their_message(street):
    """F10: requests stay few, nobody is set aside, and at the end each got it once."""
    here = street()
    stage = here.stage
    people(stage, 60)
    run_id = launched(stage, notice(channels={"every": ["email"]}))
    here.wish("429")
    end = stage.clock() + timedelta(minutes=10)
    while stage.clock() < end:
        send(stage, stop=lambda: False)
        stage.clock.now += timedelta(seconds=20)
    here.mend()
    pass_until(stage, stage.clock() + timedelta(hours=1))
    assert Counter(here.mailed().values()) == {1: 60}
    assert set(outcomes(stage, run_id)) == {("sent", "email", "allowed")}
    asked = Counter(d.message_id for d in rows(stage, Delivery) if d.code == "429")
    assert max(asked.values()) <= 6
    adds_up(stage, run_id)


def test_a_campaign_goes_on_by_the_second_account_and_the_record_names_it(street):
    here = street(accounts=2)
    stage = here.stage
    people(stage, 1_500)
    here.key("wrong")
    run_id = launched(stage, notice(channels={"every": ["email"]}))
    send(stage)
    assert Counter(here.mailed(1).values()) == {1: 1_500}
    assert here.mailed(0) == Counter()
    assert {(d.provider, d.account) for d in rows(stage, Delivery)} == {
        ("sendgrid", "sendgrid-second")
    }
    assert the_run(stage, run_id).status == "done"


def test_what_the_first_account_may_have_sent_is_not_sent_by_the_second(street):
    here = street(accounts=2)
    stage = here.stage
    people(stage, 20)
    here.wish("500_processed", times=1)
    launched(stage, notice(channels={"every": ["email"]}))
    send(stage)
    assert len(here.mailed(0)) == 20
    assert here.mailed(1) == Counter()
    assert {m.status for m in rows(stage, Message)} == {"unknown"}


def test_people_of_a_journey_are_held_while_the_key_is_wrong_and_go_out_by_themselves(street):
    """Nobody has to resume a journey: now and then one message asks whether the key works again."""
    here = street()
    stage = here.stage
    here.key("wrong")
    for number in range(30):
        stage.signal(
            "order.placed", user_id=f"u{number}", email=f"u{number}@example.com",
            order_id=str(number), total={"amount": "20.00", "currency": "USD"},
        )  # fmt: skip
    stage.run_for(minutes=20)
    assert here.mailed() == Counter()
    assert {e.status for e in rows(stage, Enrolment)} <= {"active", "waiting"}
    here.key(KEY)
    stage.run_for(minutes=3)
    assert Counter(here.mailed().values()) == {1: 30}
