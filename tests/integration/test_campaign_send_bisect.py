"""One whom SendGrid refuses among a thousand: 999 get theirs once, by the real adapter over HTTP."""

from collections import Counter
from dataclasses import replace

from sqlmodel import select

from signalpost.domain.vocabulary import Channel
from signalpost.providers.sendgrid import From, SendGrid, SendGridSettings
from signalpost.record.customers import ContactPoint
from signalpost.record.messages import Message
from signalpost.services.campaigns import launching
from signalpost.testing import Stage
from tests.integration.campaign_engine import (
    launched,
    notice,
    outcomes,
    people,
    rows,
    send,
    the_run,
)
from tests.integration.postoffice_harness import KEY, http, open_office
from tests.postoffice_log import read_log

BY_EMAIL = {"every": ["email"]}


def with_sendgrid(stage, office):
    settings = SendGridSettings(
        api_key=KEY,
        base_url=office.url,
        senders={"transactional": From(email="hello@shop.example", name="Shop")},
    )
    providers = {**stage.desk.providers, Channel.EMAIL: SendGrid(settings)}
    return replace(stage.desk, providers=providers)


def taken(folder):
    """Count by address what the post office has taken."""
    found = Counter()
    for entry in read_log(folder / "postoffice.jsonl"):
        if entry["kind"] == "mail.accepted":
            found.update(p["to"][0]["email"] for p in entry["request"]["personalizations"])
    return found


def test_one_bad_recipient_of_a_thousand_is_set_aside_and_the_others_get_theirs_once(tmp_path):
    with open_office(tmp_path, delay=60) as office, Stage(folder=tmp_path) as stage:
        people(stage, 1_000)
        with stage.database.writing() as session:
            found = select(ContactPoint).where(ContactPoint.address == "u617@example.com")
            session.exec(found).one().address = "invalid@example.com"
        run_id = launched(stage, notice(channels=BY_EMAIL))
        send(stage, desk=with_sendgrid(stage, office))
        got = taken(tmp_path)
        assert len(got) == 999
        assert set(got.values()) == {1}
        assert "invalid@example.com" not in got
        counts = outcomes(stage, run_id)
        assert counts["sent", "email", "allowed"] == 999
        [(aside, number)] = [(key, n) for key, n in counts.items() if key[0] == "set_aside"]
        assert number == 1
        assert aside[2].startswith("refused:")
        assert the_run(stage, run_id).status == "done"
        assert Counter(m.status for m in rows(stage, Message)) == {
            "handed_over": 999,
            "rejected": 1,
        }


def test_a_key_that_sendgrid_does_not_take_pauses_the_run_and_a_busy_hour_puts_it_off(tmp_path):
    with open_office(tmp_path, delay=60) as office, Stage(folder=tmp_path) as stage:
        people(stage, 20)
        run_id = launched(stage, notice(channels=BY_EMAIL))
        desk = with_sendgrid(stage, office)
        wrong = SendGrid(
            SendGridSettings(
                api_key="SG.wrong.key",
                base_url=office.url,
                senders={"transactional": From(email="hello@shop.example")},
            )
        )
        send(stage, desk=replace(desk, providers={**desk.providers, Channel.EMAIL: wrong}))
        assert the_run(stage, run_id).status == "paused"
        assert the_run(stage, run_id).reason
        assert not taken(tmp_path)
        launching.resume(stage.desk, campaign_run_id=run_id, by="ann", now=stage.clock())
        fault = {"provider": "sendgrid", "fault": "429", "times": 1, "retry_after": 30}
        http.post(f"{office.url}/postoffice/faults", json=fault).raise_for_status()
        send(stage, desk=desk)
        assert not taken(tmp_path)
        stage.clock.now = stage.clock.now.replace(minute=59)
        send(stage, desk=desk)
        assert sum(taken(tmp_path).values()) == len(taken(tmp_path)) == 20
        assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 20}
