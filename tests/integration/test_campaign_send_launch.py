"""Launching: once for each occurrence, by whom it may be, and never two runs of a campaign at once."""

import threading

import pytest

from signalpost.errors import BadInputError, ConflictError, NotFoundError
from signalpost.record.campaigns import CampaignAct, CampaignPerson
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.runs import Launch
from signalpost.testing import Stage
from tests.integration.campaign_engine import (
    OFFER,
    acts,
    audit,
    campaign,
    go,
    live,
    notice,
    people,
    rows,
    send,
    the_run,
)


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, database_url=database_url) as opened:
        yield opened


def launch(stage, wanted, **more):
    return launching.launch(
        stage.desk, launch=Launch(campaign=wanted, **more), by="ann", now=stage.clock.now
    )


def start(stage, run):
    return launching.start(stage.desk, campaign_run_id=run.id, now=stage.clock.now)


def at_once(*acts):
    """Do things at the same moment; gives what each gave or raised."""
    gate, said = threading.Barrier(len(acts)), {}

    def do(number, act):
        gate.wait()
        try:
            said[number] = act()
        except Exception as error:
            said[number] = error

    threads = [threading.Thread(target=do, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [said[number] for number in range(len(acts))]


def test_an_occurrence_that_is_launched_twice_is_one_run(stage):
    people(stage, 2)
    first = launch(stage, campaign(), occurrence="2026-03-02T09:00")
    assert launch(stage, campaign(), occurrence="2026-03-02T09:00").id == first.id
    start(stage, first)
    start(stage, first)
    send(stage)
    assert len(stage.sent) == 2
    assert launch(stage, campaign(), occurrence="2026-03-02T09:00").status == "done"
    audit(stage, first.id)


AT = "2026-03-02T09:00"


def test_an_occurrence_whose_run_has_ended_unsent_is_not_launched_again_and_says_what_to_do(stage):
    """Cancelled because the code was wrong, corrected, launched again: nothing would have gone."""
    people(stage, 2)
    run = launch(stage, campaign(), occurrence=AT)
    launching.cancel(
        stage.desk, campaign_run_id=run.id, by="bob", why="wrong code", now=stage.clock.now
    )
    for wanted in (campaign(), campaign(promotion={**OFFER, "code": "LARK20"})):
        with pytest.raises(ConflictError) as told:
            launch(stage, wanted, occurrence=AT)
        assert str(told.value) == (
            f"spring of {AT} has a run already, launched by ann, cancelled (wrong code): {run.id}. "
            "That time is not launched a second time; launch it again, at once (`--now`) or for "
            "another time (`--at`)."
        )
    assert live(stage) == {"cancelled": 1}


@pytest.mark.parametrize(
    ("changed", "more", "says"),
    [
        ({"holdout": "50%"}, {}, "The file has changed since: it was of version "),
        ({}, {"facts": {"store": "Leith"}}, "It was given other facts"),
    ],
)
def test_a_live_run_of_another_version_or_with_other_facts_is_not_passed_off_as_this_launch(
    stage, changed, more, says
):
    people(stage, 2, store="Leith")
    people(stage, 1, first=7, store="Riverside")
    audience = {"attribute": "store", "is": {"given": "store"}}
    given = {"facts": {"store": "Riverside"}, "occurrence": AT}
    run = launch(stage, campaign(audience=audience), **given)
    with pytest.raises(ConflictError) as told:
        launch(stage, campaign(audience=audience, **changed), **{**given, **more})
    assert says in str(told.value)
    assert "launched by ann, approved" in str(told.value)
    assert f"signalpost campaign cancel {run.id}" in str(told.value)
    assert launch(stage, campaign(audience=audience), **given).id == run.id


def test_the_flow_run_that_launched_it_finds_its_run_again_also_when_the_file_has_changed(stage):
    """Prefect retries a flow run that died just after the launch."""
    people(stage, 1)

    def ask(wanted, flow_run):
        wish = Launch(campaign=wanted, occurrence=AT)
        now = stage.clock.now
        return launching.launch(stage.desk, launch=wish, by="prefect", now=now, run_id=flow_run)

    run = ask(campaign(), "f1")
    assert ask(campaign(holdout="50%"), "f1").id == run.id
    with pytest.raises(ConflictError, match="has changed since"):
        ask(campaign(holdout="50%"), "f2")


def test_of_two_versions_of_an_occurrence_that_are_launched_at_once_one_is_and_one_is_told(stage):
    people(stage, 2)
    versions = [campaign(), campaign(holdout="50%")]
    said = at_once(*[lambda one=one: launch(stage, one, occurrence=AT) for one in versions])
    assert sorted(type(one).__name__ for one in said) == ["ConflictError", "Run"]
    assert live(stage) == {"approved": 1}


def test_an_occurrence_that_two_launch_at_once_is_one_run_and_is_frozen_once(stage):
    people(stage, 3)
    runs = at_once(*[lambda: launch(stage, campaign(), occurrence="o")] * 2)
    assert len({run.id for run in runs}) == 1
    assert sorted(row.act for row in rows(stage, CampaignAct)) == ["launched"]
    started = at_once(*[lambda: start(stage, runs[0])] * 2)
    assert {run.status for run in started} == {"running"}
    assert len(rows(stage, CampaignPerson)) == 3
    assert [act for act, _ in acts(stage, runs[0].id)] == ["launched", "froze"]
    send(stage)
    assert len(stage.sent) == 3
    audit(stage, runs[0].id)


def test_a_second_run_waits_for_the_end_of_the_first(stage):
    people(stage, 2)
    first, second = launch(stage, campaign()), launch(stage, campaign())
    start(stage, first)
    with pytest.raises(ConflictError, match=first.id):
        start(stage, second)
    send(stage)
    assert start(stage, second).status == "running"


def test_of_two_runs_that_are_started_at_once_one_waits(stage):
    people(stage, 2)
    first, second = launch(stage, campaign()), launch(stage, campaign())
    said = at_once(lambda: start(stage, first), lambda: start(stage, second))
    assert sorted(type(one).__name__ for one in said) == ["ConflictError", "Run"]
    assert live(stage)["running"] == 1


@pytest.mark.parametrize(("above", "expected"), [(1, "awaiting_approval"), (2, "approved")])
def test_more_people_than_may_be_written_to_unasked_wait_for_approval(stage, above, expected):
    people(stage, 2)
    run = launch(stage, campaign(approval=f"above {above}"))
    assert run.status == expected
    if expected == "awaiting_approval":
        with pytest.raises(ConflictError, match="approve"):
            start(stage, run)
        send(stage)
        assert stage.sent == []


def test_only_the_plan_that_was_seen_is_approved_and_the_record_says_by_whom(stage):
    people(stage, 2)
    run = launch(stage, campaign(approval="always"))
    seen = run.plan["digest"]

    def approve(digest):
        return launching.approve(
            stage.desk, campaign_run_id=run.id, by="bob", seen=digest, now=stage.clock.now
        )

    with pytest.raises(ConflictError, match="look at it again"):
        approve("another")
    assert the_run(stage, run.id).status == "awaiting_approval"
    assert approve(seen).status == "approved"
    with pytest.raises(ConflictError, match="does not wait"):
        approve(seen)
    assert acts(stage, run.id) == [("launched", "ann"), ("approved", "bob")]
    start(stage, run)
    send(stage)
    assert len(stage.sent) == 2


def test_a_refused_run_never_starts(stage):
    people(stage, 1)
    run = launch(stage, campaign(approval="always"))
    launching.refuse(
        stage.desk, campaign_run_id=run.id, by="bob", why="not now", now=stage.clock.now
    )
    with pytest.raises(ConflictError, match="refused") as told:
        start(stage, run)
    assert "campaign approve" not in str(told.value), "it does not wait for that any more"
    assert "launch it again" in str(told.value)
    assert the_run(stage, run.id).reason == "not now"


def test_a_campaign_to_nobody_is_refused_at_the_launch(stage):
    with pytest.raises(BadInputError, match="cannot be launched"):
        launch(stage, campaign())
    assert live(stage) == {}


def test_an_audience_that_has_become_empty_is_done_at_once(stage):
    people(stage, 1, tier="gold")
    run = launch(stage, campaign(audience={"all": [{"attribute": "tier", "is": "gold"}]}))
    stage.signal("profile.updated", user_id="x", email="x@example.com", traits={"tier": "none"})
    with stage.database.writing() as session:
        from sqlalchemy import text

        session.execute(text("UPDATE customers SET attributes = '{}'"))
    started = start(stage, run)
    assert (started.status, started.reason, started.people) == ("done", "nobody", 0)


def test_a_test_on_a_few_is_sent_to_a_few(stage):
    people(stage, 20)
    run_id = go(stage, notice(channels={"every": ["email"]}), sample_of=3)
    assert (len(stage.sent), the_run(stage, run_id).people) == (3, 3)
    audit(stage, run_id)


def test_what_cannot_be_steered_says_so(stage):
    people(stage, 1)
    run_id = go(stage, campaign())
    steer = {"campaign_run_id": run_id, "by": "ann", "now": stage.clock.now}
    for act in (launching.pause, launching.resume, launching.cancel):
        with pytest.raises(ConflictError, match="done"):
            act(stage.desk, **steer)
    with pytest.raises(NotFoundError, match="campaign status"):
        launching.cancel(stage.desk, **{**steer, "campaign_run_id": "nobody"})
