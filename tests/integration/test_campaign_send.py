"""A campaign's run from launch to its last person: everybody once, and everybody else with a reason."""

import pytest

from signalpost.record import freezing as record_freezing
from signalpost.record.campaigns import CampaignPerson, CampaignShard
from signalpost.record.messages import Message
from signalpost.services.campaigns import freezing as services_freezing
from signalpost.testing import Stage
from tests.integration.campaign_engine import (
    adds_up,
    audit,
    block,
    campaign,
    go,
    launched,
    notice,
    outcomes,
    people,
    rows,
    say,
    send,
    the_run,
)


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=(), database_url=database_url) as opened:
        yield opened


def test_everybody_who_may_be_sent_to_is_sent_to_once_and_the_others_have_a_reason(stage):
    people(stage, 3)
    people(stage, 2, first=3, consent=False)
    refusing = people(stage, 1, first=5)
    stage.clock.now = stage.clock.now.replace(hour=10)
    say(stage, refusing, "denied")
    people(stage, 2, first=6)
    block(stage, ["u6@example.com"])
    block(stage, ["u7@example.com"], scope="marketing", reason="unsubscribe")
    run_id = go(stage, campaign())
    assert sorted(one.to for one in stage.sent) == [f"u{n}@example.com" for n in range(3)]
    assert "LARK15" in stage.sent[0].text
    assert outcomes(stage, run_id) == {
        ("sent", "email", "allowed"): 3,
        ("skipped", "", "no_consent"): 2,
        ("skipped", "", "consent_denied"): 1,
        ("skipped", "", "suppressed_stop"): 1,
        ("skipped", "", "suppressed_unsubscribe"): 1,
    }
    assert the_run(stage, run_id).status == "done"
    send(stage)
    assert len(stage.sent) == 3
    audit(stage, run_id)


def test_what_a_reader_of_the_record_sees_of_one_who_got_it_and_one_who_did_not(stage):
    yes, no = people(stage, 1)[0], people(stage, 1, first=1, consent=False)[0]
    run_id = go(stage, campaign())
    by_id = {p.customer_id: p for p in rows(stage, CampaignPerson, campaign_run_id=run_id)}
    assert (by_id[yes].outcome, by_id[yes].reason) == ("sent", "allowed")
    assert by_id[no].verdicts == [{"channel": "email", "outcome": "skip", "reason": "no_consent"}]
    [message] = rows(stage, Message, campaign_run_id=run_id)
    assert (message.customer_id, message.address) == (yes, "u0@example.com")
    assert (message.status, message.message) == ("handed_over", "purchase_offer")
    assert message.expires_at is not None
    assert by_id[yes].decided_at == stage.clock.now


def test_a_large_audience_is_cut_into_shards_and_adds_up_after_every_batch(tmp_path, monkeypatch):
    for room in (services_freezing, record_freezing):
        monkeypatch.setattr(room, "SHARD", 5_000)
    with Stage(folder=tmp_path) as stage:
        people(stage, 12_345)
        run_id = launched(stage, notice(channels={"every": ["email"]}))
        seen = []

        def stop():
            adds_up(stage, run_id)
            seen.append(len(stage.sent))
            return False

        send(stage, stop=stop)
        assert seen[:3] == [0, 1_000, 2_000]
        assert [s.number for s in rows(stage, CampaignShard, campaign_run_id=run_id)] == [0, 1, 2]
        assert len({one.to for one in stage.sent}) == len(stage.sent) == 12_345
        assert outcomes(stage, run_id) == {("sent", "email", "allowed"): 12_345}
        assert the_run(stage, run_id).status == "done"


def test_whoever_comes_into_the_audience_after_the_freeze_is_not_in_the_run(stage):
    people(stage, 2)
    run_id = launched(stage, campaign())
    people(stage, 2, first=2)
    send(stage)
    assert the_run(stage, run_id).people == len(stage.sent) == 2
